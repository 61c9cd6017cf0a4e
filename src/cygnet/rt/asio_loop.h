// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The io_context of a Loop, for .cpp files that use Asio directly. Include in .cpp files only:
/// Asio's headers are heavy.

#include <boost/asio/io_context.hpp>

#include "cygnet/rt/loop.h"

namespace cygnet::rt {

[[nodiscard]] boost::asio::io_context& io_context_of(Loop& loop);

}  // namespace cygnet::rt
