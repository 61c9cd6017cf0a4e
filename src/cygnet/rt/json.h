// SPDX-License-Identifier: Apache-2.0
#pragma once

/// JSON values with keys in the order they were written. Include in .cpp files only: the header is
/// heavy. Pure; value types.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "cygnet/base/result.h"

namespace cygnet::rt {

using Json = nlohmann::ordered_json;

inline constexpr ErrorCode kErrJson{"json"};

/// Nesting is limited to 64. @retval kErrJson with line and column
[[nodiscard]] Result<Json> parse_json(std::string_view text);
/// One line; octets that are no UTF-8 are replaced, never a failure.
[[nodiscard]] std::string dump_json(const Json& json);
[[nodiscard]] std::string dump_json_pretty(const Json& json);

/// Members of an object, with errors that name the member. A missing or null member is nullopt.
/// @retval kErrJson wrong type, out of range, or `object` is no object
[[nodiscard]] Result<std::optional<std::string>> json_string(const Json& object, const char* name);
[[nodiscard]] Result<std::optional<std::uint64_t>> json_uint(const Json& object, const char* name);
[[nodiscard]] Result<std::optional<bool>> json_bool(const Json& object, const char* name);

}  // namespace cygnet::rt
