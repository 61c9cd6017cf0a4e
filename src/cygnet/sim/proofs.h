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
  Result<proto::DeviceIdentity> identity(const crypto::Certificate& leaf) const override;
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
  struct CertificateEntry {
    crypto::Certificate certificate;
    std::optional<proto::DeviceIdentity> identity;  ///< once it was asked, and is one
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
  /// The entry asked for last; receivers of one DIM ask one after the other, and each several
  /// times. Comparing octets costs a fraction of hashing them.
  template <class T>
  struct Last {
    typename ByOctets<T>::value_type* entry = nullptr;
    [[nodiscard]] T* of(std::string_view key) const {
      return entry != nullptr && entry->first == key ? &entry->second : nullptr;
    }
  };

  Known& known(ByteView octets) const;
  CertificateEntry* entry_of(ByteView der) const;  ///< nullptr: never parsed
  UnderKey& under_key(ByteView octets, const crypto::Certificate& certificate) const;

  bool skip_auth_;
  mutable ByOctets<CertificateEntry> certificates_;
  mutable Last<CertificateEntry> last_certificate_;
  mutable std::unordered_set<const void*> chains_;  ///< of certificates_, which keeps them
  // Two generations, so that what nobody asks about any more goes.
  mutable ByOctets<Known> young_;
  mutable ByOctets<Known> old_;
  mutable Last<Known> last_known_;  ///< in young_
  mutable std::uint64_t verified_ = 0;
};

}  // namespace cygnet::sim
