// SPDX-License-Identifier: Apache-2.0
#include "play.h"

#include <algorithm>

#include "checkers.h"
#include "world_parts.h"

namespace cygnet::scenarios {

explore::Scenario stage(bool settled) {
  explore::Scenario s;
  s.name = "play";
  s.start_settled = settled;
  s.rekeys = {9, 9};
  s.detaches = {1, 1};
  s.losses_in_row = 9;
  s.slow_draws = !settled;
  s.wire_capacity = 4;
  s.params.soft = s.params.hard = std::chrono::hours(24 * 365);
  s.jump_max = std::chrono::hours(1);
  return s;
}

SaPairId pair(std::uint32_t local, std::uint32_t remote) {
  return {RekeyCounter(1, local), RekeyCounter(1, remote)};
}

Play::Play(explore::Scenario s) : scenario(std::move(s)), world(scenario) {}

void Play::say(const std::string& words) { text_ += "\n" + words + "\n\n"; }

void Play::carry_out(const explore::Action& action) {
  text_ += "  " + describe(action, world) + "\n";
  auto broken = world.apply(scenario, action, &text_);
  if (!broken) broken = explore::check_state(scenario, world);
  if (broken) failure_ += broken->property + ": " + broken->text + "\n" + text_;
}

void Play::act(Act act, std::size_t device) {
  const auto possible = world.actions(scenario);
  const auto it = std::find_if(possible.begin(), possible.end(), [&](const explore::Action& a) {
    return a.act == act && (a.device == device || act == Act::kTime);
  });
  if (it == possible.end()) {
    failure_ += "the script asks for what cannot happen here\n" + text_;
    return;
  }
  carry_out(*it);
}

void Play::installed(std::size_t device) {
  while (!towards(device).installing.empty() && failure_.empty()) act(Act::kInstalled, device);
}

void Play::packet(std::size_t from) {
  act(Act::kSend, from);
  act(Act::kDeliver, 1 - from);
}

void Play::show() {
  text_ += "\n";
  for (std::size_t i = 0; i < world.devices; ++i) {
    const explore::Device& d = world.device[i];
    const explore::Towards& t = towards(i);
    const explore::PeerId peer = explore::peer_id(1 - i);
    const auto names = explore::names_of(i);
    std::string line = "      " + explore::device_letter(i) + "  transmits on ";
    line += t.choice ? explore::rekey::tx_name(names, peer, *t.choice) : "nothing";
    line += "; receives on";
    for (const SaPairId& id : t.inbound) line += " " + explore::rekey::rx_name(names, peer, id);
    if (t.inbound.empty()) line += " nothing";
    line += "; DH pairs";
    for (const RekeyCounter own : d.privates) {
      line += " " + explore::rekey::name_of(explore::generation_letter(i), own);
    }
    text_ += line + "\n";
  }
}

void Play::rest() {
  for (int steps = 0; failure_.empty(); ++steps) {
    if (explore::is_settled(world) && world.wires_empty()) return;
    const auto possible = world.actions(scenario);
    const auto next = std::find_if(possible.begin(), possible.end(), [](const auto& a) {
      return !explore::is_inflicted(a.act) && a.act != Act::kSend;
    });
    if (next == possible.end() || steps > 500) {
      failure_ += "does not settle\n" + text_;
      return;
    }
    carry_out(*next);
  }
}

bool Play::has_inbound(std::size_t i, SaPairId id) const {
  return explore::contains(towards(i).inbound, id);
}
bool Play::has_outbound(std::size_t i, SaPairId id) const {
  return explore::contains(towards(i).outbound, id);
}

}  // namespace cygnet::scenarios
