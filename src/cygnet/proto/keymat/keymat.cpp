// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/keymat/keymat.h"

#include <algorithm>

#include "cygnet/crypto/prf.h"
#include "cygnet/proto/keymat/spi_stream.h"

namespace cygnet::proto {
namespace {

constexpr std::size_t kNonceMin = 16;  // RFC 7296 section 3.9
constexpr std::size_t kNonceMax = 256;
constexpr std::size_t kPrfBlocksMax = 255;  // RFC 7296 section 2.13

Status check(const SpiInputs& inputs) {
  CYGNET_CHECK_OK(check_nonce(inputs.ni, "Ni"));
  CYGNET_CHECK_OK(check_nonce(inputs.nr, "Nr"));
  if (inputs.lanes == 0 || inputs.lanes > kLanesMax) {
    return fail(kErrLanes, std::to_string(inputs.lanes) + " lanes asked for; 1 to " +
                               std::to_string(kLanesMax) + " are possible");
  }
  return {};
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
//# \text{prf}+(\text{Ni} \mid \text{Nr}, \text{"SPI generation"})
//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-A.3.1
//# $$\{SPI_i \mid SPI_r\} = prf+(Ni \mid Nr, "SPI\ generation" \mid SPNi \mid SPNr)$$
Bytes spi_seed(const SpiInputs& inputs) {
  Bytes seed = concat({as_bytes("SPI generation")});
  if (inputs.spn) {
    seed.push_back(inputs.spn->first);
    seed.push_back(inputs.spn->second);
  }
  return seed;
}

Bytes spi_octets(const SpiPair& pair) {
  ByteWriter w;
  w.u32(pair.i.value());
  w.u32(pair.r.value());
  return w.take();
}

DirectionKeys cut(const SecretBytes& keymat, std::size_t& at, const crypto::EspSuite& suite) {
  DirectionKeys keys;
  keys.encr = keymat.slice(at, suite.encr_key_length());
  at += suite.encr_key_length();
  keys.integ = keymat.slice(at, suite.integ_key_length());
  at += suite.integ_key_length();
  return keys;
}

}  // namespace

Status check_nonce(ByteView nonce, std::string_view name) {
  if (nonce.size() >= kNonceMin && nonce.size() <= kNonceMax) return {};
  return fail(kErrNonceLength, std::string(name) + " has " + std::to_string(nonce.size()) +
                                   " octets; a nonce has 16 to 256");
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
//# SPI values are generated using the IKEv2 prf+ function, where nonces are used as the input to
//# the prf.
Result<std::vector<SpiPair>> derive_spis(const SpiInputs& inputs) {
  CYGNET_CHECK_OK(check(inputs));
  const Bytes key = concat({inputs.ni, inputs.nr});
  const Bytes seed = spi_seed(inputs);
  const std::size_t block = crypto::prf_length(inputs.prf);
  // prf+ only ever grows at its end, so a skipped value costs a longer run of the same stream.
  std::size_t length = std::size_t{inputs.lanes} * 8;
  SecretBytes stream = crypto::prf_plus(inputs.prf, key, seed, length);
  std::size_t at = 0;
  const SpiSource next = [&]() -> std::optional<std::uint32_t> {
    if (at + 4 > length) {
      const std::size_t longer = std::min(length + block, kPrfBlocksMax * block);
      if (at + 4 > longer) return std::nullopt;
      length = longer;
      stream = crypto::prf_plus(inputs.prf, key, seed, length);
    }
    const std::uint32_t value = load_be32(stream.reveal().data() + at);
    at += 4;
    return value;
  };
  return select_spis(next, inputs.lanes);
}

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
//# KEYMAT can be similarly derived as defined by IKEv2 ([Section 2.17 of \[RFC7296\]](#)), although
//# only SK_d is required to be generated
Result<Keymat> derive_keymat(const SpiInputs& inputs, const crypto::EspSuite& suite, ByteView g_ir,
                             ByteView ppk, Kdf kdf) {
  CYGNET_CHECK_OK(check(inputs));
  const std::size_t prf_length = crypto::prf_length(inputs.prf);
  const std::size_t per_lane = 2 * (suite.encr_key_length() + suite.integ_key_length());
  if (inputs.lanes * per_lane > kPrfBlocksMax * prf_length) {
    return fail(kErrLanes, std::to_string(inputs.lanes) + " lanes need " +
                               std::to_string(inputs.lanes * per_lane) +
                               " octets of KEYMAT; the PRF gives at most " +
                               std::to_string(kPrfBlocksMax * prf_length));
  }
  if (kdf == Kdf::kShort && !ppk.empty()) {
    return fail(kErrPpk, "the short KDF has no SK_d for a PPK to be mixed into", {},
                "use the long KDF with a PPK");
  }
  CYGNET_TRY(const std::vector<SpiPair> spis, derive_spis(inputs));

  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2
  //# Keying Material is generated following the method defined in IKEv2, and depends on SPIs,
  //# nonces, and the Diffie-Hellman shared secret.
  const Bytes nonces = concat({inputs.ni, inputs.nr});
  const Bytes long_seed = concat({nonces, spi_octets(spis.front())});
  const std::size_t length = inputs.lanes * per_lane;
  Keymat out;
  //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
  //# $$\text{SKEYSEED} = \text{prf}(\text{Ni} \parallel \text{Nr}, g^{\text{air}})$$
  out.skeyseed = crypto::prf(inputs.prf, nonces, g_ir);
  if (kdf == Kdf::kShort) {
    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
    //# the derivation of SK_d could be skipped entirely
    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
    //# $$\text{KEYMAT} = \text{prf+}(\text{SKEYSEED}, \text{Ni} \parallel \text{Nr} \parallel
    //# \text{SPIi} \parallel \text{SPIr})$$
    out.keymat = crypto::prf_plus(inputs.prf, out.skeyseed.reveal(), long_seed, length);
  } else {
    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
    //# $$\text{SK_d} = \text{prf+}(\text{SKEYSEED}, \text{Ni} \parallel \text{Nr} \parallel
    //# \text{SPIi} \parallel \text{SPIr})$$
    out.sk_d_prime = crypto::prf_plus(inputs.prf, out.skeyseed.reveal(), long_seed, prf_length);
    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-7
    //# the controller can distribute a PSK, which could be used to create the SK_d
    // RFC 8784 section 3: SK_d = prf+(PPK, SK_d').
    out.sk_d = ppk.empty() ? out.sk_d_prime.duplicate()
                           : crypto::prf_plus(inputs.prf, ppk, out.sk_d_prime.reveal(), prf_length);
    //= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.4
    //# $$\text{KEYMAT} = \text{prf+}(\text{SK_d}, \text{Ni} \parallel \text{Nr})$$
    out.keymat = crypto::prf_plus(inputs.prf, out.sk_d.reveal(), nonces, length);
  }
  // RFC 7296 section 2.17: initiator to responder first; encryption before integrity.
  std::size_t at = 0;
  for (const SpiPair& spi : spis) {
    DirectionKeys i_to_r = cut(out.keymat, at, suite);
    DirectionKeys r_to_i = cut(out.keymat, at, suite);
    out.lanes.push_back({spi, std::move(i_to_r), std::move(r_to_i)});
  }
  return out;
}

}  // namespace cygnet::proto
