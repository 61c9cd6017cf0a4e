// SPDX-License-Identifier: Apache-2.0
#pragma once

/// CYGNET_ASSERT: an invariant of our own code, checked in release builds too. A crash is better
/// than sending on a wrong key; never use it for anything that input can cause.

namespace cygnet {

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace cygnet

#define CYGNET_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::cygnet::assertion_failed(#condition, __FILE__, __LINE__))
