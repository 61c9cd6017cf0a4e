// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A controller's core with three devices whose certificates are good and whose words are the
/// input's: a and b may talk with one another, c with nobody. What must hold whatever they say:
/// nothing is stored or told that its device did not sign and say itself, nothing is told or
/// acknowledged before it is durable, nothing reaches who has no pair, and what is told can be
/// read.

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "cygnet/agent/link/convert.h"
#include "cygnet/controller/core/core.h"
#include "cygnet/controller/policy/parse.h"
#include "cygnet/proto/dim/dim_codec.h"
#include "cygnet/proto/ids/device_name.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "dims.h"

namespace cygnet::fuzz {

inline constexpr std::size_t kLiars = 3;
inline constexpr std::array<const char*, kLiars> kLiarNames{"a.mesh", "b.mesh", "c.mesh"};
/// Names of counters stay for ever: what a device calls its refusals must not add many.
inline constexpr std::size_t kReportCodesMax = 4;

template <class T>
T must(Result<T> result) {
  FUZZ_REQUIRE(result.has_value());
  return std::move(*result);
}

/// Keys and certificates, made once a process.
struct LiarPki {
  struct Identity {
    crypto::IdentityKey key;
    crypto::Certificate certificate;
  };
  crypto::MeshId mesh{};
  ServerTime now{std::chrono::hours(24 * 365 * 56)};
  crypto::IdentityKey ca_key = must(crypto::IdentityKey::generate(crypto::KeyType::kEd25519));
  crypto::IdentityKey stranger = must(crypto::IdentityKey::generate(crypto::KeyType::kEd25519));
  std::optional<crypto::Certificate> ca;
  std::vector<Identity> liars;

  LiarPki() {
    mesh.fill(0x11);
    crypto::CertificateSpec root;
    root.spki = ca_key.spki();
    root.common_name = "CA";
    root.not_before = now - std::chrono::hours(24);
    root.not_after = now + std::chrono::hours(24 * 3650);
    root.is_ca = true;
    ca = must(crypto::issue(root, ca_key, std::nullopt));
    for (const char* name : kLiarNames) {
      auto key = must(crypto::IdentityKey::generate(crypto::KeyType::kEd25519));
      crypto::CertificateSpec spec = root;
      spec.spki = key.spki();
      spec.common_name = name;
      spec.dns_sans = {name};
      spec.uri_sans = {proto::identity_uri(mesh, proto::DeviceName(name))};
      spec.is_ca = false;
      spec.client_auth = true;
      auto certificate = must(crypto::issue(spec, ca_key, ca));
      liars.push_back({std::move(key), std::move(certificate)});
    }
  }
  static const LiarPki& get() {
    static const LiarPki made;
    return made;
  }
};

class LyingDevices {
 public:
  LyingDevices() {
    using controller::store::DeviceRecord;
    controller::store::MeshState state;
    state.mesh.id = pki_.mesh;
    state.mesh.name = "mesh";
    state.mesh.epoch.fill(0x22);
    for (std::size_t i = 0; i < kLiars; ++i) {
      const auto& identity = pki_.liars[i];
      state.devices.push_back({std::string(1, kLiarNames[i][0]),
                               i < 2 ? Labels{{"role", "pair"}} : Labels{}, identity.key.spki(),
                               identity.certificate.der(), controller::store::DeviceState::kActive,
                               pki_.now});
    }
    state.trust = {pki_.ca->der()};
    const std::string yaml = "mesh: mesh\nrules:\n  - {from: role=pair, to: role=pair}\n";
    const controller::store::PolicyHeader header{1, pki_.now, "test", "", 1};
    state.position = 1;
    state.policies = {header};
    state.policy = controller::store::PolicyRecord{header, yaml};
    controller::CoreSetup setup;
    setup.policy_history.push_back({header, yaml, must(controller::policy::parse(yaml, "fuzz"))});
    setup.limits.report_codes_max = kReportCodesMax;
    setup.defaults = must(controller::policy::parse("mesh: mesh\n", "defaults"));
    core_ = must(controller::Core::restore(std::move(state), std::move(setup), now_));
    collect();
    commit(true);
  }

