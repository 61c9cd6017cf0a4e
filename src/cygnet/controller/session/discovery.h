// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The UDP responder that tells devices how their ESP socket looks from outside (protocol section
/// 7, "Endpoints"). Answers only cookies that `known` accepts, with less than twice the octets it
/// got, so it reflects for nobody. Loop thread only.

#include <cstdint>
#include <memory>

#include "cygnet/base/result.h"
#include "cygnet/controller/core/values.h"
#include "cygnet/rt/loop.h"
#include "cygnet/rt/text.h"

namespace cygnet::controller {

class DiscoveryResponder {
 public:
  struct Handlers {
    rt::UniqueFunction<bool(const Cookie&)> known;
    rt::UniqueFunction<void(const Cookie&, Endpoint)> on_discovered;
  };
  /// @retval rt::kErrListen naming the address and the cure
  [[nodiscard]] static Result<std::unique_ptr<DiscoveryResponder>> create(rt::Loop& loop,
                                                                          const rt::HostPort& bind,
                                                                          Handlers handlers);
  virtual ~DiscoveryResponder() = default;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  /// Datagrams that were no request or had no known cookie.
  [[nodiscard]] virtual std::uint64_t ignored() const = 0;

 protected:
  DiscoveryResponder() = default;
};

}  // namespace cygnet::controller
