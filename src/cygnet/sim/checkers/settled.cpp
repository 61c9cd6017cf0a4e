// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/checkers/settled.h"

namespace cygnet::sim {
namespace {

bool quiet(const World& world, DeviceId id, Timestamp since) {
  const Device& device = world.device(id);
  if (!device.running() || device.link() != Device::Link::kUp) return false;
  const auto& own = device.core().rekey().generations();
  if (own.empty() || device.core().rekey().rekey_wanted()) return false;
  const auto& newest = own.back();
  return newest.phase == proto::rekey::GenerationPhase::kAccepted && newest.accepted_at &&
         *newest.accepted_at < since;
}

std::optional<std::string> half(const World& world, DeviceId a, DeviceId b) {
  const SimPeer* const peer = world.device(a).towards(b);
  if (peer == nullptr || !peer->present) return "does not know its peer";
  const proto::SaPairId want{world.device(a).core().rekey().generations().back().counter,
                             world.device(b).core().rekey().generations().back().counter};
  if (!peer->chosen) return "sends on nothing";
  if (*peer->chosen != want) {
    return "sends on " + text_of(a, b, *peer->chosen) + " instead of " + text_of(a, b, want);
  }
  if (peer->pairs.size() != 1) {
    return "still has " + std::to_string(peer->pairs.size()) + " SA pairs";
  }
  const SimSa* const sa = peer->find(want);
  if (sa == nullptr || !sa->inbound || !sa->outbound) return "has only half of the SA pair";
  return std::nullopt;
}

}  // namespace

bool must_be_settled(const World& world, DeviceId a, DeviceId b) {
  if (!world.healed() || !world.allowed(a, b)) return false;
  const Scenario& s = world.scenario();
  const Duration settle = s.forget_cap + s.drain + std::chrono::seconds(30);
  const Timestamp since = world.queue.now() - settle;
  if (world.healed_at() > since) return false;
  const auto policy = world.policy_since(a, b);
  if (policy && *policy > since) return false;
  return quiet(world, a, since) && quiet(world, b, since);
}

std::optional<std::string> not_settled(const World& world, DeviceId a, DeviceId b) {
  if (auto why = half(world, a, b)) return label_of(a) + " " + *why;
  if (auto why = half(world, b, a)) return label_of(b) + " " + *why;
  const auto& x = world.device(a).towards(b)->pairs.front().keys;
  const auto& y = world.device(b).towards(a)->pairs.front().keys;
  if (x.in != y.out || x.out != y.in) return "the ends hold different keys";
  return std::nullopt;
}

}  // namespace cygnet::sim
