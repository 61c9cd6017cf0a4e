# SPDX-License-Identifier: Apache-2.0
"""Datagrams in and out: ESP in UDP, inner checks, probes, echo, discovery (docs/protocol.md 6.6, 7.8, 8)."""
import collections
import ipaddress

from . import esp, identity, inner, rekey

DISCOVERY = b"\0\0\0\0CYGD\1"
PROBE_ANSWERS = 10              # a second, a peer


class Peer:
    """What a device knows about another one that policy allows."""

    def __init__(self, name, settings, mesh_id, made):
        self.name = name
        self.mesh_address = identity.mesh_address(mesh_id, name)
        self.rekey = rekey.Rekey(settings, made)
        self.endpoints = []
        self.prefixes = []
        self.source = None              # where the newest verified packet came from
        self.source_generation = 0
        self.answers = collections.deque()


class DataPlane:
    """The half of a device that sees packets; the other half says who the peers are.

    Needs from the other: peers, generations, settings, stream, messages, clock, udp, name, addresses,
    mesh_address, counters, echoes, probe_replies, on_datagram, and discovery's three fields.
    """

    # -- receiving -----------------------------------------------------------------------------
    def _receive(self, datagram, source):
        if datagram[:4] == b"\0\0\0\0":
            return self._discovered(datagram, source)
        if datagram == b"\xff" or len(datagram) < 8:
            self.counters["ignored"] += 1
            return None
        spi = int.from_bytes(datagram[:4], "big")
        found = [(peer, pair, sa) for peer in self.peers.values() for pair in peer.rekey.pairs.values()
                 for sa in pair.inbound if sa.spi == spi]
        found.sort(key=lambda f: f[0].source != source)  # two peers may have given us one SPI (5.4)
        reason = "unknown-spi"
        for peer, pair, sa in found:
            try:
                decrypted = sa.verify(datagram)
            except esp.Dropped as dropped:
                reason = str(dropped)
                continue
            return self._verified(peer, pair, sa, decrypted, source)
        self.counters[reason] += 1
        if reason == "unknown-spi" and self.stream and self.counters["unknown-spi"] <= 10:
            self.stream.send(report=self.messages.Report(bad_spi=self.messages.Report.BadSpi(
                spi=spi, source=ipaddress.ip_address(source[0]).packed, count=1)))
        return None

    def _verified(self, peer, pair, sa, decrypted, source):
        now = self.clock()
        if pair.remote.counter >= peer.source_generation:
            peer.source, peer.source_generation = source, pair.remote.counter
        peer.rekey.evidence(pair, self.generations, now)
        self._let_go(peer, now)
        try:
            next_header, payload = sa.cryptor.unpad(decrypted)
            if next_header == esp.DUMMY:
                return
            packet = inner.parse(next_header, payload)
            if self._owner(packet.src) is not peer:
                raise esp.Dropped("inner-source")
            if packet.dst not in self.addresses:
                raise esp.Dropped("inner-destination")
            self._deliver(peer, packet, now)
        except esp.Dropped as dropped:
            self.counters[str(dropped)] += 1

    def _owner(self, address):
        """The peer whose longest prefix, of the whole mesh, holds the address."""
        best, length = None, -1
        for peer in self.peers.values():
            if peer.mesh_address == address:
                return peer
            for prefix in peer.prefixes:
                if address in prefix and prefix.prefixlen > length:
                    best, length = peer, prefix.prefixlen
        return best

    def _deliver(self, peer, packet, now):
        if packet.protocol == inner.UDP:
            src_port, dst_port, data = inner.parse_udp(packet)
            if dst_port == inner.PROBE_PORT and packet.dst == self.mesh_address:
                return self._probe(peer, data, now)
            self.counters["datagrams"] += 1
            return self.on_datagram(packet, src_port, dst_port, data)
        found = inner.parse_echo(packet)
        if found is None:
            self.counters["inner-protocol"] += 1
            return None
        kind, ident, seq, data = found
        if kind == "request":
            self.counters["echo-requests"] += 1
            return self.send(inner.echo(packet.dst, packet.src, ident, seq, data, reply=True))
        self.echoes[ident, seq] += 1
        return None

    def _probe(self, peer, data, now):
        found = inner.parse_probe(data)
        if found is not None and found[0] == inner.PROBE_PMTU and not inner.has_received_tlv(data):
            return self._path_probe(peer, 40 + 8 + len(data), found[1])
        if found is None or found[0] not in (inner.PROBE_REQUEST, inner.PROBE_REPLY):
            self.counters["probe-ignored"] += 1
            return
        kind, cookie = found
        if kind == inner.PROBE_REPLY:
            self.probe_replies[cookie] += 1
            return
        self.counters["probe-requests"] += 1
        while peer.answers and now - peer.answers[0] >= 1:
            peer.answers.popleft()
        if len(peer.answers) < PROBE_ANSWERS:
            peer.answers.append(now)
            self._send_to(peer, inner.probe(self.mesh_address, peer.mesh_address,
                                            inner.PROBE_REPLY, cookie))

    def _path_probe(self, peer, octets, cookie):
        """As if the way here carried path_limit octets and lost what is larger."""
        self.path_probes.append(octets)
        if octets <= self.path_limit:
            self._send_to(peer, inner.probe(self.mesh_address, peer.mesh_address, inner.PROBE_PMTU,
                                            cookie, inner.received_tlv(octets)))

    # -- sending -------------------------------------------------------------------------------
    def send(self, packet):
        """An inner packet, to the peer its destination belongs to; it waits while there is no SA."""
        peer = self._owner(packet.dst)
        if peer is None:
            self.counters["no-route"] += 1
            return
        self._send_to(peer, packet)

    def _send_to(self, peer, packet):
        if peer.rekey.outbound:
            self._seal(peer, packet)
        else:
            peer.rekey.hold(packet, self.clock())

    def _seal(self, peer, packet, everywhere=False):
        sas = peer.rekey.outbound
        # A flow stays on one lane.
        lane = hash((packet.src, packet.dst, packet.payload[:4])) % len(sas)
        datagram = sas[lane].seal(*inner.build(packet))
        where = [peer.source] if peer.source else peer.endpoints
        for endpoint in where if everywhere else where[:1]:
            self.udp.sendto(datagram, endpoint)
        if self.settings.rekey_packets and sas[lane].seq >= self.settings.rekey_packets:
            self.rekey_wanted = True

    def _let_go(self, peer, now):
        while peer.rekey.waiting and peer.rekey.outbound:
            self._seal(peer, peer.rekey.waiting.popleft()[1])

    # -- discovery -----------------------------------------------------------------------------
    def _discovered(self, datagram, source):
        head = len(DISCOVERY) + 16
        if (self.discovery is None or len(datagram) <= head
                or datagram[:head] != DISCOVERY + self.discovery.cookie):
            self.counters["ignored"] += 1
            return
        size = {4: 4, 6: 16}.get(datagram[head], 0)
        if len(datagram) != head + 1 + size + 2 or not size:
            self.counters["ignored"] += 1
            return
        address = ipaddress.ip_address(datagram[head + 1:head + 1 + size])
        self.seen_endpoint = (str(address), int.from_bytes(datagram[-2:], "big"))
        self.discovery_at = self.clock() + 20
        self.discovery_asked = 0

    def _discover(self, now):
        if self.discovery is None or self.stream is None or now < self.discovery_at:
            return
        self.udp.sendto(DISCOVERY + self.discovery.cookie,
                        (self.stream.controller_address, self.discovery.udp_port))
        self.discovery_asked += 1
        self.discovery_at = now + (0.5 if self.discovery_asked < 5 else 20)
