// SPDX-License-Identifier: Apache-2.0

/// Policy documents: written by operators and by whatever generates them. Refused with a place and
/// a cure, or compiled.

#include "cygnet/controller/policy/compiled.h"
#include "cygnet/controller/policy/parse.h"
#include "fuzz.h"

using namespace cygnet;
using namespace cygnet::controller::policy;

FUZZ_TARGET(policy_yaml) {
  const Parsed parsed = parse_all(as_text(octets), "fuzz.yaml");
  FUZZ_REQUIRE(parsed.problems.size() <= kProblemsMax);
  for (const Error& problem : parsed.problems) FUZZ_REQUIRE(!problem.message.empty());
  const auto first = parse(as_text(octets), "fuzz.yaml");
  FUZZ_REQUIRE(first.has_value() == parsed.problems.empty());
  if (!first) return;
  const CompileOptions options{};
  const auto problems = check(*first, options);
  const auto compiled = CompiledPolicy::compile(*first, options, std::make_shared<DeviceNames>());
  FUZZ_REQUIRE(compiled.has_value() == problems.empty());
}
