// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the tests of the runtime share: how long they wait, and a small PKI.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/identity.h"
#include "cygnet/rt/tls.h"

namespace cygnet::rt::test {

/// How long a test waits for an event before it fails; generous, for slow sanitizer runs.
inline constexpr Duration kPatience = std::chrono::seconds(20);

/// Times are relative to this, never to the clock of the machine that runs the test.
inline const ServerTime kToday{std::chrono::hours(24 * 365 * 56)};
inline ServerTime today() { return kToday; }

struct Authority {
  crypto::IdentityKey key;
  crypto::Certificate certificate;

  static Authority make(const std::string& name) {
    auto key = crypto::IdentityKey::generate(crypto::KeyType::kEcdsaP256);
    CYGNET_ASSERT(key.has_value());
    crypto::CertificateSpec spec;
    spec.spki = key->spki();
    spec.common_name = name;
    spec.not_before = kToday - std::chrono::hours(24);
    spec.not_after = kToday + std::chrono::hours(24 * 3650);
    spec.is_ca = true;
    auto certificate = crypto::issue(spec, *key, std::nullopt);
    CYGNET_ASSERT(certificate.has_value());
    return {*key, *certificate};
  }

  enum class Role { kDevice, kController };
  [[nodiscard]] TlsIdentity issue(Role role, const std::string& name,
                                  ServerTime not_after = kToday + std::chrono::hours(24 * 30),
                                  crypto::KeyType type = crypto::KeyType::kEcdsaP256) const {
    auto leaf_key = crypto::IdentityKey::generate(type);
    CYGNET_ASSERT(leaf_key.has_value());
    crypto::CertificateSpec spec;
    spec.spki = leaf_key->spki();
    spec.common_name = name;
    spec.dns_sans = {name};
    spec.not_before = kToday - std::chrono::hours(12);
    spec.not_after = not_after;
    spec.server_auth = role == Role::kController;
    spec.client_auth = role == Role::kDevice;
    auto leaf = crypto::issue(spec, key, certificate);
    CYGNET_ASSERT(leaf.has_value());
    return {*leaf_key, {*leaf}};
  }
};

}  // namespace cygnet::rt::test
