// SPDX-License-Identifier: Apache-2.0
#include "cygnet/proto/probe/probe.h"

#include <algorithm>

namespace cygnet::proto {

std::string_view to_string(ProbeType type) {
  switch (type) {
    case ProbeType::kRequest:
      return "REQUEST";
    case ProbeType::kReply:
      return "REPLY";
    case ProbeType::kDim:
      return "DIM";
    case ProbeType::kDimAck:
      return "DIM-ACK";
    case ProbeType::kPmtu:
      return "PMTU";
  }
  return "unknown";
}

const ProbeTlv* Probe::find(std::uint16_t tlv_type) const {
  const auto it = std::find_if(tlvs.begin(), tlvs.end(),
                               [tlv_type](const ProbeTlv& tlv) { return tlv.type == tlv_type; });
  return it == tlvs.end() ? nullptr : &*it;
}

Result<Probe> decode_probe(ByteView datagram) {
  if (datagram.size() < kProbeHeaderLength) {
    return fail(kErrProbe, "probe of " + std::to_string(datagram.size()) +
                               " octets is shorter than its header");
  }
  if (datagram[0] != kProbeVersion) {
    return fail(kErrProbe, "probe has version " + std::to_string(datagram[0]));
  }
  const std::uint8_t type = datagram[1];
  if (type < static_cast<std::uint8_t>(ProbeType::kRequest) ||
      type > static_cast<std::uint8_t>(ProbeType::kPmtu)) {
    return fail(kErrProbe, "probe has type " + std::to_string(type));
  }
  Probe probe;
  probe.type = static_cast<ProbeType>(type);
  std::copy_n(datagram.begin() + 4, probe.cookie.size(), probe.cookie.begin());
  ByteView rest = datagram.subspan(kProbeHeaderLength);
  while (!rest.empty()) {
    const std::string where = "offset " + std::to_string(datagram.size() - rest.size());
    if (rest.size() < 4) return fail(kErrProbe, "probe TLV cut short", where);
    const std::size_t length = load_be16(rest.data() + 2);
    if (length > rest.size() - 4) return fail(kErrProbe, "probe TLV exceeds the datagram", where);
    const ByteView value = rest.subspan(4, length);
    probe.tlvs.push_back({load_be16(rest.data()), Bytes(value.begin(), value.end())});
    rest = rest.subspan(4 + length);
  }
  return probe;
}

Result<Bytes> encode_probe(const Probe& probe) {
  ByteWriter w;
  w.u8(kProbeVersion);
  w.u8(static_cast<std::uint8_t>(probe.type));
  w.u16(0);
  w.octets(probe.cookie);
  for (const ProbeTlv& tlv : probe.tlvs) {
    if (tlv.value.size() > 0xffff) return fail(kErrProbe, "probe TLV value exceeds 65535 octets");
    w.u16(tlv.type);
    w.u16(static_cast<std::uint16_t>(tlv.value.size()));
    w.octets(tlv.value);
  }
  return w.take();
}

Probe reply_to(const Probe& request) { return {ProbeType::kReply, request.cookie, {}}; }

}  // namespace cygnet::proto
