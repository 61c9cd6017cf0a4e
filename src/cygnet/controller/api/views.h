// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The core's views as JSON (docs/api.md). For the API's sources only: the JSON header is heavy.

#include <string>

#include "cygnet/controller/core/core.h"
#include "cygnet/controller/policy/plan.h"
#include "cygnet/rt/http.h"
#include "cygnet/rt/json.h"

namespace cygnet::controller {

using rt::Json;

[[nodiscard]] Json to_json(const Core& core, const Core::DeviceView& view);
[[nodiscard]] Json to_json(const Core& core, const Core::PairView& view);
[[nodiscard]] Json to_json(const Core& core, const Core::DimView& view);
[[nodiscard]] Json to_json(const store::TokenRecord& token, ServerTime now);
/// One problem of a policy: line, column, message, cure.
[[nodiscard]] Json problem_of(const Error& error);
[[nodiscard]] Json items(Json list);
[[nodiscard]] std::int64_t ms(ServerTime time);
[[nodiscard]] std::string full(const Core& core, const std::string& name);
/// "hub-1" from "hub-1" or "hub-1.corp"; anything else comes back as it is.
[[nodiscard]] std::string label_of(const Core& core, std::string name);
/// Who asks, from the socket's credentials: "root (uid 0, pid 4711)".
[[nodiscard]] std::string who(const rt::HttpRequest& request);
[[nodiscard]] std::string token_id(const store::TokenRecord& token);
[[nodiscard]] Error no_such_device(const Core& core, const std::string& name);

}  // namespace cygnet::controller
