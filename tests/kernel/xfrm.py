# SPDX-License-Identifier: Apache-2.0
"""XFRM netlink by hand, for tests: an oracle that shares nothing with our backend.

Structures as in <linux/xfrm.h>, little-endian, 64 bit.
"""
import contextlib
import ctypes
import errno
import ipaddress
import os
import socket
import struct

NEWSA, DELSA, GETSA, NEWPOLICY, DELPOLICY = 0x10, 0x11, 0x12, 0x13, 0x14
ACQUIRE, UPDPOLICY, UPDSA, FLUSHSA, NEWAE, MAPPING = 0x17, 0x19, 0x1a, 0x1c, 0x1e, 0x26
A_ALG_AUTH, A_ALG_CRYPT, A_ENCAP, A_TMPL, A_REPLAY_THRESH, A_ETIMER_THRESH = 1, 2, 4, 5, 11, 12
A_ALG_AEAD, A_ALG_AUTH_TRUNC, A_MARK, A_REPLAY_ESN_VAL, A_IF_ID = 18, 20, 21, 23, 31
GROUP_ACQUIRE, GROUP_AEVENTS, GROUP_MAPPING = 1, 5, 8
IN, OUT, FWD = 0, 1, 2
ALLOW, BLOCK = 0, 1
TRANSPORT, TUNNEL = 0, 1
ESP = 50
STATE_ESN = 128
AE_CR = 0x10
KEY = bytes(range(36))   # AES-GCM-256 and its salt; a test's key
INFINITE = struct.pack("<4Q", *[2**64 - 1] * 4) + bytes(32)
NLM_REQUEST_ACK, NLM_REPLACE = 1 | 4, 0x100


@contextlib.contextmanager
def inside(namespace):
    """This thread in a named network namespace; sockets made inside stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if libc.setns(there, 0) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        yield
    finally:
        libc.setns(here, 0)
        os.close(here)
        os.close(there)


def address(text):
    return ipaddress.ip_address(text).packed.ljust(16, b"\0")


def family(text):
    return socket.AF_INET6 if ":" in text else socket.AF_INET


def attribute(kind, data):
    return struct.pack("<HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def selector(source, target):
    """Prefixes as text."""
    s, t = ipaddress.ip_network(source), ipaddress.ip_network(target)
    return (address(str(t.network_address)) + address(str(s.network_address)) + bytes(8) +
            struct.pack("<HBBBxxxiI", family(source.split("/")[0]), t.prefixlen, s.prefixlen, 0, 0, 0))


def template(source, target, spi, reqid, mode=TUNNEL, optional=0):
    return (address(target) + struct.pack(">I", spi) + bytes([ESP, 0, 0, 0]) + struct.pack("<Hxx", family(source)) +
            address(source) + struct.pack("<IBBBxIII", reqid, mode, 0, optional, 2**32 - 1, 2**32 - 1, 2**32 - 1))


def gcm(key=KEY, icv_bits=128):
    return attribute(A_ALG_AEAD, b"rfc4106(gcm(aes))".ljust(64, b"\0") + struct.pack("<II", len(key) * 8, icv_bits) + key)


def esn(window, flags_too=True):
    words = (window + 31) // 32
    return attribute(A_REPLAY_ESN_VAL, struct.pack("<6I", words, 0, 0, 0, 0, window) + bytes(words * 4))


class Xfrm:
    """A netlink socket in one namespace. Requests raise OSError with the kernel's errno."""

    def __init__(self, namespace):
        self.namespace = namespace
        with inside(namespace):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_XFRM)
        self.socket.bind((0, 0))
        self.sequence = 0

    def close(self):
        self.socket.close()

    def ask(self, kind, body, flags=0):
        """Sends, waits for the answer; returns the data messages that came before the acknowledgement."""
        self.sequence += 1
        header = struct.pack("<IHHII", 16 + len(body), kind, NLM_REQUEST_ACK | flags, self.sequence, 0)
        self.socket.send(header + body)
        found = []
        while True:
            for kind, sequence, data in messages(self.socket.recv(1 << 16)):
                if sequence != self.sequence:
                    continue
                if kind == 2:
                    code = struct.unpack_from("<i", data)[0]
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return found
                found.append((kind, data))

    def state(self, source, target, spi, reqid, attributes=None, mode=TUNNEL, flags=0, window=32, kind=NEWSA):
        wide = bytes(40) + struct.pack("<H", family(source) if mode == TUNNEL else 0) + bytes(14)
        body = (wide + address(target) + struct.pack(">I", spi) + bytes([ESP, 0, 0, 0]) + address(source) + INFINITE +
                bytes(32 + 12) + struct.pack("<IIHBBB", 0, reqid, family(source), mode, window, flags) + bytes(7))
        return self.ask(kind, body + (gcm() if attributes is None else attributes))

    def id_of(self, target, spi):
        return address(target) + struct.pack(">I", spi) + struct.pack("<HBx", family(target), ESP)

    def delete(self, target, spi):
        self.ask(DELSA, self.id_of(target, spi))

    def get(self, target, spi):
        """{packets, bytes, use_time, integrity_failed, replay} of one state."""
        (_, data), = self.ask(GETSA, self.id_of(target, spi))
        octets, packets, _, use_time = struct.unpack_from("<4Q", data, 160)
        window, replay, integrity = struct.unpack_from("<3I", data, 192)
        return {"packets": packets, "bytes": octets, "use_time": use_time, "integrity_failed": integrity, "replay": replay,
                "replay_window": window}

    def policy(self, source, target, direction, tmpl=None, action=ALLOW, priority=1000, kind=UPDPOLICY):
        body = (selector(source, target) + INFINITE + bytes(32) +
                struct.pack("<IIBBBB", priority, 0, direction, action, 0, 0) + bytes(4))
        self.ask(kind, body + (attribute(A_TMPL, tmpl) if tmpl else b""))

    def delete_policy(self, source, target, direction):
        self.ask(DELPOLICY, selector(source, target) + struct.pack("<IB", 0, direction) + bytes(3))

    def flush_states(self):
        try:
            self.ask(FLUSHSA, bytes([0]) + bytes(3))
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise

    def thresholds(self, source, target, spi, reqid, packets, timer=0):
        """Arms (packets=1) or disarms (0) the event for a first authenticated packet; listeners hear of it."""
        body = self.id_of(target, spi) + address(source) + struct.pack("<II", 0, reqid)
        self.ask(NEWAE, body + attribute(A_REPLAY_THRESH, struct.pack("<I", packets)) +
                 attribute(A_ETIMER_THRESH, struct.pack("<I", timer)), NLM_REPLACE)


