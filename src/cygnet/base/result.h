// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Result<T>: a value or an Error. How every fallible function that handles untrusted bytes, peers,
/// the network, the kernel or configuration reports failure; nothing here throws.
///
/// Backed by tl::expected because g++ 12 offers std::expected only in C++23 mode and clang 14 not
/// at all; the base can become std::expected when both are gone.

#include <tl/expected.hpp>

#include "cygnet/base/error.h"

namespace cygnet {

template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

/// Success or an Error.
using Status = Result<void>;

/// Makes the failing side of any Result: `return fail(kCode, "what happened", "where", "cure");`
[[nodiscard]] inline tl::unexpected<Error> fail(ErrorCode code, std::string message,
                                                std::string where = {}, std::string cure = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(where), std::move(cure)});
}
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace cygnet

#define CYGNET_CONCAT_INNER(a, b) a##b
#define CYGNET_CONCAT(a, b) CYGNET_CONCAT_INNER(a, b)

/// `CYGNET_TRY(auto x, compute());` declares x from the value or returns the error.
#define CYGNET_TRY(declaration, expression)                                         \
  auto CYGNET_CONCAT(cygnet_try_, __LINE__) = (expression);                         \
  if (!CYGNET_CONCAT(cygnet_try_, __LINE__).has_value())                            \
    return ::cygnet::fail(std::move(CYGNET_CONCAT(cygnet_try_, __LINE__)).error()); \
  declaration = std::move(*CYGNET_CONCAT(cygnet_try_, __LINE__))

/// Returns the error of a Status, continues on success.
#define CYGNET_CHECK_OK(expression)                                                            \
  do {                                                                                         \
    auto cygnet_status_ = (expression);                                                        \
    if (!cygnet_status_.has_value()) return ::cygnet::fail(std::move(cygnet_status_).error()); \
  } while (false)
