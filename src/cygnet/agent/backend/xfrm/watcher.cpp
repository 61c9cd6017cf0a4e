// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/watcher.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>

#include "cygnet/agent/backend/common/outer_address.h"

namespace cygnet::agent::xfrm {
namespace {

// RFC 3948 section 2.2: four octets of zero tell other datagrams on the port from ESP.
constexpr std::size_t kMarker = 4;
constexpr std::size_t kProbeMax = 2048;
// What one look takes of probes and datagrams at most; the rest waits for the next.
constexpr int kAtOnce = 256;

/// Of the network namespace this thread is in.
KernelCounters kernel_counters() {
  KernelCounters counters;
  std::ifstream file("/proc/thread-self/net/xfrm_stat");
  std::string name;
  std::uint64_t count = 0;
  while (file >> name >> count) counters[name] = count;
  return counters;
}

bool is_marked(ByteView octets) {
  return octets.size() > kMarker &&
         std::all_of(octets.begin(), octets.begin() + kMarker, [](auto o) { return o == 0; });
}

}  // namespace

Timestamp read_clock() {
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return Timestamp(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

Watcher::Watcher(XfrmEvents events, XfrmSocket socket, Sockets sockets, Reqids reqids,
                 std::uint16_t port, Duration poll, Deliver deliver)
    : events_(std::move(events)),
      socket_(std::move(socket)),
      sockets_(std::move(sockets)),
      reqids_(reqids),
      poll_(poll),
      deliver_(std::move(deliver)),
      sampler_(port),
      thread_([this] {
        pthread_setname_np(pthread_self(), "cygnet-xfrm");
        run();
      }) {}

Watcher::~Watcher() {
  mailbox_.post([this] { stop_ = true; });
  thread_.join();
}

void Watcher::watch_probes(int fd) {
  mailbox_.post([this, fd] { probe_fd_ = fd; });
}
void Watcher::look() {
  mailbox_.post([this] { look_now_ = true; });
}

void Watcher::read_kernel_counters(std::function<void(KernelCounters)> done) {
  mailbox_.post([done = std::move(done)] { done(kernel_counters()); });
}

void Watcher::run() {
  Timestamp next = read_clock() + poll_;
  while (!stop_) {
    const Timestamp now = read_clock();
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
    std::array<pollfd, 5> fds{{{mailbox_.fd(), POLLIN, 0},
                               {events_.fd(), POLLIN, 0},
                               {sockets_[0] ? sockets_[0]->fd() : -1, POLLIN, 0},
                               {sockets_[1] ? sockets_[1]->fd() : -1, POLLIN, 0},
                               {probe_fd_, POLLIN, 0}}};
    const int n = ::poll(fds.data(), fds.size(), static_cast<int>(std::max<long>(wait, 0)));
    auto news = std::make_shared<News>();
    if (n > 0) {
      if (fds[1].revents != 0) read_events(*news);
      for (const std::size_t i : {0U, 1U}) {
        if (fds[2 + i].revents != 0) read_datagrams(*sockets_[i], *news);
      }
      if (fds[4].revents != 0) read_probes(*news);
      if (fds[0].revents != 0) {
        for (auto& command : mailbox_.take()) command();
      }
    }
    const bool due = read_clock() >= next;
    // Probes are told from user packets by what the counters say at the same time.
    if (due) sampler_.take();
    if (due || look_now_ || news->events_lost || !news->probes.empty()) read_states(*news);
    if (due) look_for_unknown(*news);
    if (due) next = read_clock() + poll_;
    look_now_ = false;
    news->now = read_clock();
    const bool nothing = news->replay.empty() && news->expired.empty() && news->mappings.empty() &&
                         news->acquires.empty() && !news->events_lost && news->control.empty() &&
                         news->probes.empty() && !news->states;
    if (!nothing) deliver_(std::move(news));
  }
}

void Watcher::read_events(News& news) {
  const bool complete = events_.receive([&](const nlmsghdr* message) {
    // Foreign ones are told to everybody who listens; they have other reqids.
    if (const auto replay = parse_replay_event(message)) {
      if (reqids_.ours(replay->reqid)) news.replay.push_back(*replay);
    } else if (const auto expire = parse_expire(message)) {
      if (reqids_.ours(expire->sa.reqid)) news.expired.push_back(*expire);
    } else if (const auto mapping = parse_mapping(message)) {
      if (reqids_.ours(mapping->reqid)) news.mappings.push_back(*mapping);
    } else if (const auto acquire = parse_acquire(message)) {
      if (reqids_.ours(acquire->reqid)) news.acquires.push_back(*acquire);
    }
  });
  if (!complete) news.events_lost = true;
}

void Watcher::read_states(News& news) {
  news.states_asked = read_clock();
  std::vector<SaState> states;
  MessageBatch batch;
  batch.list_sas();
  const Status listed = socket_.list(batch, [&](const nlmsghdr* message) {
    const auto state = parse_sa(message);
    if (state && reqids_.ours(state->reqid)) states.push_back(*state);
  });
  // Without a list nothing is known; the next look is a moment away.
  if (listed) news.states = std::move(states);
}

void Watcher::look_for_unknown(News& news) {
  if (!news.states) return;
  std::set<std::uint32_t> known;
  for (const SaState& state : *news.states) known.insert(state.key.spi);
  const KernelCounters counters = kernel_counters();
  const auto count = counters.find("XfrmInNoStates");
  news.unknown_spis =
      sampler_.look(count == counters.end() ? 0 : count->second, known, news.states_asked);
}

void Watcher::read_datagrams(UdpSocket& socket, News& news) {
  for (int taken = 0; taken < kAtOnce;) {
    const auto batch = socket.receive();
    if (batch.empty()) return;
    for (const Datagram& datagram : batch) {
      ++taken;
      // Anybody can send these. Keepalives of a peer are eaten by the kernel.
      if (datagram.truncated || !is_marked(datagram.octets)) continue;
      const ByteView payload = ByteView(datagram.octets).subspan(kMarker);
      news.control.emplace_back(datagram.source.endpoint(), Bytes(payload.begin(), payload.end()));
    }
  }
}

void Watcher::read_probes(News& news) {
  std::array<std::uint8_t, kProbeMax> octets;
  for (int i = 0; i < kAtOnce; ++i) {
    OuterAddress source;
    socklen_t length = sizeof source;
    const ssize_t n =
        recvfrom(probe_fd_, octets.data(), octets.size(), MSG_DONTWAIT, &source.any, &length);
    if (n < 0) return;
    news.probes.emplace_back(source.endpoint().address, Bytes(octets.begin(), octets.begin() + n));
  }
}

}  // namespace cygnet::agent::xfrm
