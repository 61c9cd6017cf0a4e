// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/data_plane.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "cygnet/base/assert.h"

namespace cygnet::agent::userspace {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(100);
// How often a source is asked again before the others get their turn.
constexpr int kBatchesInARow = 4;

Timestamp read_clock() {
  timespec t{};
  clock_gettime(CLOCK_BOOTTIME, &t);
  return Timestamp(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

}  // namespace

DataPlane::DataPlane(const UserspaceConfig& config, Tun tun, std::unique_ptr<UdpSocket> v4,
                     std::unique_ptr<UdpSocket> v6, const Reporter& reporter)
    : config_(config),
      tun_(std::move(tun)),
      sockets_{std::move(v4), std::move(v6)},
      state_(config_, tun_, reporter),
      outbound_(state_, sockets_[0].get(), sockets_[1].get(), [this] { return run_commands(); }),
      inbound_(state_, outbound_),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  CYGNET_ASSERT(epoll_.is_open());
  CYGNET_ASSERT(sockets_[0] != nullptr || sockets_[1] != nullptr);
  watch(mailbox_.fd(), kMailbox);
  if (sockets_[0] != nullptr) watch(sockets_[0]->fd(), kSocketV4);
  if (sockets_[1] != nullptr) watch(sockets_[1]->fd(), kSocketV6);
}

void DataPlane::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "cygnet-plane");
    run();
  });
}

void DataPlane::stop() {
  if (!thread_.joinable()) return;
  mailbox_.post([this] { stop_ = true; });
  thread_.join();
}

void DataPlane::post(Command command) {
  mailbox_.post([this, command = std::move(command)]() mutable { command(*this); });
}

void DataPlane::watch(int fd, Source source) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = source;
  CYGNET_ASSERT(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
}

void DataPlane::update_interest() {
  for (const std::size_t i : {0U, 1U}) {
    const bool writable = outbound_.sender().blocked(i == 1);
    if (writable == writable_watched_[i] || sockets_[i] == nullptr) continue;
    writable_watched_[i] = writable;
    epoll_event event{};
    event.events = EPOLLIN | (writable ? EPOLLOUT : 0U);
    event.data.u32 = i == 1 ? kSocketV6 : kSocketV4;
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, sockets_[i]->fd(), &event);
  }
  // While a full socket holds all our buffers, the kernel's queue must hold the packets.
  const bool read = !tun_gone_ && outbound_.sender().pool().available() > Sender::kSlots / 2;
  if (read == tun_watched_) return;
  tun_watched_ = read;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = kTun;
  epoll_ctl(epoll_.get(), read ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, tun_.fd(), &event);
}

int DataPlane::wait_timeout() const {
  Timestamp next = Timestamp::max();
  if (state_.timers_wanted) next = next_tick_;
  if (config_.keepalive > Duration::zero()) next = std::min(next, next_keepalive_);
  if (next == Timestamp::max()) return -1;
  if (next <= state_.now) return 0;
  // Rounded up: waking a fraction of a millisecond early would spin.
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next - state_.now).count());
}

// A packet seldom comes alone, and waking up costs more than a packet: for a moment after work look
// again, and leave the processor to whoever wants it. Without traffic the thread sleeps.
int DataPlane::wait(std::span<epoll_event> events) {
  const int room = static_cast<int>(events.size());
  while (state_.now < spin_until_) {
    const int n = epoll_wait(epoll_.get(), events.data(), room, 0);
    if (n != 0) return n;
    sched_yield();
    state_.now = read_clock();
  }
  return epoll_wait(epoll_.get(), events.data(), room, wait_timeout());
}

void DataPlane::run() {
  state_.now = read_clock();
  next_keepalive_ = state_.now + config_.keepalive / 8;
  std::array<epoll_event, 4> events;
  while (!stop_) {
    update_interest();
    const int n = wait(events);
    state_.now = read_clock();
    if (n > 0) spin_until_ = state_.now + config_.spin;
    bool commands = false;
    bool tun = false;
    std::array<bool, 2> sockets{};
    for (int i = 0; i < n; ++i) {
      switch (events[static_cast<std::size_t>(i)].data.u32) {
        case kMailbox:
          commands = true;
          break;
        case kTun:
          tun = true;
          break;
        case kSocketV4:
          sockets[0] = true;
          break;
        default:
          sockets[1] = true;
          break;
      }
    }
    // Commands first: a packet may be the consequence of one.
    if (commands) run_commands();
    for (const std::size_t i : {0U, 1U}) {
      if (sockets[i]) receive(*sockets_[i]);
    }
    if (tun) read_tun();
    tick();
    outbound_.sender().flush();
  }
}

bool DataPlane::run_commands() {
  auto commands = mailbox_.take();
  for (auto& command : commands) command();
  return !commands.empty();
}

