// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Post-quantum preshared keys (RFC 8784; docs/protocol.md section 5, "PPK"), in a file that only
/// root may read: one a line, "<id> <hex>", in order of preference; '#' begins a comment. At most
/// two, of 16 to 256 octets. The ids go into the DIM, the keys never leave this class but into a
/// derivation.

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/base/secret.h"
#include "cygnet/rt/fs.h"

namespace cygnet::agent {

inline constexpr ErrorCode kErrPpkFile{"ppk-file"};

class PpkFile {
 public:
  PpkFile() = default;
  /// @retval rt::kErrFileMode and the other errors of read_secret, kErrPpkFile with the line
  [[nodiscard]] static Result<PpkFile> load(const rt::Path& path);
  [[nodiscard]] static Result<PpkFile> parse(std::string_view text);

  /// Type octet 2 (PPK_ID_FIXED), then the id.
  [[nodiscard]] std::vector<Bytes> ids() const;
  /// A copy for one derivation; empty when there is no such PPK.
  [[nodiscard]] SecretBytes find(ByteView id) const;

 private:
  std::vector<std::pair<Bytes, std::shared_ptr<const SecretBytes>>> ppks_;
};

}  // namespace cygnet::agent
