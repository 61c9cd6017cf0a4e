// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/document.h"

#include <charconv>

namespace cygnet::controller::policy {

std::string where(const Document& document, Place place) {
  if (place.line == 0) return document.source;
  return document.source + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
}

Place place_in(const Error& error) {
  const std::string_view text = error.where;
  const std::size_t last = text.rfind(':');
  if (last == std::string_view::npos || last == 0) return {};
  const std::size_t first = text.rfind(':', last - 1);
  if (first == std::string_view::npos) return {};
  const auto number = [](std::string_view digits) {
    std::uint32_t value = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return failed == std::errc{} && end == digits.data() + digits.size() ? value : 0;
  };
  const Place place{number(text.substr(first + 1, last - first - 1)),
                    number(text.substr(last + 1))};
  return place.line == 0 || place.column == 0 ? Place{} : place;
}

std::string_view to_string(Action action) { return action == Action::kAllow ? "allow" : "deny"; }
std::string_view to_string(PairMode mode) {
  return mode == PairMode::kAlways ? "always" : "on-demand";
}
std::string_view to_string(Derive derive) { return derive == Derive::kLazy ? "lazy" : "eager"; }
std::string_view to_string(Profile profile) {
  return profile == Profile::kDefault ? "default" : "fips";
}

}  // namespace cygnet::controller::policy
