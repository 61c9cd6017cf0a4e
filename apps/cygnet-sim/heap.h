// SPDX-License-Identifier: Apache-2.0
#pragma once

/// This program's heap: mimalloc instead of the C library's, which took a fifth of what a run
/// executes. A sanitizer has a heap of its own, and keeps it.

namespace cygnet::apps {

/// From now on memory comes in huge pages where the kernel has them: good for a world of gigabytes,
/// which is touched here and there, a waste for a small one.
void heap_in_huge_pages();

}  // namespace cygnet::apps
