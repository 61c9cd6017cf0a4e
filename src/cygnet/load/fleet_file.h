// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The identities of a simulated fleet in one file, so that a second run need not enrol again:
/// mesh, trust bundle, and each device's key and certificate, as PEM under one-word headings.
///
/// Blocking; the file has mode 0600, it holds private keys. Names are s00000, s00001, ….

#include <optional>
#include <string>
#include <vector>

#include "cygnet/crypto/identity.h"
#include "cygnet/rt/fs.h"

namespace cygnet::load {

inline constexpr ErrorCode kErrFleet{"fleet-file"};

struct Member {
  std::string name;  ///< first label
  crypto::IdentityKey key;
  crypto::Certificate certificate;
};

struct Fleet {
  crypto::MeshId mesh{};
  std::string mesh_name;
  std::vector<crypto::Certificate> trust;
  std::vector<Member> members;  ///< by number
};

/// "s00042"
[[nodiscard]] std::string member_name(std::uint32_t number);
/// The number of "s00042.<mesh>"; nullopt for any other name.
[[nodiscard]] std::optional<std::uint32_t> member_number(std::string_view full_name);

[[nodiscard]] std::string to_text(const Fleet& fleet);
/// @retval kErrFleet naming the line
[[nodiscard]] Result<Fleet> parse_fleet(std::string_view text);

/// An empty fleet when the file is missing.
[[nodiscard]] Result<Fleet> load_fleet(const rt::Path& path);
[[nodiscard]] Status store_fleet(const rt::Path& path, const Fleet& fleet);

}  // namespace cygnet::load
