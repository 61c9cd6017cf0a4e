// SPDX-License-Identifier: Apache-2.0
#include "cygnet/base/secret.h"

#include <cstring>

#include "cygnet/base/assert.h"

namespace cygnet {

void secure_zero(void* memory, std::size_t size) noexcept {
  if (size == 0) return;
  std::memset(memory, 0, size);
  // The empty statement claims to read the memory, so the store above must stay.
  asm volatile("" : : "r"(memory) : "memory");
}

SecretBytes SecretBytes::slice(std::size_t offset, std::size_t length) const {
  CYGNET_ASSERT(offset <= octets_.size() && length <= octets_.size() - offset);
  return SecretBytes(ByteView(octets_).subspan(offset, length));
}

void SecretBytes::wipe() noexcept {
  secure_zero(octets_.data(), octets_.size());
  octets_.clear();
}

}  // namespace cygnet
