// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A data plane for tests: backends of one process that hand packets to each other. It checks what
/// a real one cannot: that a pair is installed once, that both ends hold equal keys (S2), and it
/// counts packets for an SA the receiver lacks (S1).

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/base/assert.h"
#include "cygnet/rt/loop.h"

namespace cygnet::agent::testing {

class FakeBackend;

class FakeNetwork {
 public:
  explicit FakeNetwork(rt::Loop& loop) : loop_(loop) {}
  rt::Loop& loop() { return loop_; }
  std::set<FakeBackend*> backends;
  std::uint64_t delivered = 0;
  std::uint64_t lost = 0;  ///< sent on an SA that nobody has
  std::uint64_t held = 0;  ///< no outbound chosen
  bool lazy = false;       ///< backends made from now on claim pairs until their keys come

 private:
  rt::Loop& loop_;
};

class FakeBackend final : public SadBackend {
 public:
  FakeBackend(FakeNetwork& network, BackendEvents& events)
      : network_(network), events_(events), lazy_(network.lazy) {
    network_.backends.insert(this);
  }
  ~FakeBackend() override {
    network_.backends.erase(this);
    *alive_ = false;
  }

  [[nodiscard]] Features features() const override {
    Features features;
    features.name = "fake";
    features.lazy_derivation = lazy_;
    features.per_source_spi = true;
    return features;
  }
  [[nodiscard]] Status set_peer(const PeerConfig& peer) override {
    peers[peer.peer] = peer;
    return {};
  }
  void remove_peer(proto::PeerId peer, bool keep_fail_closed) override {
    CYGNET_ASSERT(keep_fail_closed);
    peers.erase(peer);
    std::erase_if(pairs_, [&](const auto& entry) { return entry.first.first == peer; });
    outbound_.erase(peer);
  }
  void install(SaPairSpec spec) override {
    const Key key{spec.peer, spec.pair};
    CYGNET_ASSERT(ever_.insert(key).second);  // Install once
    Pair& pair = pairs_[key];
    pair.spec = std::move(spec);
    post([this, key] { events_.on_installed(key.first, key.second); });
  }
  void claim(SaPairClaim claim) override {
    const Key key{claim.peer, claim.pair};
    CYGNET_ASSERT(ever_.insert(key).second);  // Install once
    Pair& pair = pairs_[key];
    pair.claimed = true;
    for (const auto& [inbound, outbound] : claim.spis) {
      pair.spec.lanes.push_back({inbound, outbound, {}, {}, {}, {}});
    }
    ++claims;
    post([this, key] { events_.on_installed(key.first, key.second); });
  }
  void give_keys(SaPairSpec spec) override {
    ++keys_given;
    const auto it = pairs_.find({spec.peer, spec.pair});
    if (it == pairs_.end()) return;
    Pair& pair = it->second;
    CYGNET_ASSERT(pair.claimed);  // derived once
    CYGNET_ASSERT(pair.spec.lanes.front().inbound == spec.lanes.front().inbound);
    pair.spec = std::move(spec);
    pair.claimed = false;
    for (auto& wait : std::exchange(pair.waits, {})) wait();
  }
  /// A packet of anybody's at the inbound SPI of every claimed pair.
  void flood() {
    for (auto& [key, pair] : pairs_) want_keys(key, pair);
  }
  [[nodiscard]] std::size_t claimed() const {
    std::size_t count = 0;
    for (const auto& [key, pair] : pairs_) count += pair.claimed ? 1U : 0U;
    return count;
  }
  void choose_outbound(proto::PeerId peer, std::optional<proto::SaPairId> pair) override {
    outbound_[peer] = pair;
  }
  void remove_outbound(proto::PeerId peer, proto::SaPairId pair) override {
    const auto it = pairs_.find({peer, pair});
    if (it == pairs_.end()) return;
    it->second.outbound = false;
    if (!it->second.inbound) pairs_.erase(it);
  }
  void remove_inbound(proto::PeerId peer, proto::SaPairId pair) override {
    const auto it = pairs_.find({peer, pair});
    if (it == pairs_.end()) return;
    it->second.inbound = false;
    if (!it->second.outbound) pairs_.erase(it);
  }
  void send_probe(proto::PeerId peer, proto::SaPairId pair, Bytes payload) override {
    send(peer, pair, std::move(payload), EvidenceKind::kProbe);
  }
  /// A packet of a user to this peer, on whatever is chosen.
  void send_user(proto::PeerId peer) {
    post([this, peer] { events_.on_user_traffic(peer); });
    const auto it = outbound_.find(peer);
    if (it == outbound_.end() || !it->second) {
      ++network_.held;
      post([this, peer] { events_.on_packet_waiting(peer); });
      return;
    }
    send(peer, *it->second, {}, EvidenceKind::kUser);
  }
  void send_control_datagram(const UdpEndpoint& to, Bytes payload) override {
    control.emplace_back(to, std::move(payload));
  }
  void set_soft_packet_limit(std::uint64_t packets) override { soft_limit = packets; }
  void query_counters(std::function<void(std::vector<PairCounters>)> done) override {
    if (silent) return;
    post([this, done = std::move(done)] {
      std::vector<PairCounters> counters;
      for (const auto& [key, pair] : pairs_) {
        PairCounters row;
        row.peer = key.first;
        row.pair = key.second;
        row.in = pair.in;
        row.out = pair.out;
        counters.push_back(row);
      }
      done(std::move(counters));
    });
  }
  void query_drops(std::function<void(std::vector<DropCounter>)> done) override {
    if (silent) return;
    post([done = std::move(done)] { done({{"no-sa", 0, true}, {"dummy", 2, false}}); });
  }
  void query_paths(std::function<void(std::vector<PeerPath>)> done) override {
    if (silent) return;
    post([done = std::move(done)] { done({}); });
  }
  void shut_down(bool open) override { shut_open = open; }