  /// One step, as the input decides.
  void step(Input& in) {
    const std::size_t i = in.below(kLiars);
    Liar& liar = liars_[i];
    switch (in.below(10)) {
      case 0:
        return connect(i);
      case 1:
        return disconnect(i);
      case 2:
        return say(i, in.take(in.u16() % 600));
      case 3: {
        agent::HelloMessage hello;
        if (in.flag()) hello.resume = liar.cursor;
        hello.revocation_number = in.u8();
        return say(i, agent::encode_hello(hello));
      }
      case 4:
        return publish(i, in);
      case 5:
        return commit(in.below(8) != 0);
      case 6:
        return pull(i);
      case 7:
        now_.mono += std::chrono::seconds(in.u16());
        core_->tick(now_);
        return collect();
      case 8:
        if (liar.cursor) say(i, agent::encode_ack({*liar.cursor, {}}));
        return;
      default:
        return renew(i, in);
    }
  }
  /// What is left to say once the input has ended.
  void finish() {
    while (!persists_.empty()) commit(true);
    for (std::size_t i = 0; i < kLiars; ++i) pull(i);
    std::size_t codes = 0;
    for (const auto& [name, n] : core_->counters().all()) {
      if (name.starts_with("reports.refused.")) ++codes;
    }
    FUZZ_REQUIRE(codes <= kReportCodesMax + 1);
  }

 private:
  using Labels = std::map<std::string, std::string>;
  struct Liar {
    std::optional<controller::SessionId> session;
    bool spoken_to = false;  ///< this session has got its first message
    bool closing = false;
    std::optional<agent::Cursor> cursor;
    std::set<Bytes> own;      ///< DIMs it signed and published itself
    std::set<Bytes> durable;  ///< of those, what the disk has
    proto::RekeyCounter stored;
    std::map<std::string, proto::RekeyCounter> told;  ///< newest it heard of each peer
  };

  void connect(std::size_t i) {
    Liar& liar = liars_[i];
    if (liar.session) return;
    liar.session = controller::SessionId{++sessions_};
    liar.spoken_to = liar.closing = false;
    controller::Cookie cookie{};
    cookie.fill(static_cast<std::uint8_t>(sessions_));
    core_->connected(*liar.session, {pki_.liars[i].certificate}, cookie, now_);
    collect();
  }
  void disconnect(std::size_t i) {
    Liar& liar = liars_[i];
    if (!liar.session) return;
    core_->disconnected(*liar.session, now_);
    liar.session.reset();
    collect();
  }
  void say(std::size_t i, ByteView message) {
    if (!liars_[i].session) return;
    core_->received(*liars_[i].session, message, now_);
    collect();
  }

  void publish(std::size_t i, Input& in) {
    const std::size_t of = in.below(8) == 7 ? in.below(kLiars) : i;      // whose DIM
    const std::size_t by = in.below(8) == 7 ? in.below(kLiars + 1) : i;  // who signs it
    const std::uint8_t boot = in.u8(), sequence = in.u8();
    proto::Dim dim = any_dim(in, kLiarNames[of]);
    dim.counter = proto::RekeyCounter(boot % 3, sequence);
    auto octets =
        proto::sign_dim(dim, pki_.mesh, by == kLiars ? pki_.stranger : pki_.liars[by].key);
    if (!octets) return;
    const std::uint8_t damage = in.below(8) == 7 ? in.u8() : 0;
    (*octets)[in.u16() % octets->size()] ^= damage;
    if (!liars_[i].session) return;
    if (of == i && by == i && damage == 0) liars_[i].own.insert(*octets);
    say(i, agent::encode_publish(*octets));
  }
  void renew(std::size_t i, Input& in) {
    const std::size_t of = in.below(4) == 3 ? in.below(kLiars) : i;
    const auto& key = in.below(4) == 3 ? pki_.stranger : pki_.liars[of].key;
    const proto::DeviceName name(kLiarNames[of]);
    auto csr = must(key.make_csr(name.value(), proto::identity_uri(pki_.mesh, name)));
    if (in.below(4) == 3) csr[in.u16() % csr.size()] ^= in.u8();
    say(i, agent::encode_renewal(csr));
  }