def messages(data):
    while len(data) >= 16:
        length, kind, _, sequence, _ = struct.unpack_from("<IHHII", data)
        yield kind, sequence, data[16:length]
        data = data[(length + 3) & ~3:]


class Events:
    """Multicast groups of one namespace."""

    def __init__(self, namespace, *groups):
        with inside(namespace):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_XFRM)
        self.socket.bind((0, sum(1 << (g - 1) for g in groups)))

    def close(self):
        self.socket.close()

    def within(self, seconds):
        """The next events, [(kind, body)]; empty when none came."""
        self.socket.settimeout(seconds)
        try:
            return [(kind, data) for kind, _, data in messages(self.socket.recv(1 << 16))]
        except (TimeoutError, BlockingIOError):
            return []


def counters(namespace):
    """/proc/net/xfrm_stat of a namespace, what is not zero."""
    with inside(namespace):
        with open("/proc/thread-self/net/xfrm_stat") as f:
            rows = [line.split() for line in f]
    return {name: int(value) for name, value in rows if int(value)}


def build_esp(spi, sequence, inner, next_header=4, key=KEY, damage=False):
    """One ESP packet with AES-GCM-256, 16 octets of ICV (RFC 4106), as octets after the IP header."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    padding = -(len(inner) + 2) % 4
    plain = inner + bytes(range(1, padding + 1)) + bytes([padding, next_header])
    head = struct.pack(">II", spi, sequence)
    iv = struct.pack(">Q", sequence)
    sealed = AESGCM(key[:-4]).encrypt(key[-4:] + iv, plain, head)
    if damage:
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    return head + iv + sealed


def ipv4_udp(source, target, sport, dport, payload):
    """An inner IPv4 packet with UDP, checksums done (UDP's left out: zero is allowed)."""
    udp = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, ipaddress.ip_address(source).packed,
                       ipaddress.ip_address(target).packed)
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xffff) + (total >> 16)
    total = ~((total & 0xffff) + (total >> 16)) & 0xffff
    return head[:10] + struct.pack(">H", total) + head[12:] + udp


class Wire:
    """What a namespace sends on one device: counts of clear packets to watched addresses, ESP by SPI."""

    def __init__(self, namespace, device):
        with inside(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
            self.socket.bind((device, 3))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)   # SO_RCVBUFFORCE
        self.socket.setblocking(False)

    def close(self):
        self.socket.close()

    def sent(self):
        """Since the last call: ([SPI in order], [protocol of each packet in clear that is not ARP or ICMP])."""
        spis, clear = [], []
        while True:
            try:
                data, (_, kind, packet_type, *_) = self.socket.recvfrom(2048)
            except BlockingIOError:
                return spis, clear
            if packet_type != 4 or kind != 0x0800:   # PACKET_OUTGOING, IPv4
                continue
            payload = data[(data[0] & 15) * 4:]
            if data[9] == ESP:
                spis.append(struct.unpack_from(">I", payload)[0])
            elif data[9] == 17 and struct.unpack_from(">H", payload, 2)[0] == 4500:
                spis.append(struct.unpack_from(">I", payload, 8)[0])
            elif data[9] != 1:
                clear.append(data[9])
