// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/device_journal.h"

#include <algorithm>
#include <limits>

namespace cygnet::agent {

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.2
//# It is further RECOMMENDED that to ensure ordering after a device reboot that the counter include
//# a "boot count", which increments after each reboot.
Status DeviceJournal::raise_boot_count() {
  std::uint32_t next = 0;
  {
    const std::lock_guard lock(mutex_);
    if (record_.boot_count == std::numeric_limits<std::uint32_t>::max()) {
      return fail(kErrBootCount, "the boot count is used up", directory_.path().string(),
                  "enrol the device under a new name");
    }
    next = record_.boot_count + 1;
  }
  return set_boot_count(next);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.2
//# the counter could be a 64-bit counter where the high order 32 bits are a "boot count", followed
//# by the counter that begins at 1 following the increment of the "boot count".
Status DeviceJournal::set_boot_count(std::uint32_t boot_count) {
  const std::lock_guard lock(mutex_);
  DeviceRecord next = record_;
  next.boot_count = boot_count;
  next.last_sequence = 0;
  CYGNET_CHECK_OK(directory_.store_device(next));
  record_ = std::move(next);
  return {};
}

Status DeviceJournal::add_own_dim(proto::RekeyCounter counter, ByteView octets) {
  const std::lock_guard lock(mutex_);
  DeviceRecord next = record_;
  if (counter.boot_count() == next.boot_count) {
    next.last_sequence = std::max(next.last_sequence, counter.sequence());
  }
  next.own_dims.emplace_back(octets.begin(), octets.end());
  if (next.own_dims.size() > kOwnDimsKept) next.own_dims.erase(next.own_dims.begin());
  CYGNET_CHECK_OK(directory_.store_device(next));
  record_ = std::move(next);
  return {};
}

DeviceRecord DeviceJournal::record() const {
  const std::lock_guard lock(mutex_);
  return record_;
}

}  // namespace cygnet::agent