void DataPlane::receive(UdpSocket& socket) {
  for (int i = 0; i < kBatchesInARow; ++i) {
    const auto batch = socket.receive();
    for (const Datagram& datagram : batch) inbound_.handle(datagram);
    inbound_.flush();
    if (const std::uint32_t lost = socket.take_overflow()) {
      state_.drop(esp::EspDrop::kSocketOverflow, lost);
    }
    if (batch.size() < kBatch) return;
  }
}

void DataPlane::read_tun() {
  Sender& sender = outbound_.sender();
  for (int i = 0; i < kBatchesInARow; ++i) {
    for (std::size_t k = 0; k < kBatch; ++k) {
      const auto slot = sender.pool().acquire();
      if (!slot) break;
      GsoInfo gso;
      const int n = tun_.read(
          sender.pool()[*slot].subspan(OutboundPath::kHeadroom, OutboundPath::kMaxInner), gso);
      if (n > 0) {
        outbound_.from_tun(*slot, static_cast<std::size_t>(n), gso);
        if (sender.flush_due()) sender.flush();
        continue;
      }
      sender.pool().release(*slot);
      if (n < 0) {
        tun_gone_ = true;
        state_.reporter.tell([name = tun_.name(), n](BackendEvents& events) {
          events.on_fault(Error{kErrTunGone,
                                std::string("the tunnel device is gone: ") + std::strerror(-n),
                                name, "restart the agent"});
        });
      }
      sender.flush();
      return;
    }
    sender.flush();
    if (sender.blocked()) return;
  }
}

void DataPlane::tick() {
  if (state_.timers_wanted && state_.now >= next_tick_) {
    next_tick_ = state_.now + kTick;
    state_.timers_wanted = false;
    outbound_.expire_held();
    inbound_.report_pending_moves();
    inbound_.expire_waiting();
    for (const UnknownSpiReport& report : state_.unknown_spis.take(state_.now)) {
      state_.reporter.tell([report](BackendEvents& events) {
        events.on_unknown_spi(report.spi, report.source, report.count);
      });
    }
    if (state_.unknown_spis.pending()) state_.timers_wanted = true;
  }
  if (config_.keepalive > Duration::zero() && state_.now >= next_keepalive_) {
    next_keepalive_ = state_.now + config_.keepalive / 8;
    outbound_.send_keepalives();
  }
}

void DataPlane::set_peer(proto::PeerId peer, std::string name, const IpAddress& mesh_address,
                         std::vector<UdpEndpoint> candidates) {
  Peer& entry = state_.peers.set(peer, std::move(name), mesh_address, std::move(candidates));
  outbound_.flush_held(entry);
}

void DataPlane::give_prefix(const IpPrefix& prefix, proto::PeerId peer) {
  if (state_.peers.find(peer) != nullptr) state_.peers.give_prefix(prefix, peer);
}

void DataPlane::remove_peer(proto::PeerId id) {
  Peer* const peer = state_.peers.find(id);
  if (peer == nullptr) return;
  outbound_.drop_held(*peer);
  peer->chosen = nullptr;
  for (const auto& pair : peer->pairs) {
    for (const auto& sa : pair->inbound) state_.sad.remove(*sa);
    inbound_.drop_waiting(*pair);
  }
  state_.peers.erase(id);
}

void DataPlane::install(proto::PeerId id, std::unique_ptr<SaPair> pair) {
  const proto::SaPairId pair_id = pair->id;
  const auto refuse = [&](bool collision, Error error) {
    state_.reporter.tell([id, pair_id, collision, error = std::move(error)](BackendEvents& events) {
      events.on_install_failed(id, pair_id, collision, error);
    });
  };
  Peer* const peer = state_.peers.find(id);
  if (peer == nullptr) {
    return refuse(false, Error{kErrUnknownPeer, "SAs for a peer that is not set", "data plane"});
  }
  // docs/protocol.md section 6, "Install once": the same keys with counters back at zero would
  // use an IV twice.
  if (peer->find(pair_id) != nullptr) {
    return refuse(false, Error{kErrInstalledTwice, "an SA pair that is installed already",
                               peer->name, "roll over instead"});
  }
  pair->peer = peer;
  for (std::size_t i = 0; i < pair->inbound.size(); ++i) {
    if (state_.sad.add(*pair->inbound[i])) continue;
    for (std::size_t k = 0; k < i; ++k) state_.sad.remove(*pair->inbound[k]);
    return refuse(
        true, Error{kErrSpiCollision, "more SAs share an SPI than the data plane tries one by one",
                    peer->name, "roll over"});
  }
  peer->pairs.push_back(std::move(pair));
  state_.reporter.tell([id, pair_id](BackendEvents& events) { events.on_installed(id, pair_id); });
}

void DataPlane::give_keys(proto::PeerId id, std::unique_ptr<SaPair> keyed) {
  Peer* const peer = state_.peers.find(id);
  SaPair* const pair = peer == nullptr ? nullptr : peer->find(keyed->id);
  if (pair == nullptr || !complete(*pair, *keyed)) return;  // removed meanwhile
  const auto waits = std::move(pair->waits);
  // What came in first: it may show where the peer is.
  if (waits != nullptr) inbound_.take_waiting(*waits);
  if (peer->chosen == pair) outbound_.flush_held(*peer);
  if (waits == nullptr) return;
  for (const Bytes& probe : waits->probes()) outbound_.send_probe(*peer, *pair, probe);
}

