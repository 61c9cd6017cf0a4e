// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A small world for tests of AgentCore: a mesh with its CA, devices whose effects are carried out
/// at once with real crypto, and a relay that passes DIMs on when the test says so. No sockets, no
/// threads; time moves when the test moves it.

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/agent/core/agent_core.h"
#include "cygnet/agent/core/derive.h"
#include "cygnet/base/assert.h"
#include "cygnet/crypto/random.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "cygnet/proto/probe/probe.h"

namespace cygnet::agent::testing {

inline constexpr ServerTime kStart{std::chrono::milliseconds(1'800'000'000'000)};

inline crypto::MeshId test_mesh() {
  crypto::MeshId mesh{};
  mesh.fill(7);
  return mesh;
}

inline proto::DeviceName device_name(const std::string& label) {
  return proto::DeviceName(label + ".m");
}

/// The CA of the mesh, and what it signs.
class TestCa {  // valid around kStart
 public:
  TestCa() : key_(*crypto::IdentityKey::generate(crypto::KeyType::kEd25519)) {
    crypto::CertificateSpec spec;
    spec.spki = key_.spki();
    spec.common_name = "test CA";
    spec.not_before = kStart - std::chrono::hours(1);
    spec.not_after = kStart + std::chrono::hours(24 * 3650);
    spec.is_ca = true;
    certificate_.emplace(*crypto::issue(spec, key_, std::nullopt));
  }
  [[nodiscard]] const crypto::Certificate& certificate() const { return *certificate_; }
  [[nodiscard]] const crypto::IdentityKey& key() const { return key_; }
  [[nodiscard]] crypto::Certificate device(
      const std::string& label, const crypto::IdentityKey& key,
      ServerTime not_after = kStart + std::chrono::hours(24 * 30)) const {
    const proto::DeviceName name = device_name(label);
    crypto::CertificateSpec spec;
    spec.spki = key.spki();
    spec.common_name = name.value();
    spec.dns_sans = {name.value()};
    spec.uri_sans = {proto::identity_uri(test_mesh(), name)};
    spec.not_before = kStart - std::chrono::hours(1);
    spec.not_after = not_after;
    spec.client_auth = true;
    return *crypto::issue(spec, key_, *certificate_);
  }

 private:
  crypto::IdentityKey key_;
  std::optional<crypto::Certificate> certificate_;
};

inline MeshSettings test_settings() {
  MeshSettings settings;
  settings.proposals = {"aes256gcm16-x25519-sha256"};
  settings.rekey_every = std::chrono::hours(1);
  settings.drain = std::chrono::seconds(1);
  settings.policy_version = 1;
  return settings;
}

/// One device: a core, its private values, and what it did.
class TestDevice {
 public:
  TestDevice(const TestCa& ca, std::string label, Restored restored = {})
      : label_(std::move(label)),
        key_(*crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256)),
        certificate_(ca.device(label_, key_)) {
    make_core(ca, std::move(restored));
  }
  void make_core(const TestCa& ca, Restored restored) {
    Features features;
    features.name = "test";
    features.per_source_spi = true;
    features.lazy_derivation = lazy;
    features.path_mtu_bound = path_mtu_bound;
    privates.clear();
    core_.emplace(
        DeviceIdentity{test_mesh(), device_name(label_), certificate_, {ca.certificate()}},
        features, Abilities{64, {}}, std::move(restored), kStart, seams);
    run(core_->start(now()));
  }

  [[nodiscard]] AgentCore& core() { return *core_; }
  [[nodiscard]] Now now() const {
    return {Timestamp(elapsed) + std::chrono::hours(1),
            kStart + std::chrono::duration_cast<std::chrono::milliseconds>(elapsed)};
  }
  [[nodiscard]] proto::DeviceName name() const { return device_name(label_); }
  [[nodiscard]] const crypto::IdentityKey& key() const { return key_; }
  [[nodiscard]] const crypto::Certificate& certificate() const { return certificate_; }
  [[nodiscard]] proto::PeerId peer(const std::string& label) const {
    return *core_->find(device_name(label));
  }
  [[nodiscard]] PeerView view(const std::string& label) const { return *core_->view(peer(label)); }

