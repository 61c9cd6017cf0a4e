// SPDX-License-Identifier: Apache-2.0
#pragma once

/// For keying_bench: a mesh of many devices with certificates and signed DIMs, clocks, and what
/// OpenSSL asks to derive one SA pair when every step makes its own context.

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "cygnet/agent/core/core_test_kit.h"
#include "cygnet/agent/core/own_dim.h"

namespace cygnet::bench {

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "keying_bench: %s\n", result.error().to_string().c_str());
    std::exit(1);
  }
  return std::move(*result);
}
inline void must(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "keying_bench: %s\n", status.error().to_string().c_str());
  std::exit(1);
}
inline void must(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "keying_bench: %s\n", what);
  std::exit(1);
}

inline double clock_ms(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_nsec) / 1e6;
}
inline double thread_ms() { return clock_ms(CLOCK_THREAD_CPUTIME_ID); }
inline double process_ms() { return clock_ms(CLOCK_PROCESS_CPUTIME_ID); }
inline double wall_ms() { return clock_ms(CLOCK_MONOTONIC); }

inline std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

inline agent::MeshSettings mesh_settings(bool eager) {
  agent::MeshSettings settings;
  settings.proposals = {"aes256gcm16-x25519-sha256"};
  settings.policy_version = 1;
  settings.derive_eager = eager;
  return settings;
}

/// The certificates are the devices' own, their identity key is one and the same: it saves a
/// minute, and costs a verifier as much as ten thousand keys would.
class Fleet {
 public:
  [[nodiscard]] static std::string label(std::size_t i) { return "d" + std::to_string(i); }
  [[nodiscard]] static proto::DeviceName name(std::size_t i) {
    return agent::testing::device_name(label(i));
  }
  [[nodiscard]] const agent::testing::TestCa& ca() const { return ca_; }
  [[nodiscard]] const crypto::IdentityKey& key() const { return key_; }
  [[nodiscard]] crypto::Certificate certificate(std::size_t i) const {
    return ca_.device(label(i), key_);
  }
  [[nodiscard]] proto::Dim dim(std::size_t i, const crypto::DhPrivate& dh) const {
    const agent::Offer offer = must(agent::make_offer(mesh_settings(false), {}));
    return agent::compose_dim(name(i), offer, proto::RekeyCounter(1, 1),
                              {{static_cast<std::uint16_t>(dh.group()), dh.public_value()}},
                              crypto::system_random().octets(32));
  }
  /// Devices 1 … n as a controller relays them.
  [[nodiscard]] std::vector<agent::StoredPeer> peers(std::size_t n) const {
    std::vector<agent::StoredPeer> out;
    out.reserve(n);
    for (std::size_t i = 1; i <= n; ++i) {
      agent::StoredPeer& peer = out.emplace_back();
      peer.device = name(i);
      peer.allowed = true;
      const auto dh = must(crypto::DhPrivate::generate(crypto::DhGroup::kX25519));
      proto::Dim unsigned_dim = dim(i, dh);
      agent::StoredDim stored;
      stored.dim = must(proto::sign_dim(unsigned_dim, agent::testing::test_mesh(), key_));
      stored.certificate = certificate(i).der();
      stored.accepted_at = agent::testing::kStart;
      peer.dim = std::move(stored);
    }
    return out;
  }

 private:
  agent::testing::TestCa ca_;
  crypto::IdentityKey key_ = must(crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256));
};

// ---- What keying_bench measures; each gives one JSON object ----

/// SA pairs derived a second, ours and OpenSSL's own calls in turn.
[[nodiscard]] std::string derivations();
/// An agent with `n` peers: its own rekey, from the order to ready-to-publish.
[[nodiscard]] std::string own_rekey(std::size_t n, bool eager);
/// What the agent holds for `n` idle peers, the data plane's SAs left out.
[[nodiscard]] std::string memory(std::size_t n);
/// Own rekey with `n` peers that have been idle for more than a soft lifetime, in virtual time:
/// Diffie-Hellman operations until ten minutes later, and the longest events of the core.
[[nodiscard]] std::string idle_rekey(std::size_t n);
/// `n` DIMs that arrive faster than they can be looked at.
[[nodiscard]] std::string dims_at_once(std::size_t n);

}  // namespace cygnet::bench
