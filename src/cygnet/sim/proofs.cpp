// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/proofs.h"

#include <utility>

namespace cygnet::sim {
namespace {

constexpr std::size_t kYoungMax = 1 << 14;

}  // namespace

MemoProofs::Known& MemoProofs::known(ByteView octets) const {
  const std::string_view key = as_text(octets);
  if (const auto it = young_.find(key); it != young_.end()) return it->second;
  if (young_.size() >= kYoungMax) {
    old_ = std::move(young_);
    young_.clear();
  }
  Known value;
  if (const auto it = old_.find(key); it != old_.end()) value = it->second;
  return young_.emplace(key, std::move(value)).first->second;
}

MemoProofs::UnderKey& MemoProofs::under_key(ByteView octets,
                                            const crypto::Certificate& certificate) const {
  Known& memo = known(octets);
  std::optional<Status> auth;
  for (UnderKey& entry : memo.keys) {
    if (&entry.certificate.impl() == &certificate.impl()) return entry;
    if (entry.certificate.spki() == certificate.spki()) auth = entry.auth;
  }
  memo.keys.push_back({certificate, std::move(auth), nullptr});
  return memo.keys.back();
}

Result<std::shared_ptr<const proto::DimForm>> MemoProofs::form(ByteView octets) const {
  Known& memo = known(octets);
  if (!memo.form) {
    CYGNET_TRY(memo.form, DimProofs::form(octets));
  }
  return memo.form;
}

Result<crypto::Certificate> MemoProofs::certificate(ByteView der) const {
  const std::string_view key = as_text(der);
  const auto it = certificates_.find(key);
  if (it != certificates_.end()) return it->second;
  CYGNET_TRY(crypto::Certificate made, DimProofs::certificate(der));
  certificates_.emplace(key, made);
  return made;
}

Status MemoProofs::chain(const crypto::Certificate& leaf,
                         const std::vector<crypto::Certificate>& intermediates,
                         const std::vector<crypto::Certificate>& trust, ServerTime now) const {
  if (chains_.contains(&leaf.impl()) && leaf.not_before() <= now && now < leaf.not_after()) {
    return {};
  }
  Status status = DimProofs::chain(leaf, intermediates, trust, now);
  const auto kept = certificates_.find(as_text(leaf.der()));
  if (status && kept != certificates_.end() && &kept->second.impl() == &leaf.impl()) {
    chains_.insert(&leaf.impl());
  }
  return status;
}

Status MemoProofs::auth(const proto::Dim& dim, ByteView octets, const crypto::MeshId& mesh,
                        const crypto::Certificate& certificate) const {
  if (skip_auth_) return {};
  UnderKey& memo = under_key(octets, certificate);
  if (!memo.auth) {
    ++verified_;
    memo.auth = DimProofs::auth(dim, octets, mesh, certificate);
  }
  return *memo.auth;
}

// A renewed certificate of the same key is another value.
std::shared_ptr<const proto::AcceptedDim> MemoProofs::keep(
    const proto::DimForm& form, ByteView octets, const crypto::Certificate& certificate) const {
  UnderKey& memo = under_key(octets, certificate);
  if (!memo.kept) memo.kept = DimProofs::keep(form, octets, certificate);
  return memo.kept;
}

}  // namespace cygnet::sim
