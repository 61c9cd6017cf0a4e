// SPDX-License-Identifier: Apache-2.0
#pragma once

/// JSON values as block-style YAML, for -o yaml. Pure.

#include <string>

#include "cygnet/rt/json.h"

namespace cygnet::cli {

[[nodiscard]] std::string to_yaml(const rt::Json& json);

}  // namespace cygnet::cli
