// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A checker watches one property of docs/protocol.md section 6 ("What must hold"), in every run.
/// Each stands in a file of its own and says there what it takes for the property.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/sim/observer.h"

namespace cygnet::sim {

struct Violation {
  std::string checker;  ///< "S1"
  std::string text;
  Timestamp at{};
  std::vector<DeviceId> devices;
};

class Checker : public Observer {
 public:
  Checker(World& world, std::string_view name) : world_(world), name_(name) {}
  [[nodiscard]] std::string_view name() const { return name_; }
  /// How often the property was really put to the test; 0 in a whole swarm: the swarm fails.
  [[nodiscard]] std::uint64_t looked() const { return looked_; }

 protected:
  void broken(std::string text, std::vector<DeviceId> devices);
  World& world_;
  std::uint64_t looked_ = 0;

 private:
  std::string_view name_;
};

using CheckerPtr = std::unique_ptr<Checker>;
[[nodiscard]] CheckerPtr make_s1(World& world);
[[nodiscard]] CheckerPtr make_s2(World& world);
[[nodiscard]] CheckerPtr make_s3(World& world);
[[nodiscard]] CheckerPtr make_s4(World& world);
[[nodiscard]] CheckerPtr make_s5(World& world);
[[nodiscard]] CheckerPtr make_s6(World& world);
[[nodiscard]] CheckerPtr make_l1(World& world);
[[nodiscard]] CheckerPtr make_l2(World& world);
[[nodiscard]] CheckerPtr make_l3(World& world);
[[nodiscard]] CheckerPtr make_l4(World& world);
[[nodiscard]] std::vector<CheckerPtr> all_checkers(World& world);

/// "d00001 2.3": a generation, for messages.
[[nodiscard]] std::string text_of(DeviceId device, proto::RekeyCounter counter);
/// "Tx(1.2-1.3) of d00001 to d00002".
[[nodiscard]] std::string text_of(DeviceId device, DeviceId peer, proto::SaPairId pair);

}  // namespace cygnet::sim
