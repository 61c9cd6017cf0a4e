// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/common/unknown_spis.h"

namespace cygnet::agent {

void UnknownSpis::add(std::uint32_t spi, const UdpEndpoint& source) {
  std::size_t at = 0;
  while (at < used_ && entries_[at].spi != spi) ++at;
  if (at == used_) {
    if (used_ == kMaxTracked) {
      at = kMaxTracked - 1;
    } else {
      entries_[used_++] = {};
    }
  }
  entries_[at].spi = spi;
  entries_[at].source = source;
  ++entries_[at].count;
}

std::vector<UnknownSpiReport> UnknownSpis::take(Timestamp now) {
  if (used_ == 0 || now < next_) return {};
  next_ = now + kInterval;
  std::vector<UnknownSpiReport> out(entries_.begin(),
                                    entries_.begin() + static_cast<std::ptrdiff_t>(used_));
  used_ = 0;
  return out;
}

}  // namespace cygnet::agent
