// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/checkers/checker.h"

#include "cygnet/sim/pki.h"
#include "cygnet/sim/world.h"

namespace cygnet::sim {

void Checker::broken(std::string text, std::vector<DeviceId> devices) {
  world_.violate({std::string(name_), std::move(text), {}, std::move(devices)});
}

std::vector<CheckerPtr> all_checkers(World& world) {
  std::vector<CheckerPtr> all;
  for (const auto make :
       {make_s1, make_s2, make_s3, make_s4, make_s5, make_s6, make_l1, make_l2, make_l3, make_l4}) {
    all.push_back(make(world));
  }
  return all;
}

std::string text_of(DeviceId device, proto::RekeyCounter counter) {
  return label_of(device) + " " + proto::to_string(counter);
}

std::string text_of(DeviceId device, DeviceId peer, proto::SaPairId pair) {
  return "Tx(" + proto::to_string(pair.local) + "-" + proto::to_string(pair.remote) + ") of " +
         label_of(device) + " to " + label_of(peer);
}

}  // namespace cygnet::sim
