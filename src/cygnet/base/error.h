// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The one error value of Cygnet: a stable code, what happened, where, and what to do about it.
///
/// Pure; a value type, safe to move between threads. Never put secrets into one: errors are
/// logged, sent to the controller and shown to operators.

#include <string>
#include <string_view>
#include <utility>

namespace cygnet {

/// Stable, kebab-case name of a kind of failure ("public-value", "stale-dim"). Each layer declares
/// its own constants beside its code; equality is by name, so no central list is needed.
class ErrorCode {
 public:
  constexpr explicit ErrorCode(std::string_view name) : name_(name) {}
  [[nodiscard]] constexpr std::string_view name() const { return name_; }
  friend constexpr bool operator==(ErrorCode, ErrorCode) = default;

 private:
  std::string_view name_;  // must refer to static storage
};

/// A refusal or failure that a caller is expected to handle.
struct Error {
  ErrorCode code;
  /// What happened, to which thing, in one sentence without a final full stop.
  std::string message;
  /// Where: "KE payload at offset 132", "mesh.yaml:14:7", a path, a peer. May be empty.
  std::string where = {};
  /// What the reader can do about it. May be empty when the caller knows better.
  std::string cure = {};

  /// "where: message (code); cure", leaving out what is empty.
  [[nodiscard]] std::string to_string() const;

  /// The same error seen from further out: prefixes `where`.
  [[nodiscard]] Error within(std::string_view outer) &&;
};

}  // namespace cygnet
