// SPDX-License-Identifier: Apache-2.0
#pragma once

/// DIMs are decoded, and signatures and chains verified, in earnest, but once a DIM and not once a
/// receiver: the answer depends on octets only. One for each world.

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "cygnet/proto/dim/dim_check.h"

namespace cygnet::sim {

class MemoProofs final : public proto::DimProofs {
 public:
  /// @param skip_auth  a planted fault: signatures are not looked at
  explicit MemoProofs(bool skip_auth) : skip_auth_(skip_auth) {}

  Result<std::shared_ptr<const proto::DimForm>> form(ByteView octets) const override;
  Result<crypto::Certificate> certificate(ByteView der) const override;
  Status chain(const crypto::Certificate& leaf,
               const std::vector<crypto::Certificate>& intermediates,
               const std::vector<crypto::Certificate>& trust, ServerTime now) const override;
  Status auth(const proto::Dim& dim, ByteView octets, const crypto::MeshId& mesh,
              const crypto::Certificate& certificate) const override;
  std::shared_ptr<const proto::AcceptedDim> keep(
      const proto::DimForm& form, ByteView octets,
      const crypto::Certificate& certificate) const override;

  [[nodiscard]] std::uint64_t verified() const { return verified_; }

 private:
  /// What is known of some octets, and of them together with a certificate.
  struct UnderKey {
    crypto::Certificate certificate;
    std::optional<Status> auth;  ///< of all certificates of one key
    std::shared_ptr<const proto::AcceptedDim> kept;
  };
  struct Known {
    std::shared_ptr<const proto::DimForm> form;
    std::vector<UnderKey> keys;  ///< hardly ever more than one
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  template <class T>
  using ByOctets = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

  Known& known(ByteView octets) const;
  UnderKey& under_key(ByteView octets, const crypto::Certificate& certificate) const;

  bool skip_auth_;
  mutable ByOctets<crypto::Certificate> certificates_;
  mutable std::unordered_set<const void*> chains_;  ///< of certificates_, which keeps them
  // Two generations, so that what nobody asks about any more goes.
  mutable ByOctets<Known> young_;
  mutable ByOctets<Known> old_;
  mutable std::uint64_t verified_ = 0;
};

}  // namespace cygnet::sim
