// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Strict reading of JSON objects: every refusal names the field by its path, and what is not
/// understood is refused rather than passed over. Internal to debug; not thread-safe.

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "cygnet/base/bytes.h"
#include "cygnet/base/result.h"

namespace cygnet::debug {

using Json = nlohmann::ordered_json;

inline constexpr ErrorCode kErrJson{"json"};
inline constexpr ErrorCode kErrMissingField{"missing-field"};
inline constexpr ErrorCode kErrWrongType{"wrong-type"};
inline constexpr ErrorCode kErrUnknownField{"unknown-field"};
inline constexpr ErrorCode kErrUnknownName{"unknown-name"};
inline constexpr ErrorCode kErrRange{"range"};
inline constexpr ErrorCode kErrUsage{"usage"};

/// Exactly one JSON object, no key twice. @retval kErrJson
[[nodiscard]] Result<Json> parse_object(std::string_view text);

/// One object of the input. Absent and null count as the same for what may be left out.
class Fields {
 public:
  /// @param path  of the object in the input: "" or "local." or "payloads[3].fields."
  [[nodiscard]] static Result<Fields> of(const Json& value, std::string path);

  [[nodiscard]] bool has(std::string_view name);
  [[nodiscard]] Result<std::string> text(std::string_view name);
  [[nodiscard]] Result<Bytes> octets(std::string_view name);
  [[nodiscard]] Result<bool> boolean(std::string_view name);
  /// @retval kErrRange  an integer outside [0, max]
  [[nodiscard]] Result<std::uint64_t> number(std::string_view name, std::uint64_t max);
  [[nodiscard]] Result<Fields> object(std::string_view name);
  /// The elements; @retval kErrWrongType when it is no array.
  [[nodiscard]] Result<const Json*> array(std::string_view name);

  /// Fields that are allowed and carry nothing we need.
  void ignore(std::initializer_list<std::string_view> names);
  /// After everything has been read: @retval kErrUnknownField  names what nobody asked for.
  [[nodiscard]] Status done() const;

  [[nodiscard]] std::string path_of(std::string_view name) const {
    return path_ + std::string(name);
  }

 private:
  Fields(const Json& value, std::string path) : value_(&value), path_(std::move(path)) {}
  [[nodiscard]] Result<const Json*> get(std::string_view name);

  const Json* value_;
  std::string path_;
  std::set<std::string, std::less<>> asked_;
};

/// An array element or other lone value as octets or text; `path` names it.
[[nodiscard]] Result<Bytes> octets_of(const Json& value, const std::string& path);
[[nodiscard]] Result<std::string> text_of(const Json& value, const std::string& path);

/// {"code":…,"message":…} with "where" and "cure" when there are any.
[[nodiscard]] Json error_json(const Error& error);

}  // namespace cygnet::debug
