// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Addresses and algorithms as the kernel's IPsec structures hold them.

#include <linux/xfrm.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cygnet/agent/backend/api/backend.h"
#include "cygnet/crypto/ids.h"

namespace cygnet::agent::xfrm {

[[nodiscard]] inline std::uint16_t family_of(const IpAddress& address) {
  return address.is_v6 ? AF_INET6 : AF_INET;
}

[[nodiscard]] inline xfrm_address_t to_wire(const IpAddress& address) {
  xfrm_address_t out{};
  std::memcpy(&out, address.octets.data(), address.is_v6 ? 16 : 4);
  return out;
}

[[nodiscard]] inline IpAddress from_wire(const xfrm_address_t& address, std::uint16_t family) {
  IpAddress out;
  out.is_v6 = family == AF_INET6;
  std::memcpy(out.octets.data(), &address, out.is_v6 ? 16 : 4);
  return out;
}

/// The kernel's names of an ESP suite's algorithms.
struct SuiteNames {
  const char* encr = "";
  const char* integ = "";  ///< empty for an AEAD
};
[[nodiscard]] inline SuiteNames suite_names(const crypto::EspSuite& suite) {
  switch (suite.encr) {
    case crypto::EncrId::kAesGcm16:
      return {"rfc4106(gcm(aes))", ""};
    case crypto::EncrId::kChaCha20Poly1305:
      return {"rfc7539esp(chacha20,poly1305)", ""};
    case crypto::EncrId::kAesCbc:
      break;
  }
  switch (suite.integ) {
    case crypto::IntegId::kHmacSha2_384_192:
      return {"cbc(aes)", "hmac(sha384)"};
    case crypto::IntegId::kHmacSha2_512_256:
      return {"cbc(aes)", "hmac(sha512)"};
    case crypto::IntegId::kHmacSha2_256_128:
    case crypto::IntegId::kNone:
      break;
  }
  return {"cbc(aes)", "hmac(sha256)"};
}

}  // namespace cygnet::agent::xfrm