void DataPlane::choose_outbound(proto::PeerId id, std::optional<proto::SaPairId> pair) {
  Peer* const peer = state_.peers.find(id);
  if (peer == nullptr) return;
  SaPair* const chosen = pair ? peer->find(*pair) : nullptr;
  peer->chosen = chosen != nullptr && chosen->has_outbound() ? chosen : nullptr;
  outbound_.flush_held(*peer);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
//# when a connection is closed each endpoint MUST forget not only the keys used by the connection
void DataPlane::erase_if_empty(Peer& peer, proto::SaPairId pair) {
  std::erase_if(peer.pairs, [&](const auto& p) { return p->id == pair && p->empty(); });
}

void DataPlane::remove_outbound(proto::PeerId id, proto::SaPairId pair_id) {
  Peer* const peer = state_.peers.find(id);
  SaPair* const pair = peer == nullptr ? nullptr : peer->find(pair_id);
  if (pair == nullptr) return;
  if (peer->chosen == pair) peer->chosen = nullptr;
  pair->outbound.clear();
  pair->outbound_removed = true;
  erase_if_empty(*peer, pair_id);
}

void DataPlane::remove_inbound(proto::PeerId id, proto::SaPairId pair_id) {
  Peer* const peer = state_.peers.find(id);
  SaPair* const pair = peer == nullptr ? nullptr : peer->find(pair_id);
  if (pair == nullptr) return;
  for (const auto& sa : pair->inbound) state_.sad.remove(*sa);
  inbound_.drop_waiting(*pair);
  pair->inbound.clear();
  erase_if_empty(*peer, pair_id);
}

void DataPlane::send_probe(proto::PeerId id, proto::SaPairId pair_id, ByteView payload) {
  Peer* const peer = state_.peers.find(id);
  SaPair* const pair = peer == nullptr ? nullptr : peer->find(pair_id);
  if (pair == nullptr) return state_.drop(esp::EspDrop::kProbeNoSa);
  outbound_.send_probe(*peer, *pair, payload);
}

void DataPlane::send_path_probe(proto::PeerId id, proto::SaPairId pair_id, ByteView payload) {
  Peer* const peer = state_.peers.find(id);
  SaPair* const pair = peer == nullptr ? nullptr : peer->find(pair_id);
  if (pair == nullptr) return state_.drop(esp::EspDrop::kProbeNoSa);
  outbound_.send_path_probe(*peer, *pair, payload);
}

void DataPlane::set_path_mtu(proto::PeerId id, std::uint32_t inner, bool whole) {
  Peer* const peer = state_.peers.find(id);
  if (peer == nullptr) return;
  peer->path_mtu = inner;
  peer->path_whole = whole;
}

void DataPlane::set_soft_packet_limit(std::uint64_t packets) { state_.soft_packet_limit = packets; }

std::vector<PairCounters> DataPlane::counters() {
  std::vector<PairCounters> out;
  const auto sum = [](SaCounters& into, const SaCounters& sa) {
    into.packets += sa.packets;
    into.octets += sa.octets;
    into.user_packets += sa.user_packets;
  };
  state_.peers.for_each([&](Peer& peer) {
    for (const auto& pair : peer.pairs) {
      PairCounters& row = out.emplace_back();
      row.peer = peer.id;
      row.pair = pair->id;
      for (const auto& sa : pair->inbound) {
        sum(row.in, sa->counters);
        row.highest_seq_in = std::max(row.highest_seq_in, sa->window.highest());
      }
      for (const auto& sa : pair->outbound) {
        sum(row.out, sa->counters);
        row.highest_seq_out = std::max(row.highest_seq_out, sa->last_sequence);
      }
      row.spis = pair->spis;
    }
  });
  return out;
}

std::vector<DropCounter> DataPlane::drops() const {
  std::vector<DropCounter> out;
  out.reserve(esp::kEspDropCount);
  for (std::size_t i = 0; i < esp::kEspDropCount; ++i) {
    const auto drop = static_cast<esp::EspDrop>(i);
    out.push_back(
        {std::string(esp::to_string(drop)), state_.drops.count(drop), esp::is_loss(drop)});
  }
  return out;
}

std::vector<PeerPath> DataPlane::paths() {
  std::vector<PeerPath> out;
  state_.peers.for_each([&](Peer& peer) {
    PeerPath& row = out.emplace_back();
    row.peer = peer.id;
    if (peer.endpoint.is_set()) row.endpoint = peer.endpoint.endpoint();
    row.endpoint_learned = peer.endpoint_learned;
    row.held_dropped = peer.held_dropped;
    row.no_sa = peer.no_sa;
  });
  return out;
}

}  // namespace cygnet::agent::userspace
