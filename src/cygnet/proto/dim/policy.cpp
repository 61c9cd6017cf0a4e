// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "cygnet/proto/dim/dim.h"

namespace cygnet::proto {
namespace {

using crypto::DhGroup;
using crypto::EncrId;
using crypto::EspSuite;
using crypto::IntegId;
using crypto::PrfId;

struct CipherText {
  std::string_view text;
  EncrId encr;
  std::uint16_t key_bits;
};
constexpr std::array kCiphers = {
    CipherText{"aes128gcm16", EncrId::kAesGcm16, 128},
    CipherText{"aes256gcm16", EncrId::kAesGcm16, 256},
    CipherText{"chacha20poly1305", EncrId::kChaCha20Poly1305, 256},
    CipherText{"aes128", EncrId::kAesCbc, 128},
    CipherText{"aes256", EncrId::kAesCbc, 256},
};
constexpr std::array<std::pair<std::string_view, IntegId>, 3> kIntegs = {{
    {"sha256", IntegId::kHmacSha2_256_128},
    {"sha384", IntegId::kHmacSha2_384_192},
    {"sha512", IntegId::kHmacSha2_512_256},
}};
constexpr std::array<std::pair<std::string_view, DhGroup>, 8> kGroups = {{
    {"x25519", DhGroup::kX25519},
    {"x448", DhGroup::kX448},
    {"ecp256", DhGroup::kEcp256},
    {"ecp384", DhGroup::kEcp384},
    {"ecp521", DhGroup::kEcp521},
    {"modp2048", DhGroup::kModp2048},
    {"modp3072", DhGroup::kModp3072},
    {"modp4096", DhGroup::kModp4096},
}};
constexpr std::array<std::pair<std::string_view, PrfId>, 3> kPrfs = {{
    {"sha256", PrfId::kHmacSha2_256},
    {"sha384", PrfId::kHmacSha2_384},
    {"sha512", PrfId::kHmacSha2_512},
}};
constexpr std::array<std::pair<std::string_view, Mode>, 3> kModes = {{
    {"transport", Mode::kTransport},
    {"beet", Mode::kBeet},
    {"aggfrag", Mode::kAggfragTunnel},
}};

template <class Table>
const auto* by_text(const Table& table, std::string_view text) {
  const auto it = std::find_if(table.begin(), table.end(),
                               [text](const auto& entry) { return entry.first == text; });
  return it == table.end() ? nullptr : &*it;
}
template <class Table, class Value>
std::string_view text_of(const Table& table, Value value) {
  const auto it = std::find_if(table.begin(), table.end(),
                               [value](const auto& entry) { return entry.second == value; });
  return it == table.end() ? std::string_view{} : it->first;
}
template <class Table>
std::string choices(const Table& table) {
  std::string out;
  for (const auto& entry : table) {
    if (!out.empty()) out += ", ";
    out += entry.first;
  }
  return out;
}

Transform transform(TransformType type, std::uint16_t id) {
  return {static_cast<std::uint8_t>(type), id, std::nullopt, {}};
}

// Whole-proposal view of the transforms we know; false from any of them makes it unusable.
bool take_encr(const Transform& t, EspSuite& suite) {
  const auto encr = crypto::encr_from(t.id);
  if (!encr) return false;
  suite.encr = *encr;
  suite.key_bits = t.key_bits.value_or(256);
  return suite.key_bits == 128 || suite.key_bits == 256;
}
bool take_integ(const Transform& t, EspSuite& suite) {
  const auto integ = crypto::integ_from(t.id);
  if (!integ) return false;
  suite.integ = *integ;
  return true;
}
bool take_ke(const Transform& t, IpsecPolicy& policy) {
  const auto group = crypto::dh_group_from(t.id);
  if (!group) return false;
  policy.group = *group;
  return true;
}
bool take_sn(const Transform& t, IpsecPolicy& policy) {
  if (t.id > static_cast<std::uint16_t>(SequenceNumbers::kEsn)) return false;
  policy.sn = static_cast<SequenceNumbers>(t.id);
  return true;
}
bool take_prf(const Transform& t, IpsecPolicy& policy) {
  const auto prf = crypto::prf_from(t.id);
  if (!prf) return false;
  policy.prf = *prf;
  return true;
}
bool take_mode(const Transform& t, IpsecPolicy& policy) {
  if (t.id < static_cast<std::uint16_t>(Mode::kTunnel) ||
      t.id > static_cast<std::uint16_t>(Mode::kAggfragTunnel)) {
    return false;
  }
  policy.mode = static_cast<Mode>(t.id);
  return true;
}

bool take(const Transform& t, IpsecPolicy& policy) {
  if (!t.other_attributes.empty()) return false;
  if (t.key_bits && t.type != static_cast<std::uint8_t>(TransformType::kEncr)) return false;
  switch (static_cast<TransformType>(t.type)) {
    case TransformType::kEncr:
      return take_encr(t, policy.suite);
    case TransformType::kInteg:
      return take_integ(t, policy.suite);
    case TransformType::kKe:
      return take_ke(t, policy);
    case TransformType::kSn:
      return take_sn(t, policy);
    case TransformType::kPrf:
      return take_prf(t, policy);
    case TransformType::kMode:
      return take_mode(t, policy);
    case TransformType::kReplay:
      return false;  // no value of it is defined yet
  }
  return false;
}

tl::unexpected<Error> refuse(std::string_view text, std::string_view part, const char* what,
                             const std::string& allowed) {
  return fail(
      kErrPolicyText,
      "\"" + std::string(part) + "\" is no " + what + " in proposal \"" + std::string(text) + "\"",
      {}, "use one of: " + allowed);
}

}  // namespace

std::optional<IpsecPolicy> interpret(const Proposal& proposal) {
  IpsecPolicy policy;
  bool encr = false;
  bool ke = false;
  bool sn = false;
  bool prf = false;
  for (const Transform& t : proposal.transforms) {
    if (!take(t, policy)) return std::nullopt;
    encr = encr || t.type == static_cast<std::uint8_t>(TransformType::kEncr);
    ke = ke || t.type == static_cast<std::uint8_t>(TransformType::kKe);
    sn = sn || t.type == static_cast<std::uint8_t>(TransformType::kSn);
    prf = prf || t.type == static_cast<std::uint8_t>(TransformType::kPrf);
  }
  if (!encr || !ke || !sn || !prf) return std::nullopt;
  if (policy.suite.is_aead() != (policy.suite.integ == IntegId::kNone)) return std::nullopt;
  return policy;
}

Proposal make_proposal(std::uint8_t number, const IpsecPolicy& policy) {
  Proposal out;
  out.number = number;
  Transform encr = transform(TransformType::kEncr, static_cast<std::uint16_t>(policy.suite.encr));
  // RFC 7634 section 4: ChaCha20-Poly1305 has one key size and no Key Length attribute.
  if (policy.suite.encr != EncrId::kChaCha20Poly1305) encr.key_bits = policy.suite.key_bits;
  out.transforms.push_back(std::move(encr));
  if (policy.suite.integ != IntegId::kNone) {
    out.transforms.push_back(
        transform(TransformType::kInteg, static_cast<std::uint16_t>(policy.suite.integ)));
  }
  out.transforms.push_back(transform(TransformType::kKe, static_cast<std::uint16_t>(policy.group)));
  out.transforms.push_back(transform(TransformType::kSn, static_cast<std::uint16_t>(policy.sn)));
  out.transforms.push_back(transform(TransformType::kPrf, static_cast<std::uint16_t>(policy.prf)));
  if (policy.mode != Mode::kTunnel) {
    out.transforms.push_back(
        transform(TransformType::kMode, static_cast<std::uint16_t>(policy.mode)));
  }
  return out;
}

Result<IpsecPolicy> policy_from_text(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t dash = std::min(text.find('-', at), text.size());
    parts.push_back(text.substr(at, dash - at));
    at = dash + 1;
  }
  std::size_t next = 0;
  const auto part = [&] { return next < parts.size() ? parts[next] : std::string_view{}; };

