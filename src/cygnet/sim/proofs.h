// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Signatures and chains are verified in earnest, but once a DIM and not once a receiver: the
/// answer depends on octets only. One for each world.

#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "cygnet/proto/dim/dim_check.h"

namespace cygnet::sim {

class MemoProofs final : public proto::DimProofs {
 public:
  /// @param skip_auth  a planted fault: signatures are not looked at
  explicit MemoProofs(bool skip_auth) : skip_auth_(skip_auth) {}

  Result<crypto::Certificate> certificate(ByteView der) const override;
  Status chain(const crypto::Certificate& leaf,
               const std::vector<crypto::Certificate>& intermediates,
               const std::vector<crypto::Certificate>& trust, ServerTime now) const override;
  Status auth(const proto::Dim& dim, ByteView octets, const crypto::MeshId& mesh,
              const crypto::Certificate& certificate) const override;
  std::shared_ptr<const proto::AcceptedDim> keep(proto::AcceptedDim dim) const override;

  [[nodiscard]] std::uint64_t verified() const { return verified_; }

 private:
  struct Known {
    std::optional<Status> auth;
    std::shared_ptr<const proto::AcceptedDim> kept;
  };
  Known& known(ByteView octets, const crypto::Certificate& certificate) const;

  bool skip_auth_;
  mutable std::unordered_map<std::string, crypto::Certificate> certificates_;
  mutable std::unordered_map<const void*, bool> chains_;
  // Two generations, so that what nobody asks about any more goes.
  mutable std::unordered_map<std::string, Known> young_;
  mutable std::unordered_map<std::string, Known> old_;
  mutable std::uint64_t verified_ = 0;
};

}  // namespace cygnet::sim
