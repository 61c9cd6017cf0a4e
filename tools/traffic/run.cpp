// SPDX-License-Identifier: Apache-2.0
#include "traffic/run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "traffic/log.h"

namespace cygnet::traffic {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

bool make_address(const std::string& text, std::uint16_t port, Address& out) {
  sockaddr_in v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&out.storage, &v4, sizeof v4);
    out.length = sizeof v4;
    return true;
  }
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&out.storage, &v6, sizeof v6);
    out.length = sizeof v6;
    return true;
  }
  return false;
}

/// Magic, sender, receiver, two zero octets, sequence number; then filler.
struct Header {
  char magic[4];
  std::uint8_t from;
  std::uint8_t to;
  std::uint16_t zero;
  std::uint32_t seq;
};
static_assert(sizeof(Header) == 12);

struct Flow {  // one TCP flow, either end
  int fd = -1;
  bool connected = false;
  std::uint64_t octets = 0;
  std::uint64_t allowed = 0;  ///< octets the rate limit has let through so far
  std::uint64_t retry_at_ns = 0;
  std::uint64_t connects = 0;
  std::uint64_t wrong = 0;  ///< octets that differ from what was sent
};

struct Peer {
  PeerTarget target;
  Address address;
  int udp = -1;
  std::uint32_t next_seq = 0;
  std::uint64_t started_ns = 0;
  Flow flow;
};

class Endpoint {
 public:
  explicit Endpoint(const RunOptions& options)
      : options_(options), log_(options.log_path, options.self) {}

  int run() {
    if (!log_.ok()) return complain("cannot write", options_.log_path);
    if (!open_everything()) return 1;
    std::vector<epoll_event> events(64);
    bool stop = false;
    while (!stop) {
      const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      if (n < 0 && errno != EINTR) return complain("epoll_wait", std::strerror(errno));
      for (int i = 0; i < n; ++i) {
        const int fd = events[static_cast<std::size_t>(i)].data.fd;
        if (fd == signals_) {
          stop = true;
        } else if (fd == timer_) {
          std::uint64_t ticks = 0;
          if (::read(timer_, &ticks, sizeof ticks) > 0) tick();
        } else if (const auto udp = udp_.find(fd); udp != udp_.end()) {
          receive(fd);
        } else if (const auto tcp = listeners_.find(fd); tcp != listeners_.end()) {
          accept_flow(fd);
        } else {
          read_flow(fd);
        }
      }
    }
    log_.flush();
    write_summary();
    return 0;
  }

 private:
  static int complain(const char* what, const std::string& which) {
    std::fprintf(stderr, "cygnet-traffic: %s: %s\n", what, which.c_str());
    return 1;
  }

  void watch(int fd) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  bool open_everything() {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    signals_ = signalfd(-1, &set, SFD_CLOEXEC);
    watch(signals_);
    std::map<std::string, int> by_local;
    const std::uint64_t now = monotonic_ns();
    for (const PeerTarget& target : options_.peers) {
      auto peer = std::make_unique<Peer>();
      peer->target = target;
      if (!make_address(target.address, options_.port, peer->address)) {
        complain("not an address", target.address);
        return false;
      }
      if (!by_local.contains(target.local)) {
        const int fd = open_udp(target.local);
        if (fd < 0) return false;
        by_local[target.local] = fd;
        if (options_.tcp_mbit > 0 && !open_listener(target.local)) return false;
      }
      peer->udp = by_local[target.local];
      peer->started_ns = now;
      peers_.push_back(std::move(peer));
    }
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    itimerspec every{};
    every.it_interval.tv_nsec = 2'000'000;
    every.it_value.tv_nsec = 2'000'000;
    timerfd_settime(timer_, 0, &every, nullptr);
    watch(timer_);
    return true;
  }

