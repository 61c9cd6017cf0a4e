// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A relay with devices d0, d1, … that keep what they hear, for the relay's tests.

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cygnet/controller/core/relay.h"
#include "cygnet/device/v1/device.pb.h"

namespace cygnet::controller::test {

namespace pb = cygnet::device::v1;

/// A relay does not look into DIMs, so these are their counters in text.
inline Bytes fake_dim(DeviceIndex device, std::uint32_t generation) {
  const std::string text = "dim " + std::to_string(device) + " " + std::to_string(generation);
  const ByteView view = as_bytes(text);
  return Bytes(view.begin(), view.end());
}

class RelayWorld {
 public:
  struct Peer {
    std::uint32_t generation = 0;
    std::size_t endpoints = 0;
    bool removed = false;
  };
  struct Listener {
    std::map<std::string, Peer> table;
    std::vector<pb::Update> updates;
    Position cursor = 0;
  };

  explicit RelayWorld(DeviceIndex count)
      : names(std::make_shared<policy::DeviceNames>()),
        relay(names, "corp", Bytes(16, 7), 1),
        listeners_(count),
        newest_(count, 0) {
    for (DeviceIndex d = 0; d < count; ++d) (void)names->intern("d" + std::to_string(d));
    next_ = 1;
  }

  Position next() { return ++next_; }
  void edge(DeviceIndex a, DeviceIndex b, EdgePolicy policy = {}) {
    relay.put_edge(a, b, std::move(policy), next(), now);
  }
  void unedge(DeviceIndex a, DeviceIndex b) { relay.remove_edge(a, b, next(), wall, now); }
  void publish(DeviceIndex d) {
    const std::uint32_t generation = ++newest_[d];
    relay.set_dim(d,
                  RelayedDim{std::make_shared<const Bytes>(fake_dim(d, generation)),
                             std::make_shared<const Bytes>(Bytes{1}), wall},
                  proto::RekeyCounter(1, generation), next(), now);
  }
  bool attach(DeviceIndex d, bool resume = false, const std::vector<DeviceIndex>& held = {}) {
    std::optional<Relay::Resume> from;
    if (resume) from = Relay::Resume{relay.epoch(), listeners_[d].cursor};
    const bool honoured = relay.attach(d, SessionId(++sessions_), from, now, held);
    want_more();
    return honoured;
  }
  void want(DeviceIndex d, DeviceIndex peer) {
    relay.want(d, peer, next(), now);
    want_more();
  }
  void detach(DeviceIndex d) { relay.detach(d, now); }

  /// One update, taken in as a device does; the devices named in it.
  std::optional<std::vector<DeviceIndex>> pull(DeviceIndex d, std::size_t size_max = 65536) {
    const SharedOctets octets = relay.next_update(d, size_max);
    if (!octets) return std::nullopt;
    pb::FromController message;
    EXPECT_TRUE(message.ParseFromArray(octets->data(), static_cast<int>(octets->size())));
    const pb::Update& update = message.update();
    Listener& self = listeners_[d];
    std::vector<DeviceIndex> changed;
    for (const auto& change : update.changes()) {
      const std::string label = change.device().substr(0, change.device().find('.'));
      const DeviceIndex peer = *names->find(label);
      EXPECT_NE(peer, d);
      // A DIM never reaches a device that policy does not allow.
      EXPECT_TRUE(change.removed() || relay.edge(d, peer)) << d << " heard " << peer;
      Peer& row = self.table[change.device()];
      row.removed = change.removed();
      if (change.has_dim()) {
        const std::string& text = change.dim().dim();
        row.generation = static_cast<std::uint32_t>(std::stoul(text.substr(text.rfind(' ') + 1)));
      }
      if (change.has_endpoints()) {
        row.endpoints = static_cast<std::size_t>(change.endpoints().items_size());
      }
      changed.push_back(peer);
    }
    EXPECT_GE(update.cursor().position(), self.cursor) << "a cursor never goes back";
    self.cursor = update.cursor().position();
    self.updates.push_back(update);
    return changed;
  }
  std::vector<DeviceIndex> drain(DeviceIndex d, std::size_t size_max = 65536) {
    std::vector<DeviceIndex> all;
    while (const auto changed = pull(d, size_max)) {
      all.insert(all.end(), changed->begin(), changed->end());
    }
    return all;
  }
  void drain_all() {
    for (DeviceIndex d = 0; d < listeners_.size(); ++d) drain(d);
  }
  void ack(DeviceIndex d, const std::vector<DeviceIndex>& pending = {}) {
    std::vector<Relay::PendingPeer> list;
    for (const DeviceIndex peer : pending) {
      list.push_back({peer, proto::RekeyCounter(1, heard(d, peer))});
    }
    EXPECT_TRUE(relay.acknowledge(d, relay.epoch(), listeners_[d].cursor, list, now));
    want_more();
  }

  [[nodiscard]] std::uint32_t heard(DeviceIndex d, DeviceIndex of) {
    const auto it = listeners_[d].table.find("d" + std::to_string(of) + ".corp");
    return it == listeners_[d].table.end() ? 0 : it->second.generation;
  }
  [[nodiscard]] std::uint32_t newest(DeviceIndex d) const { return newest_[d]; }
  [[nodiscard]] std::pair<std::uint32_t, std::uint32_t> missing(DeviceIndex d) const {
    return relay.marks().missing(d).value_or(std::pair<std::uint32_t, std::uint32_t>{0, 0});
  }
  [[nodiscard]] Listener& device(DeviceIndex d) { return listeners_[d]; }

  std::shared_ptr<policy::DeviceNames> names;
  Relay relay;
  Timestamp now{std::chrono::hours(1)};
  ServerTime wall{std::chrono::hours(24 * 365 * 50)};

 private:
  void want_more() {
    for (const auto& [device, peer] : relay.take_wanted()) {
      relay.want(device, peer, next(), now);
    }
  }

  std::vector<Listener> listeners_;
  std::vector<std::uint32_t> newest_;
  Position next_ = 0;
  std::uint64_t sessions_ = 0;
};

}  // namespace cygnet::controller::test
