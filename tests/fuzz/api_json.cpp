// SPDX-License-Identifier: Apache-2.0

/// JSON bodies of the API, and the members it reads. What parses prints to something that parses to
/// the same.

#include "cygnet/rt/json.h"
#include "fuzz.h"

using namespace cygnet;

FUZZ_TARGET(api_json) {
  const auto json = rt::parse_json(as_text(octets));
  if (!json) {
    FUZZ_REQUIRE(json.error().code == rt::kErrJson && !json.error().message.empty());
    return;
  }
  const std::string text = rt::dump_json(*json);
  const auto again = rt::parse_json(text);
  FUZZ_REQUIRE(again.has_value());
  FUZZ_REQUIRE(rt::dump_json(*again) == text);
  FUZZ_REQUIRE(rt::parse_json(rt::dump_json_pretty(*json)).has_value());
  for (const char* member : {"name", "reason", "version", "ttl_s", "yaml"}) {
    const auto as_string = rt::json_string(*json, member);
    const auto as_number = rt::json_uint(*json, member);
    const auto as_flag = rt::json_bool(*json, member);
    FUZZ_REQUIRE(json->is_object() || !(as_string || as_number || as_flag));
    // At most one kind fits what is there.
    const int there = (as_string && *as_string) + (as_number && *as_number) + (as_flag && *as_flag);
    FUZZ_REQUIRE(there <= 1);
  }
}
