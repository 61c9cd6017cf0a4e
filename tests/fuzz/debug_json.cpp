// SPDX-License-Identifier: Apache-2.0

/// The `cygnet debug` verbs read JSON from anywhere. Whatever comes in, one line of JSON goes out
/// and the exit code says whether it was refused.

#include <sstream>

#include "cygnet/debug/debug.h"
#include "cygnet/rt/json.h"
#include "fuzz.h"

using namespace cygnet;

FUZZ_TARGET(debug_json) {
  static const std::vector<std::vector<std::string>> verbs{{"derive"},        {"esp", "open"},
                                                           {"esp", "seal"},   {"dim", "decode"},
                                                           {"dim", "encode"}, {"dim", "check"}};
  fuzz::Input in(octets);
  const auto& verb = verbs[in.below(verbs.size())];
  std::istringstream text{std::string(as_text(in.rest()))};
  std::ostringstream out;
  const int code = debug::run_debug(verb, text, out, ServerTime(std::chrono::hours(24 * 365 * 50)));
  FUZZ_REQUIRE(code == debug::kExitOk || code == debug::kExitRefused);
  const auto json = rt::parse_json(out.str());
  FUZZ_REQUIRE(json.has_value() && json->is_object());
  FUZZ_REQUIRE(code == debug::kExitRefused || !json->contains("error"));
}