  void commit(bool works) {
    if (persists_.empty()) return;
    const controller::Persist persist = std::move(persists_.front());
    persists_.pop_front();
    if (works) {
      for (const auto& op : persist.batch.ops) {
        const auto* put = std::get_if<controller::store::PutDim>(&op);
        if (put == nullptr) continue;
        Liar& liar = liar_named(put->dim.device + ".mesh");
        FUZZ_REQUIRE(put->dim.counter > liar.stored);
        liar.stored = put->dim.counter;
        liar.durable.insert(put->dim.dim);
      }
    }
    const Status status = works ? Status() : Status(fail(ErrorCode("disk-full"), "no room"));
    core_->persisted(persist.ticket, status, now_);
    collect();
  }

  Liar& liar_named(const std::string& name) {
    for (std::size_t i = 0; i < kLiars; ++i) {
      if (name == kLiarNames[i]) return liars_[i];
    }
    broken(__FILE__, __LINE__, "a device of this mesh");
  }

  void collect() {
    for (controller::Effect& effect : core_->take_effects()) {
      if (auto* persist = std::get_if<controller::Persist>(&effect)) {
        for (const auto& op : persist->batch.ops) {
          if (const auto* put = std::get_if<controller::store::PutDim>(&op)) {
            FUZZ_REQUIRE(liar_named(put->dim.device + ".mesh").own.contains(put->dim.dim));
          }
        }
        persists_.push_back(std::move(*persist));
      } else if (const auto* close = std::get_if<controller::Close>(&effect)) {
        for (Liar& liar : liars_) liar.closing = liar.closing || liar.session == close->session;
      } else if (const auto* sign = std::get_if<controller::SignCertificate>(&effect)) {
        auto made = must(crypto::issue(sign->spec, pki_.ca_key, pki_.ca));
        core_->certificate_signed(sign->request, made.der(), now_);
        collect();
      }
    }
  }

  /// Reads everything there is for a device, as its agent would.
  void pull(std::size_t i) {
    Liar& liar = liars_[i];
    while (liar.session) {
      const auto octets = core_->next_message(*liar.session, 65536);
      if (!octets) break;
      const auto message = agent::decode_controller_message(*octets);
      FUZZ_REQUIRE(message.has_value());
      if (!liar.spoken_to) {
        FUZZ_REQUIRE(std::holds_alternative<agent::WelcomeMessage>(*message) ||
                     std::holds_alternative<agent::GoawayMessage>(*message));
      }
      liar.spoken_to = true;
      if (const auto* update = std::get_if<agent::Update>(&*message)) hear(i, *update);
      if (const auto* result = std::get_if<agent::PublishResult>(&*message)) {
        FUZZ_REQUIRE(!result->accepted || result->counter <= liar.stored);
      }
      if (const auto* renewed = std::get_if<agent::RenewedMessage>(&*message)) {
        if (renewed->refusal) continue;
        const auto made = must(crypto::Certificate::from_der(renewed->certificate));
        FUZZ_REQUIRE(made.spki() == pki_.liars[i].key.spki() && made.dns_san() == kLiarNames[i]);
      }
    }
    if (liar.closing) disconnect(i);
  }
  void hear(std::size_t i, const agent::Update& update) {
    Liar& liar = liars_[i];
    if (update.cursor) liar.cursor = update.cursor;
    for (const agent::PeerChange& change : update.changes) {
      if (change.removed) continue;
      const std::string& peer = change.device.value();
      FUZZ_REQUIRE(i < 2 && peer == kLiarNames[1 - i]);  // c hears of nobody, nobody of c
      if (!change.dim) continue;
      FUZZ_REQUIRE(liar_named(peer).durable.contains(change.dim->dim));
      const auto dim = must(proto::decode_dim(change.dim->dim));
      FUZZ_REQUIRE(dim.counter >= liar.told[peer]);
      liar.told[peer] = dim.counter;
    }
  }

  const LiarPki& pki_ = LiarPki::get();
  controller::Times now_{Timestamp{std::chrono::hours(10)}, pki_.now};
  std::unique_ptr<controller::Core> core_;
  std::array<Liar, kLiars> liars_;
  std::deque<controller::Persist> persists_;
  std::uint64_t sessions_ = 0;
};

}  // namespace cygnet::fuzz
