// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Third-party vectors as rows, and the functions that judge one row each. A judge returns its
/// verdict instead of asserting, so that the test of the tests can plant a wrong octet in a row and
/// see the same function refuse it.

#include <cstddef>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cygnet/base/bytes.h"

namespace cygnet::vectors {

using Json = nlohmann::json;

enum class Verdict {
  kPass,
  kFail,
  kNotOurs,  ///< an algorithm that Cygnet does not speak, and the judge saw it refused
};
struct Outcome {
  Verdict verdict = Verdict::kFail;
  std::string why = {};  ///< for kFail and kNotOurs
};
[[nodiscard]] Outcome pass();
[[nodiscard]] Outcome wrong(std::string why);
[[nodiscard]] Outcome not_ours(std::string why);
/// pass() when the octets are equal, wrong() naming `what` otherwise.
[[nodiscard]] Outcome same(ByteView ours, ByteView theirs, const std::string& what);

using Judge = Outcome (*)(const Json& row);

struct VectorFile {
  std::string name;
  std::string path;  ///< below tests/vectors
  /// Takes the parsed file apart; a row carries what its judge needs of its group.
  std::function<std::vector<Json>(const Json& file)> rows;
  Judge judge;
  std::size_t ours_at_least;
  std::size_t not_ours_at_most;
  /// Fields in which any single wrong octet must be noticed.
  std::vector<std::string> sensitive;
};
/// Every file the project holds.
[[nodiscard]] const std::vector<VectorFile>& vector_files();
[[nodiscard]] std::vector<Json> load_rows(const VectorFile& file);
/// Runs the judge; a row whose form it does not expect is a failure, not a crash.
[[nodiscard]] Outcome judge_row(const VectorFile& file, const Json& row);

/// Octets of a hex field; throws on a missing field or bad hex (judge_row catches it).
[[nodiscard]] Bytes octets(const Json& row, const char* field);
/// The IP packets of a pcap file with Ethernet frames, as hex.
[[nodiscard]] std::vector<std::string> read_pcap(const std::string& path);

[[nodiscard]] Outcome judge_x25519(const Json& row);
[[nodiscard]] Outcome judge_ecdh_p256(const Json& row);
[[nodiscard]] Outcome judge_key_exchange(const Json& row);
[[nodiscard]] Outcome judge_wycheproof_gcm(const Json& row);
[[nodiscard]] Outcome judge_esp_gcm(const Json& row);
[[nodiscard]] Outcome judge_aead(const Json& row);
[[nodiscard]] Outcome judge_skeyseed(const Json& row);
[[nodiscard]] Outcome judge_prf_plus(const Json& row);
[[nodiscard]] Outcome judge_capture(const Json& row);

}  // namespace cygnet::vectors
