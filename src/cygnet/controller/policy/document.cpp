// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/document.h"

namespace cygnet::controller::policy {

std::string where(const Document& document, Place place) {
  if (place.line == 0) return document.source;
  return document.source + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
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
