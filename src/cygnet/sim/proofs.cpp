// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/proofs.h"

#include <utility>

namespace cygnet::sim {
namespace {

constexpr std::size_t kYoungMax = 1 << 14;

}  // namespace

MemoProofs::Known& MemoProofs::known(ByteView octets) const {
  const std::string_view key = as_text(octets);
  if (Known* const last = last_known_.of(key)) return *last;
  if (const auto it = young_.find(key); it != young_.end()) {
    last_known_.entry = &*it;
    return it->second;
  }
  if (young_.size() >= kYoungMax) {
    old_ = std::move(young_);
    young_.clear();
  }
  Known value;
  if (const auto it = old_.find(key); it != old_.end()) value = it->second;
  last_known_.entry = &*young_.emplace(key, std::move(value)).first;
  return last_known_.entry->second;
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

MemoProofs::CertificateEntry* MemoProofs::entry_of(ByteView der) const {
  const std::string_view key = as_text(der);
  if (CertificateEntry* const last = last_certificate_.of(key)) return last;
  const auto it = certificates_.find(key);
  if (it == certificates_.end()) return nullptr;
  last_certificate_.entry = &*it;
  return &it->second;
}

Result<crypto::Certificate> MemoProofs::certificate(ByteView der) const {
  if (const CertificateEntry* const entry = entry_of(der)) return entry->certificate;
  CYGNET_TRY(crypto::Certificate made, DimProofs::certificate(der));
  certificates_.emplace(as_text(der), CertificateEntry{made, std::nullopt});
  return made;
}

Result<proto::DeviceIdentity> MemoProofs::identity(const crypto::Certificate& leaf) const {
  CertificateEntry* const entry = entry_of(leaf.der());
  if (entry == nullptr) return DimProofs::identity(leaf);
  if (!entry->identity) {
    CYGNET_TRY(entry->identity, DimProofs::identity(leaf));
  }
  return *entry->identity;
}

Status MemoProofs::chain(const crypto::Certificate& leaf,
                         const std::vector<crypto::Certificate>& intermediates,
                         const std::vector<crypto::Certificate>& trust, ServerTime now) const {
  if (chains_.contains(&leaf.impl()) && leaf.not_before() <= now && now < leaf.not_after()) {
    return {};
  }
  Status status = DimProofs::chain(leaf, intermediates, trust, now);
  const CertificateEntry* const kept = entry_of(leaf.der());
  if (status && kept != nullptr && &kept->certificate.impl() == &leaf.impl()) {
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
