// SPDX-License-Identifier: Apache-2.0
#pragma once

/// YAML as a plain tree with places. Internal to parse.h; its .cpp is the only file here that
/// includes yaml-cpp. Value types.

#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/result.h"
#include "cygnet/controller/policy/document.h"

namespace cygnet::controller::policy {

using YamlIndex = std::uint32_t;

struct YamlNode {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  Place place;
  std::string scalar;
  std::vector<YamlIndex> children;  ///< items; of a map: key, value, key, value, …
};

/// Nodes by index, the root first. Keys of maps are scalars.
struct YamlTree {
  std::vector<YamlNode> nodes;
  [[nodiscard]] const YamlNode& operator[](YamlIndex index) const { return nodes[index]; }
};

inline constexpr std::size_t kYamlDepthMax = 16;

/// One document. Anchors, aliases, tags and merge keys are refused: a policy is read by people
/// who must see what it says where it stands.
/// @retval kErrYaml with `where` as source:line:column
[[nodiscard]] Result<YamlTree> read_yaml(std::string_view text, std::string_view source);

}  // namespace cygnet::controller::policy
