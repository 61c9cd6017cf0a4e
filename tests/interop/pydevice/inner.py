# SPDX-License-Identifier: Apache-2.0
"""What travels inside: IP, UDP, ICMP echo, and probes (docs/protocol.md 6.6)."""
import dataclasses
import ipaddress
import struct

from .esp import IPV4, IPV6, Dropped

ICMP, UDP, ICMPV6 = 1, 17, 58
PROBE_PORT = 4501
PROBE_REQUEST, PROBE_REPLY, PROBE_PMTU = 1, 2, 5
TLV_RECEIVED = 2


@dataclasses.dataclass(frozen=True)
class Packet:
    src: object             # ipaddress
    dst: object
    protocol: int
    payload: bytes


def _sum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data[:len(data) & ~1]))
    if len(data) % 2:
        total += data[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _checksum(src, dst, protocol, payload):
    return _sum(src.packed + dst.packed + struct.pack(">II", len(payload), protocol) + payload)


def build(packet):
    """(next header for ESP, octets)."""
    body = packet.payload
    if packet.src.version == 6:
        head = struct.pack(">IHBB", 6 << 28, len(body), packet.protocol, 64)
        return IPV6, head + packet.src.packed + packet.dst.packed + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0x4000, 64, packet.protocol, 0)
    head += packet.src.packed + packet.dst.packed
    return IPV4, head[:10] + struct.pack(">H", _sum(head)) + head[12:] + body


def parse(next_header, octets):
    """The packet without TFC padding; options and extension headers are not for this device."""
    if next_header not in (IPV4, IPV6):
        raise Dropped("next-header")
    if not octets or octets[0] >> 4 != (6 if next_header == IPV6 else 4):
        raise Dropped("inner-version")
    if next_header == IPV6:
        length = 40 + int.from_bytes(octets[4:6], "big")
        if len(octets) < max(40, length):
            raise Dropped("inner-length")
        return Packet(ipaddress.IPv6Address(octets[8:24]), ipaddress.IPv6Address(octets[24:40]),
                      octets[6], octets[40:length])
    header, length = 4 * (octets[0] & 15), int.from_bytes(octets[2:4], "big")
    if not 20 <= header <= length <= len(octets):
        raise Dropped("inner-length")
    return Packet(ipaddress.IPv4Address(octets[12:16]), ipaddress.IPv4Address(octets[16:20]),
                  octets[9], octets[header:length])


def udp(src, src_port, dst, dst_port, data):
    body = struct.pack(">HHHH", src_port, dst_port, 8 + len(data), 0) + data
    checksum = _checksum(src, dst, UDP, body) or 0xFFFF
    return Packet(src, dst, UDP, body[:6] + struct.pack(">H", checksum) + body[8:])


def parse_udp(packet):
    """(source port, destination port, data)."""
    if len(packet.payload) < 8:
        raise Dropped("inner-length")
    src_port, dst_port, length, checksum = struct.unpack_from(">HHHH", packet.payload)
    if not 8 <= length <= len(packet.payload):
        raise Dropped("inner-length")
    body = packet.payload[:length]
    if (checksum or packet.src.version == 6) and _checksum(packet.src, packet.dst, UDP, body):
        raise Dropped("inner-checksum")
    return src_port, dst_port, body[8:]


def echo(src, dst, ident, seq, data, reply=False):
    kind = (129 if reply else 128) if src.version == 6 else (0 if reply else 8)
    body = struct.pack(">BBHHH", kind, 0, 0, ident, seq) + data
    if src.version == 6:
        checksum = _checksum(src, dst, ICMPV6, body)
    else:
        checksum = _sum(body)
    body = body[:2] + struct.pack(">H", checksum) + body[4:]
    return Packet(src, dst, ICMPV6 if src.version == 6 else ICMP, body)


def parse_echo(packet):
    """("request" or "reply", ident, seq, data), or None for other ICMP."""
    kinds = {(6, 128): "request", (6, 129): "reply", (4, 8): "request", (4, 0): "reply"}
    if packet.protocol != (ICMPV6 if packet.src.version == 6 else ICMP) or len(packet.payload) < 8:
        return None
    kind = kinds.get((packet.src.version, packet.payload[0]))
    if kind is None:
        return None
    ident, seq = struct.unpack_from(">HH", packet.payload, 4)
    return kind, ident, seq, packet.payload[8:]


def probe(src, dst, kind, cookie, tlvs=b""):
    return udp(src, PROBE_PORT, dst, PROBE_PORT, struct.pack(">BBH", 1, kind, 0) + cookie + tlvs)


def received_tlv(octets):
    return struct.pack(">HHH", TLV_RECEIVED, 2, octets)


def has_received_tlv(data):
    at = 12
    while at + 4 <= len(data):
        kind, length = struct.unpack_from(">HH", data, at)
        if kind == TLV_RECEIVED:
            return True
        at += 4 + length
    return False


def parse_probe(data):
    """(type, cookie); None for another version or a cut one. TLVs are skipped."""
    if len(data) < 12 or data[0] != 1:
        return None
    return data[1], data[4:12]
