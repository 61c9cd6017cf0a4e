// SPDX-License-Identifier: Apache-2.0
#include "cygnet/sim/proofs.h"

#include <utility>

namespace cygnet::sim {
namespace {

constexpr std::size_t kYoungMax = 1 << 14;

}  // namespace

Result<crypto::Certificate> MemoProofs::certificate(ByteView der) const {
  std::string key(as_text(der));
  const auto it = certificates_.find(key);
  if (it != certificates_.end()) return it->second;
  CYGNET_TRY(crypto::Certificate made, DimProofs::certificate(der));
  certificates_.emplace(std::move(key), made);
  return made;
}

Status MemoProofs::chain(const crypto::Certificate& leaf,
                         const std::vector<crypto::Certificate>& intermediates,
                         const std::vector<crypto::Certificate>& trust, ServerTime now) const {
  const auto it = chains_.find(&leaf.impl());
  if (it != chains_.end() && leaf.not_before() <= now && now < leaf.not_after()) return {};
  Status status = DimProofs::chain(leaf, intermediates, trust, now);
  if (status && certificates_.contains(std::string(as_text(leaf.der())))) {
    chains_[&leaf.impl()] = true;
  }
  return status;
}

MemoProofs::Known& MemoProofs::known(ByteView octets,
                                     const crypto::Certificate& certificate) const {
  std::string key(as_text(octets));
  key += as_text(certificate.spki());
  if (const auto it = young_.find(key); it != young_.end()) return it->second;
  if (young_.size() >= kYoungMax) {
    old_ = std::move(young_);
    young_.clear();
  }
  Known value;
  if (const auto it = old_.find(key); it != old_.end()) value = it->second;
  return young_.emplace(std::move(key), std::move(value)).first->second;
}

Status MemoProofs::auth(const proto::Dim& dim, ByteView octets, const crypto::MeshId& mesh,
                        const crypto::Certificate& certificate) const {
  if (skip_auth_) return {};
  Known& memo = known(octets, certificate);
  if (!memo.auth) {
    ++verified_;
    memo.auth = DimProofs::auth(dim, octets, mesh, certificate);
  }
  return *memo.auth;
}

std::shared_ptr<const proto::AcceptedDim> MemoProofs::keep(proto::AcceptedDim dim) const {
  Known& memo = known(dim.octets, dim.certificate);
  // A renewed certificate of the same key is another value.
  if (!memo.kept || &memo.kept->certificate.impl() != &dim.certificate.impl()) {
    memo.kept = DimProofs::keep(std::move(dim));
  }
  return memo.kept;
}

}  // namespace cygnet::sim
