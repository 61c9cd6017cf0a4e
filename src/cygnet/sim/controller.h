// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The simulated controller: the production Core over the production memory store, with streams
/// that take time and a disk that can be full. It can be killed, can come back, and a second one
/// can take over with what had been replicated to it.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/agent/link/convert.h"
#include "cygnet/controller/core/core.h"
#include "cygnet/controller/store/open.h"
#include "cygnet/sim/packet.h"
#include "cygnet/sim/plants.h"

namespace cygnet::sim {

class World;

class SimController {
 public:
  explicit SimController(World& world) : world_(world) {}

  /// Makes the mesh with all devices enrolled, and starts.
  void found(std::uint32_t devices);
  void start();
  void stop();  ///< killed: what is not durable is gone, streams break
  /// Another controller, with a copy of the store that lacks the last `lag` batches.
  void fail_over(std::size_t lag);
  [[nodiscard]] bool running() const { return core_ != nullptr; }

  /// A device's stream: TLS is done, its Hello is on the way. nullopt: nobody answers.
  [[nodiscard]] std::optional<std::uint64_t> open(DeviceId device,
                                                  const crypto::Certificate& certificate,
                                                  Bytes hello);
  void up(DeviceId device, std::uint64_t stream, Bytes message);
  void closed_by_device(DeviceId device, std::uint64_t stream);
  void cut(DeviceId device);  ///< the stream breaks at both ends

  /// Policy: everybody of a block, without these pairs.
  void apply_policy(const std::vector<std::pair<DeviceId, DeviceId>>& denied);
  void rekey_all();
  void set_disk_full(bool full) { disk_full_ = full; }

  [[nodiscard]] const controller::Core& core() const { return *core_; }
  /// What it holds of a device: DIM and certificate.
  [[nodiscard]] std::optional<agent::StoredDim> stored(DeviceId device) const;
  [[nodiscard]] bool attached(DeviceId device) const;

 private:
  struct Shared {
    controller::SharedOctets octets;
    std::shared_ptr<const agent::ControllerMessage> decoded;
  };
  struct Stream {
    DeviceId device = 0;
    std::size_t in_flight = 0;
    Timestamp last_up{};  ///< messages of one stream stay in order
    Timestamp last_down{};
    bool closing = false;
  };
  static constexpr std::size_t kInFlightMax = 8;

  [[nodiscard]] controller::Times now() const;
  void pump();
  void carry_out(controller::Effect& effect);
  void pull(std::uint64_t id);
  void end_stream(std::uint64_t id);
  void commit();
  void arm_timer();
  [[nodiscard]] Shared shared(const controller::SharedOctets& octets);
  [[nodiscard]] std::string policy_yaml(
      const std::vector<std::pair<DeviceId, DeviceId>>& denied) const;

  World& world_;
  std::unique_ptr<controller::store::Engine> engine_;
  std::unique_ptr<controller::Core> core_;
  std::vector<controller::store::WriteBatch> log_;  ///< all batches, when there may be a failover
  std::deque<controller::Persist> persists_;
  bool commit_due_ = false;
  bool disk_full_ = false;
  std::uint32_t incarnation_ = 0;
  std::map<std::uint64_t, Stream> streams_;
  std::map<DeviceId, std::uint64_t> of_device_;
  std::uint64_t next_stream_ = 1;
  std::uint64_t next_request_ = 1;
  std::deque<Shared> recent_;
  std::optional<Timestamp> timer_at_;
  std::uint64_t timer_token_ = 0;
  bool pumping_ = false;
};

}  // namespace cygnet::sim
