// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/ikev2/payload.h"

#include "cygnet/base/assert.h"

namespace cygnet::proto::ikev2 {

std::string payload_name(std::uint8_t type) {
  switch (type) {
    case payload::kSa:
      return "SA";
    case payload::kKe:
      return "KE";
    case payload::kIdi:
      return "IDi";
    case payload::kAuth:
      return "AUTH";
    case payload::kNonce:
      return "Ni";
    case payload::kNotify:
      return "Notify";
    default:
      return "type " + std::to_string(type);
  }
}

std::string payload_at(std::uint8_t type, std::size_t offset) {
  return payload_name(type) + " payload at offset " + std::to_string(offset);
}

Result<std::vector<Payload>> split_chain(std::uint8_t first, ByteView octets, ErrorCode code) {
  std::vector<Payload> out;
  std::uint8_t type = first;
  std::size_t offset = 0;
  while (type != payload::kNone) {
    const std::size_t left = octets.size() - offset;
    if (left < kPayloadHeaderLength) {
      return fail(code,
                  "payload header cut short: 4 octets needed, " + std::to_string(left) + " left",
                  payload_at(type, offset));
    }
    const std::uint8_t* header = octets.data() + offset;
    if (header[1] != 0) {
      return fail(code, "critical or reserved bits are set in the payload header",
                  payload_at(type, offset));
    }
    const std::size_t length = load_be16(header + 2);
    if (length < kPayloadHeaderLength) {
      return fail(code, "payload length " + std::to_string(length) + " is below its own header",
                  payload_at(type, offset));
    }
    if (length > left) {
      return fail(code,
                  "payload length " + std::to_string(length) + " exceeds the " +
                      std::to_string(left) + " octets left",
                  payload_at(type, offset));
    }
    out.push_back({type, offset,
                   octets.subspan(offset + kPayloadHeaderLength, length - kPayloadHeaderLength)});
    type = header[0];
    offset += length;
  }
  if (offset != octets.size()) {
    const std::uint8_t last = out.empty() ? first : out.back().type;
    const std::size_t at = out.empty() ? 0 : out.back().offset;
    return fail(code,
                std::to_string(octets.size() - offset) + " octets follow the last payload, from " +
                    "offset " + std::to_string(offset),
                payload_at(last, at));
  }
  return out;
}

void ChainWriter::add(std::uint8_t type, ByteView body) {
  const std::size_t length = body.size() + kPayloadHeaderLength;
  CYGNET_ASSERT(length <= 0xffff);
  announce(type);
  last_ = out_.size();
  out_.push_back(payload::kNone);
  out_.push_back(0);
  out_.push_back(static_cast<std::uint8_t>(length >> 8));
  out_.push_back(static_cast<std::uint8_t>(length));
  out_.insert(out_.end(), body.begin(), body.end());
}

void ChainWriter::announce(std::uint8_t type) {
  if (!out_.empty()) out_[last_] = type;
}

}  // namespace cygnet::proto::ikev2