  int open_udp(const std::string& local) {
    Address address;
    if (!make_address(local, options_.port, address)) {
      complain("not an address", local);
      return -1;
    }
    const int fd = socket(address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int size = 8 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    if (bind(fd, address.get(), address.length) != 0) {
      complain("cannot bind UDP", local + ": " + std::strerror(errno));
      return -1;
    }
    udp_[fd] = true;
    watch(fd);
    return fd;
  }

  bool open_listener(const std::string& local) {
    Address address;
    make_address(local, static_cast<std::uint16_t>(options_.port + 1), address);
    const int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, address.get(), address.length) != 0 || listen(fd, 64) != 0) {
      complain("cannot listen on TCP", local + ": " + std::strerror(errno));
      return false;
    }
    listeners_[fd] = true;
    watch(fd);
    return true;
  }

  void tick() {
    const std::uint64_t now = monotonic_ns();
    std::vector<std::uint8_t> packet(std::max(options_.payload, sizeof(Header)));
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      Peer& peer = *peers_[i];
      // Peers are spread over the period so that one tick does not burst to all of them.
      const double offset = static_cast<double>(i) / static_cast<double>(peers_.size());
      const double due = static_cast<double>(now - peer.started_ns) / 1e9 * options_.rate - offset;
      while (due > 0 && peer.next_seq < static_cast<std::uint32_t>(due)) {
        Header header{};
        std::memcpy(header.magic, kMagic, sizeof kMagic);
        header.from = options_.self;
        header.to = peer.target.number;
        header.seq = peer.next_seq;
        std::memcpy(packet.data(), &header, sizeof header);
        // Stamped before the call: the datagram may arrive before the call returns.
        const std::uint64_t sent_ns = monotonic_ns();
        const ssize_t n = sendto(peer.udp, packet.data(), packet.size(), 0, peer.address.get(),
                                 peer.address.length);
        log_.add(n < 0 ? Kind::kSendRefused : Kind::kSent, peer.target.number, peer.next_seq,
                 sent_ns);
        ++peer.next_seq;
      }
      if (options_.tcp_mbit > 0 && options_.self < peer.target.number) drive_flow(peer, now);
    }
  }

  void receive(int fd) {
    std::uint8_t buffer[2048];
    for (int i = 0; i < 256; ++i) {
      const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
      if (n < 0) return;
      if (static_cast<std::size_t>(n) < sizeof(Header)) continue;
      Header header{};
      std::memcpy(&header, buffer, sizeof header);
      if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) continue;
      if (header.to != options_.self) continue;
      log_.add(Kind::kReceived, header.from, header.seq, monotonic_ns());
    }
  }

  void drive_flow(Peer& peer, std::uint64_t now) {
    Flow& flow = peer.flow;
    if (flow.fd < 0) {
      if (now < flow.retry_at_ns) return;
      connect_flow(peer, now);
      if (flow.fd < 0) return;
    }
    flow.allowed = static_cast<std::uint64_t>(static_cast<double>(now - peer.started_ns) / 1e9 *
                                              options_.tcp_mbit * 1e6 / 8.0);
    std::uint8_t chunk[1400];
    while (flow.octets + sizeof chunk <= flow.allowed) {
      for (std::size_t i = 0; i < sizeof chunk; ++i) {
        chunk[i] = static_cast<std::uint8_t>((flow.octets + i) % 251);
      }
      const ssize_t n = send(flow.fd, chunk, sizeof chunk, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) {
        flow.connected = true;
        flow.octets += static_cast<std::uint64_t>(n);
        if (static_cast<std::size_t>(n) < sizeof chunk) break;
        continue;
      }
      if (errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS) break;
      close(flow.fd);
      flow.fd = -1;
      flow.retry_at_ns = now + 500'000'000ULL;
      break;
    }
  }

  void connect_flow(Peer& peer, std::uint64_t now) {
    Address local;
    Address remote;
    make_address(peer.target.local, 0, local);
    make_address(peer.target.address, static_cast<std::uint16_t>(options_.port + 1), remote);
    const int fd = socket(remote.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(fd, local.get(), local.length) != 0 ||
        (connect(fd, remote.get(), remote.length) != 0 && errno != EINPROGRESS)) {
      close(fd);
      peer.flow.retry_at_ns = now + 500'000'000ULL;
      return;
    }
    ++peer.flow.connects;
    peer.flow.fd = fd;
    // The stream starts again at its pattern's beginning, and so does the receiver's check.
    peer.flow.octets -= peer.flow.octets % 251;
  }

  void accept_flow(int listener) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    accepted_[fd] = Flow{};
    accepted_[fd].fd = fd;
    watch(fd);
  }

  void read_flow(int fd) {
    const auto found = accepted_.find(fd);
    if (found == accepted_.end()) return;
    std::uint8_t buffer[16384];
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n > 0) {
      for (ssize_t i = 0; i < n; ++i) {
        if (buffer[i] != found->second.octets++ % 251) ++found->second.wrong;
      }
      return;
    }
    if (n < 0 && errno == EAGAIN) return;
    finished_octets_ += found->second.octets;
    finished_wrong_ += found->second.wrong;
    close(fd);
    accepted_.erase(found);
  }

  void write_summary() const {
    if (options_.summary_path.empty()) return;
    std::uint64_t sent = 0;
    std::uint64_t connects = 0;
    std::uint64_t received = finished_octets_;
    std::uint64_t wrong = finished_wrong_;
    for (const auto& peer : peers_) {
      sent += peer->flow.octets;
      connects += peer->flow.connects;
    }
    for (const auto& [fd, flow] : accepted_) {
      received += flow.octets;
      wrong += flow.wrong;
    }
    nlohmann::json out = {{"self", options_.self},
                          {"tcp_sent_octets", sent},
                          {"tcp_received_octets", received},
                          {"tcp_wrong_octets", wrong},
                          {"tcp_connects", connects}};
    std::ofstream(options_.summary_path) << out.dump(2) << "\n";
  }

  RunOptions options_;
  LogWriter log_;
  int epoll_ = -1;
  int signals_ = -1;
  int timer_ = -1;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::map<int, bool> udp_;
  std::map<int, bool> listeners_;
  std::map<int, Flow> accepted_;
  std::uint64_t finished_octets_ = 0;
  std::uint64_t finished_wrong_ = 0;
};

}  // namespace

int run(const RunOptions& options) { return Endpoint(options).run(); }

}  // namespace cygnet::traffic