  /// Lets time pass, stopping at each deadline of the core.
  void advance(Duration duration) {
    const Duration end = elapsed + duration;
    while (const auto at = core_->next_deadline()) {
      if (*at > Timestamp(end) + std::chrono::hours(1)) break;
      elapsed = std::max(elapsed, (*at - std::chrono::hours(1)).time_since_epoch());
      run(core_->on_time(now()));
    }
    elapsed = end;
  }

  void run(Effects effects) {
    for (Effect& effect : effects) {
      log.push_back(effect);
      std::visit([this](auto& e) { carry_out(e); }, effect);
    }
    while (!answers.empty()) {
      const auto answer = std::move(answers.front());
      answers.pop_front();
      run(answer());
    }
  }

  template <class T>
  [[nodiscard]] std::vector<T> did() const {
    std::vector<T> out;
    for (const Effect& effect : log) {
      if (const T* e = std::get_if<T>(&effect)) out.push_back(*e);
    }
    return out;
  }
  template <class R>
  [[nodiscard]] std::vector<R> reported() const {
    std::vector<R> out;
    for (const SendReport& report : did<SendReport>()) {
      if (const R* r = std::get_if<R>(&report.report)) out.push_back(*r);
    }
    return out;
  }
  [[nodiscard]] std::vector<std::string> alarms() const {
    std::vector<std::string> codes;
    for (const AlarmReport& alarm : reported<AlarmReport>()) codes.push_back(alarm.code);
    return codes;
  }

  void welcome(MeshSettings settings = test_settings(), std::optional<StoredDim> own = {},
               bool resumed = false) {
    Welcome message;
    message.server_time = now().wall;
    message.settings = std::move(settings);
    message.own_dim = std::move(own);
    message.resumed = resumed;
    message.revocations.number = core_->revocations().number;
    run(core_->on_welcome(message, now()));
  }
  void update(std::vector<PeerChange> changes, std::uint64_t position) {
    Update message;
    message.changes = std::move(changes);
    message.cursor = Cursor{{1}, position};
    run(core_->on_update(message, now()));
  }

  Duration elapsed{0};
  Effects log;
  std::map<proto::RekeyCounter, std::vector<crypto::DhPrivate>> privates;
  std::map<std::pair<proto::PeerId, proto::SaPairId>, SaPairSpec> installed;
  std::map<proto::PeerId, std::optional<proto::SaPairId>> outbound;
  std::vector<Bytes> published;
  std::map<proto::RekeyCounter, int> erased;
  CoreSeams seams;    ///< for the next make_core
  bool lazy = false;  ///< the data plane derives when packets need it; for the next make_core
  std::uint32_t path_mtu_bound = 0;  ///< not 0: it probes paths; for the next make_core
  /// Seams: hold back what would be answered at once.
  bool hold_installs = false;
  bool hold_judgement = false;
  std::vector<std::function<Effects()>> held;
  std::function<bool(proto::SaPairId)> install_fails = [](proto::SaPairId) { return false; };
  std::deque<std::function<Effects()>> answers;