  [[nodiscard]] std::size_t pair_count() const { return pairs_.size(); }

  std::map<proto::PeerId, PeerConfig> peers;
  std::vector<std::pair<UdpEndpoint, Bytes>> control;
  std::uint64_t soft_limit = 0;
  std::uint64_t claims = 0;
  std::uint64_t keys_given = 0;
  bool silent = false;  ///< queries are never answered
  std::optional<bool> shut_open;

 private:
  using Key = std::pair<proto::PeerId, proto::SaPairId>;
  struct Pair {
    SaPairSpec spec;
    bool inbound = true;
    bool outbound = true;
    bool claimed = false;
    std::vector<std::function<void()>> waits;  ///< for the keys
    SaCounters in, out;
  };

  template <class F>
  void post(F work) {
    network_.loop().post([alive = alive_, work = std::move(work)]() mutable {
      if (*alive) work();
    });
  }

  void send(proto::PeerId peer, proto::SaPairId pair, Bytes payload, EvidenceKind kind) {
    const auto it = pairs_.find({peer, pair});
    if (it == pairs_.end() || !it->second.outbound) {
      ++network_.lost;
      return;
    }
    if (it->second.claimed) {
      it->second.waits.emplace_back(
          [this, peer, pair, payload, kind] { send(peer, pair, payload, kind); });
      return want_keys(it->first, it->second);
    }
    ++it->second.out.packets;
    it->second.out.octets += 100;
    const LaneSpec& lane = it->second.spec.lanes.front();
    for (FakeBackend* other : network_.backends) {
      if (other != this && other->receive(lane.outbound, lane.outbound_encr, payload, kind)) {
        ++network_.delivered;
        return;
      }
    }
    ++network_.lost;
  }

  void want_keys(const Key& key, const Pair& pair) {
    if (!pair.claimed) return;
    post([this, key] { events_.on_keys_wanted(key.first, key.second); });
  }

  bool receive(proto::Spi spi, const SecretBytes& sealed_with, const Bytes& payload,
               EvidenceKind kind) {
    for (auto& [key, pair] : pairs_) {
      const LaneSpec& lane = pair.spec.lanes.front();
      if (!pair.inbound || lane.inbound != spi) continue;
      if (pair.claimed) {
        pair.waits.emplace_back([this, spi, payload, kind,
                                 sealed = std::make_shared<SecretBytes>(sealed_with.reveal())] {
          CYGNET_ASSERT(receive(spi, *sealed, payload, kind));
        });
        want_keys(key, pair);
        return true;
      }
      CYGNET_ASSERT(equal(lane.inbound_encr.reveal(), sealed_with.reveal()));
      ++pair.in.packets;
      pair.in.octets += 100;
      post([this, key = key, kind, payload] {
        events_.on_evidence(key.first, key.second, kind);
        if (kind == EvidenceKind::kProbe) events_.on_probe(key.first, key.second, payload);
        if (kind == EvidenceKind::kUser) events_.on_user_traffic(key.first);
      });
      return true;
    }
    return false;
  }

  FakeNetwork& network_;
  BackendEvents& events_;
  const bool lazy_;
  std::map<Key, Pair> pairs_;
  std::set<Key> ever_;
  std::map<proto::PeerId, std::optional<proto::SaPairId>> outbound_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cygnet::agent::testing
