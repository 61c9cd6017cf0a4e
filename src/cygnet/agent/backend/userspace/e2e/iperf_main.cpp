// SPDX-License-Identifier: Apache-2.0
// Two devices in namespaces of their own, and iperf3 between their networks:
//   userspace_iperf [iperf3 arguments of the client…]

#include <cstdio>
#include <string>

#include "cygnet/agent/backend/userspace/e2e/device.h"

namespace {

using namespace cygnet;                         // NOLINT: a program of one file
using namespace cygnet::agent::userspace;       // NOLINT
using namespace cygnet::agent::userspace::e2e;  // NOLINT
constexpr proto::PeerId kOther{1};

void set_up(const Namespace& ns, int end) {
  const std::string n = std::to_string(end + 1);
  ns.shell("ip addr add 192.0.2." + n + "/24 dev u0");
  ns.shell("ip link add lan0 type veth peer name lan1 && ip link set lan0 up");
  ns.shell("ip addr add 10." + n + ".0.1/16 dev lan0");
}

void introduce(Device& device, int end, const PairPlan& plan) {
  const std::string own = std::to_string(end + 1);
  const std::string other = std::to_string(2 - end);
  device.with([&](UserspaceBackend& backend) {
    const Status self =
        backend.set_self({ip("fd01:203:405::" + own), {net("10." + own + ".0.0/16")}});
    const Status peer = backend.set_peer({kOther,
                                          "other",
                                          ip("fd01:203:405::" + other),
                                          {net("10." + other + ".0.0/16")},
                                          {at("192.0.2." + other, 4500)}});
    if (!self || !peer) std::fprintf(stderr, "cannot set up\n");
    backend.install(plan.spec(kOther, end));
    backend.choose_outbound(kOther, plan.id());
  });
}

}  // namespace

int main(int argc, char** argv) {
  const Namespace left;
  const Namespace right;
  connect(left, "u0", right, "u0");
  set_up(left, 0);
  set_up(right, 1);
  Device a(left);
  Device b(right);
  PairPlan plan;
  plan.suite.key_bits = 128;
  introduce(a, 0, plan);
  introduce(b, 1, plan);
  std::string arguments;
  for (int i = 1; i < argc; ++i) arguments += std::string(" ") + argv[i];
  right.shell("iperf3 -s -1 -D >/dev/null");
  std::fputs(left.output("iperf3 -c 10.2.0.1" + arguments + " 2>&1").c_str(), stdout);
  std::printf("losses: left [%s] right [%s]\n", a.all_losses().c_str(), b.all_losses().c_str());
  return 0;
}
