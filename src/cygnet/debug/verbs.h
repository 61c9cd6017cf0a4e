// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The verbs one by one: parsed input in, output or refusal out. Internal to debug.

#include "cygnet/base/time.h"
#include "cygnet/debug/fields.h"

namespace cygnet::debug {

struct Answer {
  Json json;
  bool refused = false;  ///< the answer holds an "error" beside what could be told
};

[[nodiscard]] inline Answer answer(Json json) { return {std::move(json), false}; }

[[nodiscard]] Result<Answer> derive(const Json& input);
[[nodiscard]] Result<Answer> esp_open(const Json& input);
[[nodiscard]] Result<Answer> esp_seal(const Json& input);
[[nodiscard]] Result<Answer> dim_decode(const Json& input);
[[nodiscard]] Result<Answer> dim_encode(const Json& input);
[[nodiscard]] Result<Answer> dim_check(const Json& input, ServerTime now);

}  // namespace cygnet::debug
