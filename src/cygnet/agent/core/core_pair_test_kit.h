// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Two devices that policy allows to each other: what most tests of AgentCore begin with.

#include "cygnet/agent/core/core_test_kit.h"

namespace cygnet::agent::testing {

/// Devices a and b that policy allows to each other; both have had their settings.
class Pair : public ::testing::Test {
 protected:
  void meet() {
    a.welcome();
    b.welcome();
    dim_a = accept_publish(a);
    dim_b = accept_publish(b);
    a.update({change_with(b.name(), dim_b)}, 2);
    b.update({change_with(a.name(), dim_a)}, 2);
    mark_delivered(a, {b.name()});
    mark_delivered(b, {a.name()});
  }
  /// Evidence of a packet from each on what the other sends on.
  void exchange() {
    const auto from = [](TestDevice& sender, const std::string& to_label, TestDevice& receiver,
                         const std::string& from_label) {
      const auto out = sender.outbound[sender.peer(to_label)];
      if (!out) return;
      receiver.run(receiver.core().on_evidence(receiver.peer(from_label), {out->remote, out->local},
                                               EvidenceKind::kUser, receiver.now()));
    };
    from(a, "b", b, "a");
    from(b, "a", a, "b");
  }
  [[nodiscard]] proto::RekeyCounter newest(TestDevice& device) {
    return proto::decode_dim(device.published.back())->counter;
  }

  TestCa ca;
  TestDevice a{ca, "a"};
  TestDevice b{ca, "b"};
  StoredDim dim_a, dim_b;
};

}  // namespace cygnet::agent::testing
