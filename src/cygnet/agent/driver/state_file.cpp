// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/driver/state_file.h"

#include <algorithm>

#include "cygnet/base/assert.h"
#include "cygnet/crypto/hash.h"

namespace cygnet::agent {
namespace {

constexpr std::string_view kMagic = "cygnet-state";
constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kHashLength = 32;

tl::unexpected<Error> truncated() { return fail(kErrStateTruncated, "the file ends too early"); }

}  // namespace

Bytes frame_state(std::string_view kind, ByteView payload) {
  CYGNET_ASSERT(kind.size() < 256);
  ByteWriter out;
  out.octets(as_bytes(kMagic));
  out.u8(kVersion);
  out.u8(static_cast<std::uint8_t>(kind.size()));
  out.octets(as_bytes(kind));
  out.u32(static_cast<std::uint32_t>(payload.size()));
  out.octets(payload);
  const crypto::Sha256 hash = crypto::sha256({out.view()});
  out.octets(hash);
  return out.take();
}

Result<Bytes> unframe_state(std::string_view kind, ByteView file) {
  const std::size_t shown = std::min(file.size(), kMagic.size());
  if (!equal(file.first(shown), as_bytes(kMagic.substr(0, shown)))) {
    return fail(kErrStateCorrupt, "this is no state file of cygnet-agent");
  }
  const std::size_t header = kMagic.size() + 2 + kind.size() + 4;
  if (file.size() < kMagic.size() + 2) return truncated();
  if (file[kMagic.size()] != kVersion) {
    return fail(kErrStateVersion,
                "the file has version " + std::to_string(file[kMagic.size()]) +
                    ", this program reads version " + std::to_string(kVersion),
                {}, "run the newer version of cygnet-agent that wrote it");
  }
  if (file.size() < header) return truncated();
  const std::size_t kind_length = file[kMagic.size() + 1];
  const ByteView named = file.subspan(kMagic.size() + 2, std::min(kind_length, kind.size()));
  if (kind_length != kind.size() || !equal(named, as_bytes(kind))) {
    return fail(kErrStateCorrupt, "the file holds something else than " + std::string(kind));
  }
  const std::size_t length = load_be32(file.data() + header - 4);
  if (file.size() < header + kHashLength || file.size() - header - kHashLength < length) {
    return truncated();
  }
  const crypto::Sha256 hash = crypto::sha256({file.first(header + length)});
  if (file.size() != header + length + kHashLength || !equal(file.subspan(header + length), hash)) {
    return fail(kErrStateCorrupt, "the file's checksum does not fit its content");
  }
  const ByteView payload = file.subspan(header, length);
  return Bytes(payload.begin(), payload.end());
}

}  // namespace cygnet::agent
