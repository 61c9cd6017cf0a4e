// SPDX-License-Identifier: Apache-2.0
#include "heap.h"

#ifdef CYGNET_MIMALLOC
#include <mimalloc.h>
#endif

namespace cygnet::apps {

void heap_in_huge_pages() {
#ifdef CYGNET_MIMALLOC
  mi_option_enable(mi_option_large_os_pages);
#endif
}

}  // namespace cygnet::apps
