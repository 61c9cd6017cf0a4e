// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The thread that listens: the kernel's events, datagrams on the ESP port that are no ESP, probes,
/// and the counters, read at a steady pace. It decides nothing: what it heard goes to the control
/// thread in one piece. Made and destroyed on the control thread.

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cygnet/agent/backend/common/mailbox.h"
#include "cygnet/agent/backend/common/udp_socket.h"
#include "cygnet/agent/backend/xfrm/policies.h"
#include "cygnet/agent/backend/xfrm/socket.h"
#include "cygnet/agent/backend/xfrm/spi_sampler.h"
#include "cygnet/base/time.h"

namespace cygnet::agent::xfrm {

/// What was heard between two looks.
struct News {
  std::vector<ReplayEvent> replay;
  std::vector<ExpireEvent> expired;
  std::vector<MappingEvent> mappings;
  std::vector<AcquireEvent> acquires;
  bool events_lost = false;
  std::vector<std::pair<UdpEndpoint, Bytes>> control;  ///< behind the non-ESP marker
  std::vector<std::pair<IpAddress, Bytes>> probes;     ///< by the sender's mesh address
  std::vector<UnknownSpiReport> unknown_spis;
  /// Our SAs as the kernel has them, when counters were read.
  std::optional<std::vector<SaState>> states;
  Timestamp states_asked{};  ///< what was installed later may be missing in `states`
  Timestamp now{};
};

/// The kernel's IPsec error counters of this network namespace by name ("XfrmInNoStates").
using KernelCounters = std::map<std::string, std::uint64_t>;

[[nodiscard]] Timestamp read_clock();

class Watcher {
 public:
  using Sockets = std::array<std::shared_ptr<UdpSocket>, 2>;  ///< IPv4, IPv6; either may be null
  using Deliver = std::function<void(std::shared_ptr<const News>)>;

  /// `deliver` is called on the watcher's thread.
  Watcher(XfrmEvents events, XfrmSocket socket, Sockets sockets, Reqids reqids, std::uint16_t port,
          Duration poll, Deliver deliver);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  /// The socket probes come in on; -1 for none. It must stay open until it is replaced.
  void watch_probes(int fd);
  /// Reads the counters now and delivers them.
  void look();
  void read_kernel_counters(std::function<void(KernelCounters)> done);

 private:
  void run();
  void read_events(News& news);
  void read_states(News& news);
  void read_datagrams(UdpSocket& socket, News& news);
  void read_probes(News& news);
  void look_for_unknown(News& news);

  Mailbox mailbox_;
  XfrmEvents events_;
  XfrmSocket socket_;
  Sockets sockets_;
  Reqids reqids_;
  Duration poll_;
  Deliver deliver_;
  int probe_fd_ = -1;
  bool stop_ = false;
  bool look_now_ = false;
  SpiSampler sampler_;
  std::thread thread_;
};

}  // namespace cygnet::agent::xfrm
