// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "cygnet/crypto/prf.h"
#include "vector_rows.h"

namespace cygnet::vectors {
namespace {

crypto::PrfId prf_of(const Json& row) {
  static const std::map<std::string, crypto::PrfId> kNames{
      {"PRF_HMAC_SHA2_256", crypto::PrfId::kHmacSha2_256},
      {"PRF_HMAC_SHA2_384", crypto::PrfId::kHmacSha2_384},
      {"PRF_HMAC_SHA2_512", crypto::PrfId::kHmacSha2_512}};
  return kNames.at(row.at("prf").get<std::string>());
}

}  // namespace

Outcome judge_skeyseed(const Json& row) {
  const SecretBytes ours =
      crypto::prf(prf_of(row), octets(row, "nonces_ni_nr"), octets(row, "gir"));
  return same(ours.reveal(), octets(row, "skeyseed"), "SKEYSEED");
}

Outcome judge_prf_plus(const Json& row) {
  const Bytes theirs = octets(row, "out");
  if (theirs.empty()) return wrong("the row has no output");
  const SecretBytes ours =
      crypto::prf_plus(prf_of(row), octets(row, "key"), octets(row, "seed"), theirs.size());
  return same(ours.reveal(), theirs, "prf+");
}

}  // namespace cygnet::vectors
