// SPDX-License-Identifier: Apache-2.0
#include "vector_rows.h"

#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace cygnet::vectors {
namespace {

const std::string kRoot = CYGNET_VECTORS_DIR;

std::vector<Json> elements(const Json& list) { return {list.begin(), list.end()}; }

/// Wycheproof: groups of tests; the group's sizes go into each row.
std::vector<Json> wycheproof_rows(const Json& file) {
  std::vector<Json> rows;
  for (const Json& group : file.at("testGroups")) {
    for (Json row : group.at("tests")) {
      for (const char* field : {"ivSize", "keySize", "tagSize"}) {
        if (group.contains(field)) row[field] = group.at(field);
      }
      rows.push_back(std::move(row));
    }
  }
  if (rows.size() != file.at("numberOfTests").get<std::size_t>()) {
    throw std::runtime_error("the file does not hold the number of tests it says");
  }
  return rows;
}

std::vector<Json> capture_rows(const Json& file) {
  std::vector<Json> rows;
  for (const Json& capture : file.at("captures")) {
    const auto captured = read_pcap(kRoot + "/tcpdump/" + capture.at("file").get<std::string>());
    std::size_t index = 0;
    for (Json row : capture.at("packets")) {
      row["sa"] = capture.at("sas").at(0);
      row["captured"] = captured.at(index++);
      rows.push_back(std::move(row));
    }
    if (index != captured.size()) throw std::runtime_error("a captured packet has no row");
  }
  return rows;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::uint32_t load_le32(const std::string& text, std::size_t at) {
  const auto octet = [&](std::size_t i) {
    return std::uint32_t{static_cast<std::uint8_t>(text.at(at + i))};
  };
  return octet(0) | octet(1) << 8 | octet(2) << 16 | octet(3) << 24;
}

}  // namespace

Outcome pass() { return {Verdict::kPass}; }
Outcome wrong(std::string why) { return {Verdict::kFail, std::move(why)}; }
Outcome not_ours(std::string why) { return {Verdict::kNotOurs, std::move(why)}; }

Outcome same(ByteView ours, ByteView theirs, const std::string& what) {
  if (equal(ours, theirs)) return pass();
  return wrong(what + ": ours " + to_hex(ours) + ", theirs " + to_hex(theirs));
}

const std::vector<VectorFile>& vector_files() {
  static const std::vector<VectorFile> files{
      {"x25519", "wycheproof/x25519_test.json", wycheproof_rows, judge_x25519, 518, 0, {"shared"}},
      {"ecdh p256",
       "wycheproof/ecdh_secp256r1_ecpoint_test.json",
       wycheproof_rows,
       judge_ecdh_p256,
       354,
       1,
       {"shared"}},
      {"aes gcm",
       "wycheproof/aes_gcm_test.json",
       wycheproof_rows,
       judge_wycheproof_gcm,
       133,
       183,
       {"msg", "ct", "tag"}},
      {"nist ikev2 skeyseed",
       "nist_ikev2_kdf/cavp_from_strongswan.json",
       [](const Json& file) { return elements(file.at("skeyseed")); },
       judge_skeyseed,
       6,
       0,
       {"skeyseed", "gir", "nonces_ni_nr"}},
      {"nist ikev2 prf+",
       "nist_ikev2_kdf/cavp_from_strongswan.json",
       [](const Json& file) { return elements(file.at("prf_plus")); },
       judge_prf_plus,
       7,
       0,
       {"out", "seed", "key"}},
      {"esp aes gcm",
       "draft-mcgrew-gcm-test-01/esp_gcm.json",
       [](const Json& file) { return elements(file.at("tests")); },
       judge_esp_gcm,
       13,
       1,
       {"esp_packet", "ciphertext", "icv", "aad", "plaintext_with_esp_trailer", "iv", "salt",
        "key"}},
      {"rfc aes gcm",
       "rfc_vectors/aead.json",
       [](const Json& file) { return elements(file.at("tests").at("aes_gcm")); },
       judge_aead,
       10,
       11,
       {"cipher", "plain", "iv", "key"}},
      {"rfc chacha20-poly1305",
       "rfc_vectors/aead.json",
       [](const Json& file) { return elements(file.at("tests").at("chacha20poly1305")); },
       judge_aead,
       4,
       0,
       {"cipher", "plain", "iv", "key", "adata"}},
      {"rfc key exchange",
       "rfc_vectors/ke.json",
       [](const Json& file) { return elements(file.at("tests")); },
       judge_key_exchange,
       9,
       7,
       {"shared", "pub_i", "pub_r"}},
      {"tcpdump esp",
       "tcpdump/esp_captures.json",
       capture_rows,
       judge_capture,
       8,
       8,
       {"ip_packet", "captured"}},
  };
  return files;
}

std::vector<Json> load_rows(const VectorFile& file) {
  return file.rows(Json::parse(read_file(kRoot + "/" + file.path)));
}

Outcome judge_row(const VectorFile& file, const Json& row) {
  try {
    return file.judge(row);
  } catch (const std::exception& error) {
    return wrong(std::string("the row has an unexpected form: ") + error.what());
  }
}

Bytes octets(const Json& row, const char* field) {
  return from_hex(row.at(field).get<std::string>()).value();
}

std::vector<std::string> read_pcap(const std::string& path) {
  // libpcap's file format: 24 octets of header, then 16 before each packet; these two files are
  // little-endian and hold Ethernet frames (link type 1).
  constexpr std::size_t kEthernetHeader = 14;
  const std::string text = read_file(path);
  if (load_le32(text, 0) != 0xa1b2c3d4 || load_le32(text, 20) != 1) {
    throw std::runtime_error(path + " is no capture of Ethernet frames");
  }
  std::vector<std::string> packets;
  for (std::size_t at = 24; at < text.size();) {
    const std::size_t length = load_le32(text, at + 8);
    const std::string frame = text.substr(at + 16, length);
    if (frame.size() != length) throw std::runtime_error(path + " ends within a packet");
    packets.push_back(to_hex(as_bytes(frame).subspan(kEthernetHeader)));
    at += 16 + length;
  }
  return packets;
}

}  // namespace cygnet::vectors