 private:
  void carry_out(MakeGeneration& e) {
    std::vector<proto::DhPublic> kes;
    for (const crypto::DhGroup group : e.groups) {
      auto dh = crypto::DhPrivate::generate(group);
      CYGNET_ASSERT(dh.has_value());
      kes.push_back({static_cast<std::uint16_t>(group), dh->public_value()});
      privates[e.counter].push_back(std::move(*dh));
    }
    answers.push_back([this, counter = e.counter, kes] {
      return core_->on_generation_made(counter, kes, crypto::system_random().octets(32), 0x80000000,
                                       now());
    });
  }
  void carry_out(SignDim& e) {
    auto octets = proto::sign_dim(e.dim, test_mesh(), key_);
    CYGNET_ASSERT(octets.has_value());
    answers.push_back([this, counter = e.counter, octets = *octets] {
      return core_->on_dim_signed(counter, octets, now());
    });
  }
  void carry_out(SendPublish& e) { published.push_back(e.octets); }
  void carry_out(EraseKeys& e) {
    ++erased[e.counter];
    privates.erase(e.counter);
  }
  void carry_out(InstallPair& e) {
    auto answer = [this, e]() -> Effects {
      const auto it = privates.find(e.pair.local);
      CYGNET_ASSERT(it != privates.end());
      if (install_fails(e.pair)) {
        return core_->on_pair_failed(e.peer, e.pair, true, Error{ErrorCode("test"), "no"}, now());
      }
      auto spec = derive_pair({e.peer, *e.local, *e.remote, e.agreement, e.replay_window},
                              it->second.front(), {});
      CYGNET_ASSERT(spec.has_value());
      const bool first = installed.emplace(std::pair{e.peer, e.pair}, std::move(*spec)).second;
      CYGNET_ASSERT(first);  // Install once
      return core_->on_pair_installed(e.peer, e.pair, now());
    };
    if (hold_installs) {
      held.push_back(answer);
    } else {
      answers.push_back(answer);
    }
  }
  void carry_out(ChooseOutbound& e) { outbound[e.peer] = e.pair; }
  void carry_out(RemoveInbound& e) {
    removed_in.insert({e.peer, e.pair});
    drop(e.peer, e.pair);
  }
  void carry_out(RemoveOutbound& e) {
    removed_out.insert({e.peer, e.pair});
    drop(e.peer, e.pair);
  }
  void drop(proto::PeerId peer, proto::SaPairId pair) {
    if (removed_in.contains({peer, pair}) && removed_out.contains({peer, pair})) {
      gone.insert({peer, pair});
    }
  }
  void carry_out(JudgeDim& e) {
    auto answer = [this, e] {
      return core_->on_dim_judged(
          e.ticket, proto::check_dim(e.stored.dim, e.stored.certificate, *e.context), now());
    };
    if (hold_judgement) {
      held.push_back(answer);
    } else {
      answers.push_back(answer);
    }
  }
  template <class T>
  void carry_out(T&) {}

 public:
  using PairKey = std::pair<proto::PeerId, proto::SaPairId>;
  std::set<PairKey> removed_in, removed_out, gone;
  [[nodiscard]] std::size_t pairs_with(const std::string& label) const {
    std::size_t count = 0;
    for (const auto& [key, spec] : installed) {
      count += key.first == peer(label) && !gone.contains(key) ? 1U : 0U;
    }
    return count;
  }

 private:
  std::string label_;
  crypto::IdentityKey key_;
  crypto::Certificate certificate_;
  std::optional<AgentCore> core_;
};

/// Accepts a device's newest publish, and gives it as the relay would pass it on.
inline StoredDim accept_publish(TestDevice& device) {
  CYGNET_ASSERT(!device.published.empty());
  const Bytes octets = device.published.back();
  const auto dim = proto::decode_dim(octets);
  CYGNET_ASSERT(dim.has_value());
  PublishResult result;
  result.counter = dim->counter;
  result.accepted = true;
  result.accepted_at = device.now().wall;
  device.run(device.core().on_publish_result(result, device.now()));
  return {octets, device.certificate().der(), device.now().wall};
}

inline PeerChange change_with(const proto::DeviceName& device, std::optional<StoredDim> dim) {
  PeerChange change;
  change.device = device;
  change.dim = std::move(dim);
  change.endpoints.emplace();
  change.prefixes.emplace();
  change.policy.emplace();
  return change;
}

/// Tells a device that everybody attached has its newest DIM.
inline void mark_delivered(TestDevice& device, const std::vector<proto::DeviceName>& by) {
  const auto dim = proto::decode_dim(device.published.back());
  PublishStatus status;
  status.counter = dim->counter;
  for (const proto::DeviceName& name : by) status.acknowledged.push_back(name.value());
  device.run(device.core().on_publish_status(status, device.now()));
}

}  // namespace cygnet::agent::testing
