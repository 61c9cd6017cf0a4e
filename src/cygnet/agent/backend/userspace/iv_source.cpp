// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/iv_source.h"

#include "cygnet/base/assert.h"

namespace cygnet::agent::userspace {

Result<IvSource> IvSource::create(const crypto::EspSuite& suite, ByteView seed) {
  IvSource source;
  if (!suite.is_aead()) {
    const crypto::EspSuite masking{crypto::EncrId::kAesGcm16, 128, crypto::IntegId::kNone};
    CYGNET_TRY(source.masking_, crypto::PacketCipher::create(masking, seed, {}));
  }
  return source;
}

ByteView IvSource::next(std::uint64_t sequence) {
  if (masking_ == nullptr) {
    store_be64(iv_.data(), sequence);
    return ByteView(iv_).first(8);
  }
  std::array<std::uint8_t, 8> counter;
  store_be64(counter.data(), sequence);
  std::array<std::uint8_t, esp::kMaxIcvLength> unused;
  iv_.fill(0);
  const bool sealed = masking_->seal({}, counter, iv_, {}, MutableByteView(unused).first(16));
  CYGNET_ASSERT(sealed);  // a predictable IV must never go out
  return iv_;
}

}  // namespace cygnet::agent::userspace
