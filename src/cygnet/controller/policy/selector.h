// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Selectors: which devices one side of a rule speaks about (docs/policy.md, "Selectors").
/// Pure; value types.

#include <compare>
#include <string>
#include <string_view>
#include <vector>

#include "cygnet/base/result.h"

namespace cygnet::controller::policy {

inline constexpr ErrorCode kErrSelector{"policy-selector"};

/// A label of a device; the key `name` is the device's own name and cannot be a label.
struct Label {
  std::string key;
  std::string value;
  friend auto operator<=>(const Label&, const Label&) = default;
};

/// One condition: `key=value`, where the value may hold `*` (any run of characters) and `?` (any
/// one character).
struct SelectorTerm {
  std::string key;
  std::string pattern;
  [[nodiscard]] bool is_glob() const { return pattern.find_first_of("*?") != std::string::npos; }
  friend auto operator<=>(const SelectorTerm&, const SelectorTerm&) = default;
};

/// All terms must hold; no term at all is `any`. Terms are kept sorted and without repetition, so
/// that two ways to write one selector compare equal.
struct Selector {
  std::vector<SelectorTerm> terms;
  friend auto operator<=>(const Selector&, const Selector&) = default;

  /// `labels` sorted by key.
  [[nodiscard]] bool matches(std::string_view name, const std::vector<Label>& labels) const;
};

/// "any", "role=branch", "name=lab-*", "role=branch,region=eu". A word without `=` is refused with
/// the cure `name=word`, so that a label forgotten is not taken for a device.
/// @retval kErrSelector
[[nodiscard]] Result<Selector> parse_selector(std::string_view text);
[[nodiscard]] std::string to_string(const Selector& selector);

[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

/// A label's key or value: 1…63 of a-z, A-Z, 0-9, '.', '_', '-', '/'; starts and ends with a
/// letter or digit.
[[nodiscard]] bool is_label_word(std::string_view text);

}  // namespace cygnet::controller::policy
