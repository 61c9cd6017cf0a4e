// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/core/path_mtu.h"

#include <algorithm>

#include "cygnet/base/assert.h"

namespace cygnet::agent {

const char* to_string(PathMtuState state) {
  switch (state) {
    case PathMtuState::kDisabled:
      return "assumed";
    case PathMtuState::kBase:
    case PathMtuState::kSearching:
      return "searching";
    case PathMtuState::kSearchComplete:
      return "found";
    case PathMtuState::kError:
      break;
  }
  return "too-small";
}

PathMtu::PathMtu(const Settings& settings) : settings_(settings), failed_(settings.bound + 1) {
  CYGNET_ASSERT(settings.bound >= kFloor);
}

PathMtuLimit PathMtu::limit() const {
  if (assumed_) return {settings_.bound, !lost_};
  return {std::max(carried_, kFloor), carried_ >= kFloor};
}

std::optional<Timestamp> PathMtu::next_deadline() const {
  if (!outstanding_) return std::nullopt;
  return outstanding_->sent + std::clamp(3 * round_trip_, kProbeTimerMin, kProbeTimerMax);
}

PathMtu::Probe PathMtu::send(std::uint32_t size, std::uint32_t verdict, Timestamp now) {
  outstanding_ = Outstanding{size, verdict, ++last_number_, 1, now};
  return {last_number_, size};
}

PathMtu::Probe PathMtu::again(Timestamp now) {
  ++outstanding_->attempts;
  outstanding_->sent = now;
  return {++last_number_, outstanding_->size};
}

std::optional<PathMtu::Probe> PathMtu::on_traffic(Timestamp now) {
  if (outstanding_) return std::nullopt;
  switch (state_) {
    case PathMtuState::kDisabled:
    case PathMtuState::kError:
      if (now < retry_at_) break;
      failed_ = settings_.bound + 1;
      return send(0, 0, now);  // RFC 8899 section 5.2: first of all connectivity is confirmed
    case PathMtuState::kSearchComplete:
      if (now >= confirm_at_) return send(carried_, 0, now);
      if (carried_ == settings_.bound || now < raise_at_) break;
      state_ = PathMtuState::kSearching;
      failed_ = settings_.bound + 1;
      return search(now);
    case PathMtuState::kBase:
    case PathMtuState::kSearching:
      break;  // go on by themselves
  }
  return std::nullopt;
}

std::optional<PathMtu::Probe> PathMtu::on_answer(std::uint64_t number, std::uint32_t received,
                                                 Timestamp now) {
  // A late answer to an earlier attempt is as good; one about another size is stale.
  if (!outstanding_ || number < outstanding_->first_number || number > last_number_) {
    return std::nullopt;
  }
  if (outstanding_->size != 0 && received != outstanding_->size) return std::nullopt;
  const Outstanding answered = *outstanding_;
  outstanding_.reset();
  if (number == last_number_) round_trip_ = now - answered.sent;
  if (answered.size != 0) return carried(answered.size, now);
  if (answered.verdict != 0) return too_large(answered.verdict, now);
  state_ = PathMtuState::kBase;
  return send(kFloor, 0, now);
}

std::optional<PathMtu::Probe> PathMtu::on_too_large(std::uint32_t size, Timestamp now) {
  if (!outstanding_ || size == 0 || outstanding_->size != size) return std::nullopt;
  outstanding_.reset();
  return too_large(size, now);
}

std::optional<PathMtu::Probe> PathMtu::on_time(Timestamp now) {
  const auto deadline = next_deadline();
  if (!deadline || now < *deadline) return std::nullopt;
  if (outstanding_->size != 0) lost_ = true;
  if (outstanding_->attempts < kMaxProbes) return again(now);
  const std::uint32_t size = outstanding_->size;
  if (size != 0) return send(0, size, now);
  outstanding_.reset();
  silent(now);
  return std::nullopt;
}

void PathMtu::on_path_changed() {
  outstanding_.reset();
  state_ = PathMtuState::kDisabled;
  assumed_ = true;
  lost_ = false;
  carried_ = 0;
  retry_at_ = {};
  back_off_ = kConfirm;
}

std::optional<PathMtu::Probe> PathMtu::carried(std::uint32_t size, Timestamp now) {
  carried_ = size;
  back_off_ = kConfirm;
  confirm_at_ = now + kConfirm;
  switch (state_) {
    case PathMtuState::kBase:
      state_ = PathMtuState::kSearching;
      return search(now);
    case PathMtuState::kSearching:
      return search(now);
    case PathMtuState::kSearchComplete:
    case PathMtuState::kDisabled:
    case PathMtuState::kError:
      break;
  }
  return std::nullopt;
}

std::optional<PathMtu::Probe> PathMtu::too_large(std::uint32_t size, Timestamp now) {
  failed_ = std::min(failed_, size);
  switch (state_) {
    case PathMtuState::kSearching:
      if (size == settings_.bound) assumed_ = false;
      return search(now);
    case PathMtuState::kSearchComplete:
      // RFC 8899 section 4.3: a black hole. What was there before is worth nothing now.
      ++black_holes_;
      carried_ = 0;
      failed_ = size;
      if (size == kFloor) break;
      state_ = PathMtuState::kBase;
      return send(kFloor, 0, now);
    case PathMtuState::kBase:
    case PathMtuState::kDisabled:
    case PathMtuState::kError:
      break;
  }
  state_ = PathMtuState::kError;
  assumed_ = false;
  carried_ = 0;
  put_off(now);
  return std::nullopt;
}

// The bound first, because most paths carry it; then the middle of what is open.
std::optional<PathMtu::Probe> PathMtu::search(Timestamp now) {
  if (carried_ < settings_.bound && failed_ > settings_.bound) {
    return send(settings_.bound, 0, now);
  }
  if (carried_ < settings_.bound && failed_ - carried_ > kResolution) {
    // ESP pads payload and two octets more to a multiple of four: the last size of such a step.
    std::uint32_t middle = carried_ + (failed_ - carried_) / 2;
    middle -= (middle + 2) % kResolution;
    if (middle <= carried_) middle += kResolution;
    if (middle < failed_) return send(middle, 0, now);
  }
  state_ = PathMtuState::kSearchComplete;
  assumed_ = false;
  raise_at_ = now + settings_.raise;
  return std::nullopt;
}

// The path is dead, or the peer does not know these probes: what was known stays, and it is tried
// again, less and less often.
void PathMtu::silent(Timestamp now) {
  if (assumed_) {
    state_ = PathMtuState::kDisabled;
    lost_ = false;
    carried_ = 0;
  } else {
    state_ = carried_ >= kFloor ? PathMtuState::kSearchComplete : PathMtuState::kError;
  }
  put_off(now);
}

void PathMtu::put_off(Timestamp now) {
  retry_at_ = confirm_at_ = raise_at_ = now + back_off_;
  back_off_ = std::min<Duration>(2 * back_off_, std::max(settings_.raise, kConfirm));
}

}  // namespace cygnet::agent