  IpsecPolicy policy;
  const auto cipher = std::find_if(kCiphers.begin(), kCiphers.end(),
                                   [&](const CipherText& c) { return c.text == part(); });
  if (cipher == kCiphers.end()) {
    return refuse(text, part(), "cipher",
                  "aes128gcm16, aes256gcm16, chacha20poly1305, aes128, aes256");
  }
  policy.suite = {cipher->encr, cipher->key_bits, IntegId::kNone};
  ++next;
  if (cipher->encr == EncrId::kAesCbc) {
    const auto* integ = by_text(kIntegs, part());
    if (integ == nullptr) return refuse(text, part(), "integrity algorithm", choices(kIntegs));
    policy.suite.integ = integ->second;
    ++next;
  }
  const auto* group = by_text(kGroups, part());
  if (group == nullptr) return refuse(text, part(), "key exchange group", choices(kGroups));
  policy.group = group->second;
  ++next;
  const auto* prf = by_text(kPrfs, part());
  if (prf == nullptr) return refuse(text, part(), "PRF", choices(kPrfs));
  policy.prf = prf->second;
  ++next;
  if (part() == "noesn") {
    policy.sn = SequenceNumbers::k32Bit;
    ++next;
  }
  if (next < parts.size()) {
    const auto* mode = by_text(kModes, part());
    if (mode == nullptr || next + 1 != parts.size()) {
      return refuse(text, parts.back(), "suffix", "noesn, then " + choices(kModes));
    }
    policy.mode = mode->second;
  }
  return policy;
}

std::string to_string(const IpsecPolicy& policy) {
  std::string out;
  for (const CipherText& c : kCiphers) {
    if (c.encr == policy.suite.encr && c.key_bits == policy.suite.key_bits) out = c.text;
  }
  if (policy.suite.integ != IntegId::kNone) {
    out += "-" + std::string(text_of(kIntegs, policy.suite.integ));
  }
  out += "-" + std::string(text_of(kGroups, policy.group));
  out += "-" + std::string(text_of(kPrfs, policy.prf));
  if (policy.sn == SequenceNumbers::k32Bit) out += "-noesn";
  if (policy.mode != Mode::kTunnel) out += "-" + std::string(text_of(kModes, policy.mode));
  return out;
}

}  // namespace cygnet::proto
