// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/rekey/device_machine.h"

#include <algorithm>

namespace cygnet::proto::rekey {

DeviceStatus DeviceMachine::status() const {
  return DeviceStatus{started_, link_up_, boot_count_, last_sequence_, own_, wanted_};
}

OwnGeneration* DeviceMachine::newest() { return own_.empty() ? nullptr : &own_.back(); }
const OwnGeneration* DeviceMachine::newest() const { return own_.empty() ? nullptr : &own_.back(); }

std::uint32_t DeviceMachine::private_alive() const {
  return static_cast<std::uint32_t>(std::count_if(
      own_.begin(), own_.end(), [](const OwnGeneration& own) { return own.private_held; }));
}

// "local generations ≤ 2 (current, next); a third only when the delivery mark says nobody attached
// misses the second, or 3 min after its acceptance." A mark says that the peers can be sent to; one
// drain later they have been heard too (they probe), so that no more than two generations of ours
// are ever in use towards a peer that can be reached. That the first one's private value is gone
// already (a flush by hand took its last SA) says nothing about what the peer still uses.
bool DeviceMachine::may_roll_over(const RekeyParams& params, Timestamp now) const {
  if (not_before_ && now < *not_before_) return false;
  const OwnGeneration* last = newest();
  if (last == nullptr) return true;
  if (last->phase != GenerationPhase::kAccepted) return false;
  return !would_be_third(params) || now >= third_allowed(params);
}

bool DeviceMachine::would_be_third(const RekeyParams& params) const {
  if (!params.rules.bound_local) return false;
  return private_alive() >= 2 ||
         (params.rules.third_waits_for_drain && !own_.back().initial_contact);
}

Timestamp DeviceMachine::third_allowed(const RekeyParams& params) const {
  const OwnGeneration& last = own_.back();
  const Timestamp in_any_case = *last.accepted_at + params.third_after;
  if (!last.delivered_at) return in_any_case;
  const Duration pause = params.rules.third_waits_for_drain ? params.drain : Duration(0);
  return std::min(in_any_case, *last.delivered_at + pause);
}

std::optional<Timestamp> DeviceMachine::soft_ends(const RekeyParams& params) const {
  const OwnGeneration* last = newest();
  if (!params.rules.soft_lifetime || last == nullptr || !last->accepted_at) return std::nullopt;
  // random is uniform in [0, 2^32); the factor uniform in [1 - j, 1 + j].
  const double unit = static_cast<double>(last->random) / 4294967296.0 * 2.0 - 1.0;
  const double factor = 1.0 + unit * static_cast<double>(params.soft_jitter_permille) / 1000.0;
  return *last->accepted_at +
         Duration(static_cast<Duration::rep>(static_cast<double>(params.soft.count()) * factor));
}

std::optional<Timestamp> DeviceMachine::cap_of(const RekeyParams& params, std::size_t index) const {
  if (!params.rules.forget_cap) return std::nullopt;
  for (std::size_t newer = index + 1; newer < own_.size(); ++newer) {
    if (own_[newer].accepted_at) return *own_[newer].accepted_at + params.forget_cap;
  }
  return std::nullopt;
}

std::optional<Timestamp> DeviceMachine::next_deadline(const RekeyParams& params) const {
  std::optional<Timestamp> first = publish_again_;
  const auto consider = [&first](std::optional<Timestamp> at) {
    if (at && (!first || *at < *first)) first = at;
  };
  for (std::size_t i = 0; i < own_.size(); ++i) {
    if (own_[i].private_held) consider(cap_of(params, i));
  }
  const OwnGeneration* last = newest();
  if (!wanted_) {
    consider(soft_ends(params));
  } else if (last == nullptr || last->phase == GenerationPhase::kAccepted) {
    // may_roll_over() is false now, so one of these lies ahead.
    std::optional<Timestamp> allowed = not_before_;
    if (last != nullptr && would_be_third(params)) {
      const Timestamp third = third_allowed(params);
      allowed = allowed ? std::max(*allowed, third) : third;
    }
    consider(allowed);
  }
  return first;
}

void DeviceMachine::describe(StateSink& sink) const {
  sink.number(started_);
  sink.number(link_up_);
  sink.number(initial_contact_);
  sink.number(boot_count_);
  sink.own(RekeyCounter(boot_count_, last_sequence_));
  sink.number(redraws_);
  sink.number(own_.size());
  for (const OwnGeneration& own : own_) {
    sink.own(own.counter);
    sink.number(static_cast<std::uint64_t>(own.phase));
    sink.number(own.initial_contact);
    sink.number(own.sent);
    sink.number(own.private_held);
    sink.acceptance(own.accepted_at);
    sink.delivery(own.delivered_at);
    sink.number(own.random);
    sink.number(own.sa_pairs);
    sink.number(own.awaited);
  }
  sink.number(given_up_.size());
  for (const RekeyCounter counter : given_up_) sink.own(counter);
  sink.number(wanted_ ? 1 + static_cast<std::uint64_t>(*wanted_) : 0);
  sink.time(not_before_);
  sink.time(publish_again_);
}

}  // namespace cygnet::proto::rekey
