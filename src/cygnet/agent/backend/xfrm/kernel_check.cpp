// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/xfrm/kernel_check.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cygnet/agent/backend/common/netlink.h"
#include "cygnet/agent/backend/common/tun.h"
#include "cygnet/base/secret.h"

namespace cygnet::agent::xfrm {
namespace {

using crypto::EncrId;
using crypto::EspSuite;
using crypto::IntegId;

constexpr const char* kOtherPlane = "set data_plane: userspace";

std::string suite_text(const EspSuite& suite) {
  std::string text(crypto::encr_name(suite));
  if (!suite.is_aead()) text += "+" + std::string(crypto::to_string(suite.integ));
  return text;
}

std::string reason(int error, const std::string& text) {
  return text.empty() ? std::string(std::strerror(error)) : text;
}

/// An address nobody sends to and that is of this host only.
IpAddress nowhere(bool v6) {
  IpAddress address;
  address.is_v6 = v6;
  if (v6) {
    address.octets[15] = 1;
  } else {
    address.octets = {127, 67, 255, 254};
  }
  return address;
}

/// 0, or the kernel's refusal of an SA of this kind.
Result<Refusal> try_suite(XfrmSocket& socket, crypto::Random& random, const EspSuite& suite,
                          bool v6) {
  SecretBytes encr(suite.encr_key_length());
  SecretBytes integ(suite.integ_key_length());
  random.fill(encr.reveal_mutable());
  random.fill(integ.reveal_mutable());
  const Bytes draw = random.octets(4);
  SaConfig sa;
  // An SPI of our choice among 2^31: that it is taken is unlikely, and then the next one is not.
  sa.key = {nowhere(v6), 0x80000000U | load_be32(draw.data())};
  sa.source = nowhere(v6);
  sa.suite = suite;
  sa.encr = encr.reveal();
  sa.integ = integ.reveal();
  sa.encapsulation = Encapsulation{4500, 4500};
  MessageBatch batch;
  for (int attempt = 0; attempt < 3; ++attempt) {
    batch.add_sa(sa);
    CYGNET_TRY(const std::vector<Refusal> refusals, socket.send(batch));
    if (refusals.empty()) {
      batch.remove_sa(sa.key);
      CYGNET_TRY(const std::vector<Refusal> ignored, socket.send(batch));
      return Refusal{};
    }
    if (refusals[0].error != EEXIST) return refusals[0];
    ++sa.key.spi;
  }
  return Refusal{0, EEXIST, {}};
}

}  // namespace

std::string modules_of(const EspSuite& suite) {
  switch (suite.encr) {
    case EncrId::kAesGcm16:
      return "gcm seqiv";
    case EncrId::kChaCha20Poly1305:
      return "chacha20poly1305 seqiv";
    case EncrId::kAesCbc:
      break;
  }
  return suite.integ == IntegId::kHmacSha2_256_128 ? "authenc echainiv cbc hmac sha256_generic"
                                                   : "authenc echainiv cbc hmac sha512_generic";
}

const std::vector<EspSuite>& known_suites() {
  static const std::vector<EspSuite> suites{
      {EncrId::kAesGcm16, 256, IntegId::kNone},
      {EncrId::kAesGcm16, 128, IntegId::kNone},
      {EncrId::kChaCha20Poly1305, 256, IntegId::kNone},
      {EncrId::kAesCbc, 128, IntegId::kHmacSha2_256_128},
      {EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128},
      {EncrId::kAesCbc, 128, IntegId::kHmacSha2_384_192},
      {EncrId::kAesCbc, 256, IntegId::kHmacSha2_384_192},
      {EncrId::kAesCbc, 128, IntegId::kHmacSha2_512_256},
      {EncrId::kAesCbc, 256, IntegId::kHmacSha2_512_256},
  };
  return suites;
}

Error explain_sa_refusal(const EspSuite& suite, bool outer_v6, int error, const std::string& text) {
  const std::string family = outer_v6 ? "IPv6" : "IPv4";
  const std::string module = outer_v6 ? "esp6" : "esp4";
  switch (error) {
    case EEXIST:
      return Error{kErrSpiCollision, "the kernel has an SA with this address and SPI already",
                   "kernel SA", "roll over"};
    case EPROTONOSUPPORT:
      return Error{kErrKernelEsp,
                   "the kernel has no ESP for " + family + " (module " + module + ")", "kernel SA",
                   "modprobe " + module + "; if there is no such module, " + kOtherPlane};
    case ENOSYS:
      return Error{kErrKernelAlgorithm,
                   "the kernel cannot do " + suite_text(suite) + ": " + reason(error, text),
                   "kernel SA",
                   "modprobe " + modules_of(suite) + ", leave the proposal out, or " + kOtherPlane};
    case EPERM:
      return netlink_error("install an SA", EPERM);
    default:
      return Error{kErrKernelRefused,
                   "the kernel refused an SA (" + suite_text(suite) + ", " + family +
                       "): " + reason(error, text),
                   "kernel SA"};
  }
}

Error explain_policy_refusal(const std::string& what, int error, const std::string& text) {
  if (error == EPERM) return netlink_error("set a policy", EPERM);
  if (error == EEXIST) {
    return Error{kErrKernelRefused, "a policy of somebody else is in the way: " + what,
                 "kernel policy", "see `ip xfrm policy`; remove it or take the prefix elsewhere"};
  }
  return Error{kErrKernelRefused,
               "the kernel refused a policy (" + what + "): " + reason(error, text),
               "kernel policy"};
}

bool KernelAbilities::can(const EspSuite& suite) const {
  return std::find(suites.begin(), suites.end(), suite) != suites.end();
}

Result<KernelAbilities> examine_kernel(XfrmSocket& socket, crypto::Random& random) {
  KernelAbilities out;
  std::optional<Error> first;
  const auto note = [&](Error error) {
    out.notes.push_back(error.message + (error.cure.empty() ? "" : " (" + error.cure + ")"));
    if (!first) first = std::move(error);
  };
  for (const bool v6 : {false, true}) {
    bool& family = v6 ? out.v6 : out.v4;
    for (const EspSuite& suite : known_suites()) {
      CYGNET_TRY(const Refusal refusal, try_suite(socket, random, suite, v6));
      if (refusal.error == 0) {
        family = true;
        if (!out.can(suite)) out.suites.push_back(suite);
        continue;
      }
      Error error = explain_sa_refusal(suite, v6, refusal.error, refusal.text);
      if (error.code == kErrPrivilege) return fail(std::move(error));
      const bool esp = error.code == kErrKernelEsp;
      // What an algorithm is short of is the same in both families.
      if (esp || !v6 || !out.v4) note(std::move(error));
      if (esp) break;
    }
  }
  if (!out.v4 && !out.v6) {
    // The kernel looks for the algorithm before it looks for ESP: which of them it has is not
    // known.
    if (first->code == kErrKernelAlgorithm) {
      first->cure = std::string("modprobe esp4 esp6 ") + modules_of(known_suites().front()) +
                    "; if there are no such modules, " + kOtherPlane;
    }
    return fail(std::move(*first));
  }
  return out;
}

}  // namespace cygnet::agent::xfrm
