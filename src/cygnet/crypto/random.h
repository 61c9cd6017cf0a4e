// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The CSPRNG, as a seam: daemons use system_random(), tests and the simulator pass their own.

#include "cygnet/base/bytes.h"

namespace cygnet::crypto {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableByteView out) = 0;
  [[nodiscard]] Bytes octets(std::size_t n) {
    Bytes out(n);
    fill(out);
    return out;
  }
};

/// OpenSSL's RAND_bytes; aborts when the system has no entropy (never returns predictable octets).
[[nodiscard]] Random& system_random();

}  // namespace cygnet::crypto
