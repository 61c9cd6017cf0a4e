// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Certificate chains that were verified already (docs/protocol.md section 3.4, "chain"): a device
/// publishes every hour under the certificate of a month, and each time the answer is the same.
///
/// Only a chain that verified is remembered, for the octets of leaf, intermediates and trust bundle
/// it was made of, and only while all of them are valid; signatures of DIMs are always verified,
/// revocation is another check. Bounded. Pure; a value owned by one thread.

#include <string>
#include <unordered_map>

#include "cygnet/proto/dim/dim_check.h"

namespace cygnet::controller {

class SeenChains final : public proto::DimProofs {
 public:
  Status chain(const crypto::Certificate& leaf,
               const std::vector<crypto::Certificate>& intermediates,
               const std::vector<crypto::Certificate>& trust, ServerTime now) const override;

  [[nodiscard]] std::size_t size() const { return valid_.size(); }
  [[nodiscard]] std::uint64_t verified() const { return verified_; }

 private:
  struct Validity {
    ServerTime from;
    ServerTime until;
  };
  mutable std::unordered_map<std::string, Validity> valid_;  ///< by digest
  mutable std::uint64_t verified_ = 0;
};

}  // namespace cygnet::controller
