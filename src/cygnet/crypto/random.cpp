// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/random.h"

#include <openssl/rand.h>

#include <algorithm>

#include "cygnet/base/assert.h"

namespace cygnet::crypto {
namespace {

class SystemRandom final : public Random {
 public:
  void fill(MutableByteView out) override {
    // RAND_bytes takes an int; one mebibyte at a time is well within it.
    constexpr std::size_t kStep = std::size_t{1} << 20;
    while (!out.empty()) {
      const std::size_t step = std::min(out.size(), kStep);
      // Going on without entropy would make keys that others can guess.
      CYGNET_ASSERT(RAND_bytes(out.data(), static_cast<int>(step)) == 1);
      out = out.subspan(step);
    }
  }
};

}  // namespace

Random& system_random() {
  static SystemRandom random;
  return random;
}

}  // namespace cygnet::crypto
