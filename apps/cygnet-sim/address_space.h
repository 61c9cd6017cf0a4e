// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where a large world lives. It touches gigabytes here and there, so half of its time goes into
/// looking up where small pages lie.

#include <cstddef>

namespace cygnet::apps {

/// Makes the heap of the main thread one range of so many octets, of huge pages where the kernel
/// has them. Costs no memory until it is used; does nothing where the range is not to be had. Once,
/// before other threads are there.
void reserve_in_huge_pages(std::size_t octets);

}  // namespace cygnet::apps
