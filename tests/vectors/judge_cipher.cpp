// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>

#include "cygnet/crypto/cipher.h"
#include "cygnet/crypto/prf.h"
#include "vector_rows.h"

namespace cygnet::vectors {
namespace {

using crypto::EncrId;
using crypto::EspSuite;
using crypto::IntegId;
using crypto::PacketCipher;

/// One sealed text as a row gives it.
struct Sealed {
  Bytes aad;
  Bytes iv;
  Bytes plain;
  Bytes cipher;
  Bytes icv;
};

/// Both directions: sealing gives the row's octets, opening gives the text back, and an ICV with
/// one wrong bit opens nothing and leaves nothing.
Outcome seals_and_opens(PacketCipher& packet_cipher, const Sealed& row) {
  Bytes text = row.plain;
  Bytes icv(row.icv.size());
  if (!packet_cipher.seal(row.aad, row.iv, text, {}, icv)) return wrong("seal fails");
  if (const Outcome out = same(text, row.cipher, "ciphertext"); out.verdict != Verdict::kPass) {
    return out;
  }
  if (const Outcome out = same(icv, row.icv, "ICV"); out.verdict != Verdict::kPass) return out;
  text = row.cipher;
  if (!packet_cipher.open(row.aad, row.iv, text, {}, row.icv)) return wrong("open fails");
  if (const Outcome out = same(text, row.plain, "plaintext"); out.verdict != Verdict::kPass) {
    return out;
  }
  text = row.cipher;
  icv = row.icv;
  icv.back() ^= 1;
  if (packet_cipher.open(row.aad, row.iv, text, {}, icv)) return wrong("a wrong ICV opens");
  if (std::any_of(text.begin(), text.end(), [](std::uint8_t o) { return o != 0; })) {
    return wrong("a wrong ICV leaves text behind");
  }
  return pass();
}

/// AES-192 is no suite of ours; PacketCipher must say so.
Outcome refused_key_length(std::size_t key_length, ByteView key_with_salt) {
  const EspSuite suite{EncrId::kAesGcm16, static_cast<std::uint16_t>(key_length * 8),
                       IntegId::kNone};
  const auto made = PacketCipher::create(suite, key_with_salt, {});
  if (made.has_value()) return wrong("a key length that is no suite's is taken");
  return not_ours("AES-" + std::to_string(key_length * 8));
}

bool is_our_key_length(std::size_t octet_count) { return octet_count == 16 || octet_count == 32; }

EspSuite gcm_suite(std::size_t key_length) {
  return {EncrId::kAesGcm16, static_cast<std::uint16_t>(key_length * 8), IntegId::kNone};
}

}  // namespace

Outcome judge_wycheproof_gcm(const Json& row) {
  const Bytes key = octets(row, "key");
  const Bytes nonce = octets(row, "iv");
  // RFC 4106: the 12-octet nonce is the key's salt and the packet's IV.
  const std::size_t salt_length = nonce.size() >= 4 ? 4 : 0;
  Bytes salt(nonce.begin(), nonce.begin() + static_cast<std::ptrdiff_t>(salt_length));
  salt.resize(4);
  const Bytes iv(nonce.begin() + static_cast<std::ptrdiff_t>(salt_length), nonce.end());
  const Bytes key_with_salt = concat({key, salt});
  if (!is_our_key_length(key.size())) return refused_key_length(key.size(), key_with_salt);
  const auto made = PacketCipher::create(gcm_suite(key.size()), key_with_salt, {});
  if (!made.has_value()) return wrong("create: " + made.error().to_string());
  PacketCipher& packet_cipher = **made;
  const Sealed sealed{octets(row, "aad"), iv, octets(row, "msg"), octets(row, "ct"),
                      octets(row, "tag")};
  const auto result = row.at("result").get<std::string>();
  if (nonce.size() != 12) {
    Bytes text = sealed.plain;
    Bytes icv(16);
    if (packet_cipher.seal(sealed.aad, iv, text, {}, icv)) return wrong("a wrong IV seals");
    text = sealed.cipher;
    if (packet_cipher.open(sealed.aad, iv, text, {}, sealed.icv)) return wrong("a wrong IV opens");
    return not_ours("IV of " + std::to_string(nonce.size()) + " octets");
  }
  if (result == "valid") return seals_and_opens(packet_cipher, sealed);
  if (result != "invalid") return wrong("an unknown result: " + result);
  Bytes text = sealed.cipher;
  if (packet_cipher.open(sealed.aad, iv, text, {}, sealed.icv)) return wrong("a forgery opens");
  return pass();
}

Outcome judge_esp_gcm(const Json& row) {
  const Bytes key = octets(row, "key");
  const Bytes key_with_salt = concat({key, octets(row, "salt")});
  if (!is_our_key_length(key.size())) return refused_key_length(key.size(), key_with_salt);
  const auto made = PacketCipher::create(gcm_suite(key.size()), key_with_salt, {});
  if (!made.has_value()) return wrong("create: " + made.error().to_string());
  const Sealed sealed{octets(row, "aad"), octets(row, "iv"),
                      octets(row, "plaintext_with_esp_trailer"), octets(row, "ciphertext"),
                      octets(row, "icv")};
  // RFC 4106 section 5: SPI and the whole sequence number are authenticated; section 3: only the
  // low half travels.
  const Bytes spi = octets(row, "spi");
  const Bytes sequence = octets(row, "seq");
  if (sequence.size() != (row.at("esn").get<bool>() ? 8U : 4U)) return wrong("sequence length");
  if (const Outcome out = same(concat({spi, sequence}), sealed.aad, "AAD");
      out.verdict != Verdict::kPass) {
    return out;
  }
  const Bytes packet =
      concat({spi, ByteView(sequence).last(4), sealed.iv, sealed.cipher, sealed.icv});
  if (const Outcome out = same(packet, octets(row, "esp_packet"), "assembled packet");
      out.verdict != Verdict::kPass) {
    return out;
  }
  return seals_and_opens(**made, sealed);
}

Outcome judge_aead(const Json& row) {
  const auto algorithm = row.at("alg").get<std::string>();
  const Bytes key_with_salt = octets(row, "key");
  const std::size_t key_length = key_with_salt.size() - 4;
  // Shorter ICVs are transforms of their own (18, 19), which Cygnet does not speak.
  if (algorithm == "ENCR_AES_GCM_ICV8" || algorithm == "ENCR_AES_GCM_ICV12") {
    const std::uint16_t number = algorithm == "ENCR_AES_GCM_ICV8" ? 18 : 19;
    return crypto::encr_from(number).has_value() ? wrong("we do speak it") : not_ours(algorithm);
  }
  EspSuite suite{EncrId::kChaCha20Poly1305, 256, IntegId::kNone};
  if (algorithm == "ENCR_AES_GCM_ICV16") {
    if (!is_our_key_length(key_length)) return refused_key_length(key_length, key_with_salt);
    suite = gcm_suite(key_length);
  } else if (algorithm != "ENCR_CHACHA20_POLY1305") {
    return wrong("an unknown algorithm: " + algorithm);
  }
  const auto made = PacketCipher::create(suite, key_with_salt, {});
  if (!made.has_value()) return wrong("create: " + made.error().to_string());
  const Bytes sealed = octets(row, "cipher");
  if (sealed.size() < suite.icv_length()) return wrong("the row has no ICV");
  const auto split = sealed.end() - static_cast<std::ptrdiff_t>(suite.icv_length());
  return seals_and_opens(
      **made, {row.contains("adata") ? octets(row, "adata") : Bytes{}, octets(row, "iv"),
               octets(row, "plain"), Bytes(sealed.begin(), split), Bytes(split, sealed.end())});
}

Outcome judge_capture(const Json& row) {
  const Bytes packet = octets(row, "ip_packet");
  if (const Outcome out = same(octets(row, "captured"), packet, "packet of the capture");
      out.verdict != Verdict::kPass) {
    return out;
  }
  const Json& sa = row.at("sa");
  if (sa.at("enc") != "AES-256-CBC") {
    // 3 is 3DES; there is none among ours, nor HMAC-MD5-96 (1).
    if (crypto::encr_from(3).has_value() || crypto::integ_from(1).has_value()) {
      return wrong("we do speak it");
    }
    return not_ours(sa.at("enc").get<std::string>());
  }
  constexpr std::size_t kIpHeader = 20;
  constexpr std::size_t kForeignIcv = 12;  // HMAC-SHA1-96, not ours
  const ByteView esp = ByteView(packet).subspan(kIpHeader, packet.size() - kIpHeader - kForeignIcv);
  const ByteView header = esp.first(8);
  const ByteView iv = esp.subspan(8, 16);
  const ByteView cipher = esp.subspan(24);
  const Json& layer = row.at("layers").at(0);
  // Over the captured octets we put an ICV of our own suite; the cipher and the layout are theirs.
  const EspSuite suite{EncrId::kAesCbc, 256, IntegId::kHmacSha2_256_128};
  const Bytes integ_key(suite.integ_key_length(), 0x5a);
  const SecretBytes mac =
      crypto::prf(crypto::PrfId::kHmacSha2_256, integ_key, concat({header, iv, cipher}));
  const ByteView icv = mac.reveal().first(suite.icv_length());
  const auto made = PacketCipher::create(suite, octets(sa, "enc_key"), integ_key);
  if (!made.has_value()) return wrong("create: " + made.error().to_string());
  Bytes text(cipher.begin(), cipher.end());
  if (!(*made)->open(header, iv, text, {}, icv)) return wrong("open fails");
  const std::size_t pad_length = text.at(text.size() - 2);
  const Bytes inner = octets(layer, "inner");
  if (text.size() != inner.size() + pad_length + 2) return wrong("lengths do not add up");
  if (pad_length != layer.at("pad_len") || text.back() != layer.at("next_header")) {
    return wrong("ESP trailer");
  }
  if (const Outcome out = same(ByteView(text).first(inner.size()), inner, "inner packet");
      out.verdict != Verdict::kPass) {
    return out;
  }
  Bytes sealed_icv(suite.icv_length());
  if (!(*made)->seal(header, iv, text, {}, sealed_icv)) return wrong("seal fails");
  if (const Outcome out = same(text, cipher, "ciphertext"); out.verdict != Verdict::kPass) {
    return out;
  }
  return same(sealed_icv, icv, "ICV");
}

}  // namespace cygnet::vectors
