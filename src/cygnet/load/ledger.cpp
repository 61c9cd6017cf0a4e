// SPDX-License-Identifier: Apache-2.0
#include "cygnet/load/ledger.h"

#include <algorithm>

#include "cygnet/base/assert.h"

namespace cygnet::load {
namespace {

/// DIMs whose octets are kept for comparison; what is older can only be a fault of order.
constexpr std::size_t kRecordsKept = 64;

}  // namespace

Ledger::Ledger(std::uint32_t devices, std::uint32_t group)
    : devices_(devices),
      group_(group == 0 || group > devices ? devices : group),
      senders_(devices),
      held_(devices),
      excused_(devices, false),
      untimed_(devices, false) {
  CYGNET_ASSERT(devices > 0);
  for (DeviceNumber i = 0; i < devices_; ++i) held_[i].resize(group_end(i) - group_begin(i));
}

DeviceNumber Ledger::group_begin(DeviceNumber device) const { return device / group_ * group_; }

DeviceNumber Ledger::group_end(DeviceNumber device) const {
  return std::min(devices_, group_begin(device) + group_);
}

std::uint32_t Ledger::peers_of(DeviceNumber device) const {
  return group_end(device) - group_begin(device) - 1;
}

Ledger::Held& Ledger::held(DeviceNumber receiver, DeviceNumber sender) {
  return held_[receiver][sender - group_begin(sender)];
}

const Ledger::Held& Ledger::held(DeviceNumber receiver, DeviceNumber sender) const {
  return held_[receiver][sender - group_begin(sender)];
}

const Ledger::Record* Ledger::find(const Sender& sender, std::uint64_t counter) {
  const auto it = std::lower_bound(sender.records.begin(), sender.records.end(), counter,
                                   [](const Record& r, std::uint64_t c) { return r.counter < c; });
  return it != sender.records.end() && it->counter == counter ? &*it : nullptr;
}

void Ledger::count_missing(DeviceNumber receiver, Sender& sender, int by) {
  const auto moved = [by](auto& count) {
    count = static_cast<std::remove_reference_t<decltype(count)>>(static_cast<std::int64_t>(count) +
                                                                  by);
  };
  moved(sender.missing);
  moved(missing_);
  if (excused_[receiver]) moved(missing_excused_);
}

/// After the newest changed: who lacks it now.
void Ledger::recount(DeviceNumber number) {
  Sender& sender = senders_[number];
  for (DeviceNumber r = group_begin(number); r < group_end(number); ++r) {
    if (r == number) continue;
    if (held(r, number).counter != sender.newest) count_missing(r, sender, +1);
  }
}

void Ledger::published(DeviceNumber number, std::uint64_t counter, Bytes octets, Timestamp at) {
  Sender& sender = senders_[number];
  CYGNET_ASSERT(sender.records.empty() || counter > sender.records.back().counter);
  // Receivers hold something of this device that it had not published.
  if (sender.before >= counter) ++faults_.invented;
  for (DeviceNumber r = group_begin(number); r < group_end(number); ++r) {
    if (r != number && sender.newest != 0 && held(r, number).counter != sender.newest) {
      count_missing(r, sender, -1);
    }
  }
  sender.records.push_back({counter, at, std::move(octets), false, false});
  if (sender.records.size() > kRecordsKept) sender.records.pop_front();
  sender.newest = counter;
  recount(number);
  ++totals_.published;
  if (times_.first_published == Timestamp{}) times_.first_published = at;
}

void Ledger::accepted(DeviceNumber number, std::uint64_t counter, Timestamp at) {
  for (Record& record : senders_[number].records) {
    if (record.counter != counter || record.accepted) continue;
    record.accepted = true;
    ++totals_.accepted;
    if (record.at >= measured_from_) times_.accepted.add(at - record.at);
  }
}

void Ledger::refused(DeviceNumber number, std::uint64_t counter) {
  ++faults_.refused;
  Sender& sender = senders_[number];
  for (DeviceNumber r = group_begin(number); r < group_end(number); ++r) {
    if (r != number && held(r, number).counter != sender.newest) count_missing(r, sender, -1);
  }
  sender.newest = 0;
  for (Record& record : sender.records) {
    if (record.counter == counter) record.refused = true;
    if (!record.refused) sender.newest = record.counter;
  }
  if (sender.newest != 0) recount(number);
}

void Ledger::reconnected(DeviceNumber receiver) {
  for (Held& each : held_[receiver]) each.may_repeat = true;
}

void Ledger::excuse(DeviceNumber receiver, bool excused) {
  if (excused_[receiver] == excused) return;
  excused_[receiver] = excused;
  untimed_[receiver] = true;
  for (DeviceNumber s = group_begin(receiver); s < group_end(receiver); ++s) {
    const Sender& sender = senders_[s];
    if (s == receiver || sender.newest == 0 || held(receiver, s).counter == sender.newest) continue;
    if (excused) {
      ++missing_excused_;
    } else {
      --missing_excused_;
    }
  }
}

void Ledger::delivered(DeviceNumber receiver, DeviceNumber number, std::uint64_t counter,
                       ByteView octets, Timestamp at) {
  if (number >= devices_ || number == receiver || group_begin(number) != group_begin(receiver)) {
    ++faults_.stranger;
    return;
  }
  Sender& sender = senders_[number];
  Held& mine = held(receiver, number);
  ++totals_.deliveries;
  if (counter < mine.counter) {
    ++faults_.out_of_order;
    return;
  }
  if (counter == mine.counter) {
    ++(mine.may_repeat ? totals_.again : faults_.repeated);
    mine.may_repeat = false;
    return;
  }
  mine.may_repeat = false;
  const Record* record = find(sender, counter);
  if (record == nullptr) {
    if (!sender.records.empty() && counter > sender.records.front().counter) {
      ++faults_.invented;
      return;
    }
    ++totals_.from_before;
    sender.before = std::max(sender.before, counter);
    mine.counter = counter;
    return;
  }
  if (!equal(record->octets, octets)) {
    ++faults_.altered;
    return;
  }
  for (auto it = sender.records.begin(); it->counter < counter; ++it) {
    if (it->counter > mine.counter && it->accepted) ++totals_.coalesced;
  }
  mine.counter = counter;
  if (record->at >= measured_from_ && !untimed_[receiver]) {
    times_.delivered.add(at - record->at);
    times_.last_delivered = at;
  }
  if (counter != sender.newest) return;
  count_missing(receiver, sender, -1);
  if (sender.missing == 0 && record->at >= measured_from_) times_.everybody.add(at - record->at);
}

std::vector<Missing> Ledger::missing(std::size_t most) const {
  std::vector<Missing> out;
  for (DeviceNumber s = 0; s < devices_ && out.size() < most; ++s) {
    if (senders_[s].missing == 0) continue;
    for (DeviceNumber r = group_begin(s); r < group_end(s) && out.size() < most; ++r) {
      if (r == s || held(r, s).counter == senders_[s].newest) continue;
      out.push_back({r, s, senders_[s].newest, held(r, s).counter});
    }
  }
  return out;
}

void Ledger::start_measuring(Timestamp now) {
  times_ = Times{};
  measured_from_ = now;
  untimed_ = excused_;
}

}  // namespace cygnet::load
