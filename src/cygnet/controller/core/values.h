// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Small values that the controller's core, sessions and driver share: handles, the two clocks,
/// endpoints, shared octets. Pure; value types.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/bytes.h"
#include "cygnet/base/strong.h"
#include "cygnet/base/time.h"
#include "cygnet/controller/policy/compiled.h"

namespace cygnet::controller {

using policy::DeviceIndex;

/// One device stream, given out by the driver; never reused while the process runs.
using SessionId = Strong<struct SessionIdTag, std::uint64_t>;
/// One enrolment or operator request that gets exactly one answer.
using RequestId = Strong<struct RequestIdTag, std::uint64_t>;
/// One batch on its way to the store.
using Ticket = Strong<struct TicketTag, std::uint64_t>;
/// A place in the mesh's total order of changes; 0 is before the first.
using Position = std::uint64_t;

/// Both clocks, read once by the driver for each input.
struct Times {
  Timestamp mono;
  ServerTime wall;
};

/// Octets encoded once and pointed at by every queue they wait in.
using SharedOctets = std::shared_ptr<const Bytes>;

enum class EndpointOrigin : std::uint8_t { kConfigured = 1, kDiscovered = 2, kLearned = 3 };

/// An outer address and UDP port at which a device may be reached.
struct Endpoint {
  Bytes address;  ///< 4 or 16 octets
  std::uint16_t port = 0;
  EndpointOrigin origin = EndpointOrigin::kConfigured;
  std::string interface;  ///< scope of a link-local address, meaningful on the device only
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// Random octets of a session: a discovery datagram that carries them belongs to it.
using Cookie = std::array<std::uint8_t, 16>;

/// Monotonic totals by name ("publish-refused.stale"), as /api/v1/status and metrics show them.
class Counters {
 public:
  void add(std::string_view name, std::uint64_t n = 1) {
    const auto it = totals_.find(name);
    if (it != totals_.end()) {
      it->second += n;
    } else {
      totals_.emplace(std::string(name), n);
    }
  }
  [[nodiscard]] std::uint64_t get(std::string_view name) const {
    const auto it = totals_.find(name);
    return it == totals_.end() ? 0 : it->second;
  }
  [[nodiscard]] const std::map<std::string, std::uint64_t, std::less<>>& all() const {
    return totals_;
  }

 private:
  std::map<std::string, std::uint64_t, std::less<>> totals_;
};

}  // namespace cygnet::controller
