// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/sad.h"

namespace cygnet::agent::userspace {

//= docs/spec/draft-carrel-ipsecme-controller-ike-00.txt#section-5.2.1.3
//# its SA lookup process needs to be aware that duplicates could occur.
bool Sad::add(InboundSa& sa) {
  InboundSa*& first = by_spi_[sa.spi.value()];
  std::size_t same = 0;
  for (const InboundSa* at = first; at != nullptr; at = at->next_same_spi) ++same;
  if (same >= kMaxSameSpi) return false;
  sa.next_same_spi = first;
  first = &sa;
  return true;
}

void Sad::remove(InboundSa& sa) {
  const auto it = by_spi_.find(sa.spi.value());
  if (it == by_spi_.end()) return;
  InboundSa** link = &it->second;
  while (*link != nullptr && *link != &sa) link = &(*link)->next_same_spi;
  if (*link == nullptr) return;
  *link = sa.next_same_spi;
  sa.next_same_spi = nullptr;
  if (it->second == nullptr) by_spi_.erase(it);
}

}  // namespace cygnet::agent::userspace
