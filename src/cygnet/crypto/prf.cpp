// SPDX-License-Identifier: Apache-2.0
#include "cygnet/crypto/prf.h"

#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/hmac.h"

namespace cygnet::crypto {
namespace {

// A context costs more than the MAC of a short input, and a rekey makes thousands of those.
Hmac& thread_hmac(PrfId id) {
  thread_local Hmac sha256(PrfId::kHmacSha2_256);
  thread_local Hmac sha384(PrfId::kHmacSha2_384);
  thread_local Hmac sha512(PrfId::kHmacSha2_512);
  switch (id) {
    case PrfId::kHmacSha2_256:
      return sha256;
    case PrfId::kHmacSha2_384:
      return sha384;
    case PrfId::kHmacSha2_512:
      return sha512;
  }
  CYGNET_ASSERT(false && "a PrfId without a context");
  return sha256;
}

}  // namespace

SecretBytes prf(PrfId id, ByteView key, ByteView data) {
  Hmac& hmac = thread_hmac(id);
  SecretBytes out(prf_length(id));
  hmac.set_key(key);
  hmac.compute({data}, out.reveal_mutable());
  hmac.forget_key();
  return out;
}

SecretBytes prf_plus(PrfId id, ByteView key, ByteView seed, std::size_t length) {
  // RFC 7296 section 2.13: "prf+ (K,S) = T1 | T2 | T3 | T4 | ... where: T1 = prf (K, S | 0x01),
  // T2 = prf (K, T1 | S | 0x02) [...] prf+ is only defined for a single octet counter; that is, it
  // may not be iterated more than 255 times."
  const std::size_t block = prf_length(id);
  CYGNET_ASSERT(length <= 255 * block);
  Hmac& hmac = thread_hmac(id);
  SecretBytes out(length);
  hmac.set_key(key);
  ByteView previous;
  std::size_t done = 0;
  for (std::uint8_t counter = 1; done < length; ++counter) {
    // Only the last block can be short, and no block follows it that would need it whole.
    const MutableByteView target =
        out.reveal_mutable().subspan(done, std::min(block, length - done));
    hmac.compute({previous, seed, ByteView(&counter, 1)}, target);
    previous = target;
    done += target.size();
  }
  hmac.forget_key();
  return out;
}

}  // namespace cygnet::crypto
