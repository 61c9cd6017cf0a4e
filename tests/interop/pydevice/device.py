# SPDX-License-Identifier: Apache-2.0
"""The device: its sockets, its state on disk, and what it does with each message (docs/protocol.md 7, 8).

One thread. The owner polls `fileno`s() and calls on_readable(); tick() does what time asks for.
"""
import base64
import collections
import contextlib
import ipaddress
import random
import secrets
import socket
import time

from . import checks, identity, inner, proposals, rekey
from . import dim as codec
from .dataplane import DataPlane, Peer
from .errors import Refused
from .groups import KeyPair
from .state import Settings, State
from .stream import Stream

THIRD_GENERATION_WAIT = 180.0


class Device(DataPlane):
    """Sockets open with start(). `place` is a context manager in which sockets are made."""

    def __init__(self, directory, messages, address, port=4500, inner_addresses=(), lanes=64,
                 offer=lambda proposals: proposals, place=contextlib.nullcontext, clock=time.monotonic):
        self.state = State(directory)
        self.messages = messages
        self.place = place
        self.clock = clock
        self.name = self.state["name"]
        self.mesh_id = bytes.fromhex(self.state["mesh_id"])
        self.mesh_address = identity.mesh_address(self.mesh_id, self.name)
        self.addresses = {self.mesh_address, *map(ipaddress.ip_address, inner_addresses)}
        self.bind = (address, port)
        self.lanes = lanes
        self.offer = offer              # what this device can do of the mesh's proposals, in its order
        self.settings = Settings()
        self.generations = []           # own, oldest first; those without SAs and private value are dropped
        self.peers = {}
        self.made = {}                  # name -> SA pairs there ever were, also across a removal
        self.stream = None
        self.welcomed = False
        self.publishing = None
        self.publish_again_at = None
        self.rekey_wanted = False
        self.offline = False            # kept away from the controller by its owner
        self.offset_ms = 0
        self.reconnect_at, self.reconnect_gap = 0.0, 0.1
        self.soft_at = None
        self.discovery, self.discovery_at, self.discovery_asked = None, None, 0
        self.seen_endpoint = None
        # for owners and tests
        self.counters = collections.Counter()
        self.welcome = None             # the last
        self.certificate_of = {}        # name -> the last one relayed with an accepted DIM
        self.results = []               # PublishResults
        self.goaways = []
        self.alarms = []
        self.refused = []               # (device, code)
        self.on_datagram = lambda packet, src_port, dst_port, data: None
        self.echoes = collections.Counter()     # (ident, seq) -> replies
        self.probe_replies = collections.Counter()
        self.path_limit = 65535         # of the path probes answered
        self.path_probes = []           # octets of those that came
        # Without its SAs a device starts with a higher boot count, on disk before use (3.3).
        self.state.save(boot_count=self.state["boot_count"] + 1, sequence=0)
        self.initial_contact = True

    # -- sockets -------------------------------------------------------------------------------
    def start(self):
        with self.place():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.udp.bind(self.bind)
        self.udp.setblocking(False)

    def close(self):
        if self.stream:
            self.stream.close()
            self.stream = None
        self.udp.close()

    def filenos(self):
        return [self.udp.fileno()] + ([self.stream.fileno()] if self.stream else [])

    def on_readable(self):
        while True:
            try:
                datagram, source = self.udp.recvfrom(65535)
            except BlockingIOError:
                break
            self._receive(datagram, source)
        if self.stream:
            try:
                for message in self.stream.feed():
                    self._message(message)
            except OSError:
                self._lost_stream()

    def _connect(self, now):
        try:
            with self.place():
                self.stream = Stream(self.state["host"], self.state["port"], self.state["mesh"],
                                     self.state.trust, self.state.certificate_path,
                                     self.state.key_path, self.messages)
        except OSError:
            self._lost_stream()
            return
        hello = self.messages.Hello(version_min=1, version_max=1, software="pydevice",
                                    revocation_number=self.state["revocation_number"])
        hello.endpoints.add(address=ipaddress.ip_address(self.bind[0]).packed, port=self.bind[1],
                            origin=self.messages.Endpoint.CONFIGURED)
        self.stream.send(hello=hello)

    def _lost_stream(self):
        if self.stream:
            self.stream.close()
        self.stream, self.welcomed, self.publishing = None, False, None
        self.reconnect_at = self.clock() + self.reconnect_gap * random.uniform(0.5, 1)
        most = 2.0 if self.newest and self.newest.accepted_at is None else 30.0
        self.reconnect_gap = min(2 * self.reconnect_gap, most)

    # -- generations ---------------------------------------------------------------------------
    @property
    def newest(self):
        return self.generations[-1] if self.generations else None

    def draw(self):
        """A generation: DH pairs, nonce, DIM; counter on disk before anything is published (3.3)."""
        self.state.save(sequence=self.state["sequence"] + 1)
        offer = self.offer(self.settings.proposals)
        offered = list(dict.fromkeys(p.group for p in offer))
        pairs = {group: KeyPair(group) for group in offered}
        dim = codec.Dim(name=self.name, counter=self.state["boot_count"] << 32 | self.state["sequence"],
                        proposals=offer, nonce=secrets.token_bytes(32),
                        kes=tuple((g, pairs[g].public) for g in offered),
                        initial_contact=self.initial_contact,
                        lanes=min(self.lanes, self.settings.lanes))
        octets = codec.sign(codec.encode(dim), self.state.key, self.mesh_id)
        self.initial_contact = False
        now = self.clock()
        generation = rekey.Generation(dim, octets, pairs, now)
        self.generations.append(generation)
        self.soft_at = now + self.settings.rekey_s * (
            1 + random.uniform(-self.settings.jitter, self.settings.jitter))
        for peer in self.peers.values():
            peer.rekey.add_own(generation, self.generations, now)
        self.rekey_wanted = False
        self._publish()

    def may_draw(self, now):
        """Bounds (6.1): two private values, a third only when the second is everywhere, or old."""
        if self.newest is None:
            return True
        if self.newest.accepted_at is None:
            return False
        if sum(g.has_private for g in self.generations) < 2:
            return True
        reached = self.newest.reached_all_at
        return (reached is not None and now - reached >= self.settings.drain_s
                or now - self.newest.accepted_at >= THIRD_GENERATION_WAIT)

    def roll_over(self):
        """Rekeys now, or as soon as Bounds lets it."""
        self.rekey_wanted = True
        self._roll_if_due(self.clock())

    def _roll_if_due(self, now):
        if not (self.rekey_wanted and self.welcomed and self.may_draw(now)):
            return
        alive = [g for g in self.generations if g.has_private]
        if len(alive) >= 2:
            self._erase(alive[0])
        self.draw()

    def _erase(self, generation):
        generation.key_pairs = None

    def _forget(self, now):
        """Erases private values that nothing needs any more, or that are at the cap (6.7)."""
        for old, newer in zip(self.generations, self.generations[1:]):
            if not old.has_private or newer.accepted_at is None:
                continue
            capped = now - newer.accepted_at >= self.settings.cap_s
            if capped or not any(p.rekey.needs(old) for p in self.peers.values()):
                self._erase(old)
                if capped:
                    for peer in self.peers.values():
                        peer.rekey.cap(old)
        used = {id(p.local) for peer in self.peers.values() for p in peer.rekey.pairs.values()}
        self.generations = [g for g in self.generations
                            if g is self.newest or g.has_private or id(g) in used]

    def _publish(self):
        if self.stream and self.welcomed and self.publishing is None:
            self.publishing = self.newest
            self.publish_again_at = None
            self.stream.send(publish_dim=self.messages.PublishDim(dim=self.newest.octets))

    def accepted(self, generation, accepted_ms):
        generation.accepted_ms = accepted_ms
        if generation.accepted_at is None:
            generation.accepted_at = self.clock()

    # -- messages ------------------------------------------------------------------------------
    def _message(self, message):
        kind = message.WhichOneof("message")
        handler = getattr(self, f"_on_{kind}", None) if kind else None
        if handler:
            handler(getattr(message, kind))

    def _on_welcome(self, m):
        self.welcome = m
        self.welcomed, self.reconnect_gap = True, 0.1
        self.offset_ms = m.server_time_ms - 1000 * self.clock()
        if m.server_time_ms > self.state["time_ms"]:
            self.state.save(time_ms=m.server_time_ms)
        self._take_trust(m.trust_der)
        if m.HasField("settings"):
            self.settings.take(m.settings)
        self._take_revocations(m.revocations)
        if m.HasField("discovery"):
            self.discovery, self.discovery_at, self.discovery_asked = m.discovery, self.clock(), 0
        self._own_dim(m.own_dim if m.HasField("own_dim") else None)

    def _own_dim(self, stored):
        """What the controller holds of us (7.3 step 1)."""
        if stored is None:
            return self._publish() if self.newest else self.draw()
        try:
            own = codec.decode(stored.dim, proposals.form_usable)
            if own.name != self.name:
                raise Refused("pad", f"it is of {own.name}")
            codec.verify(own, self.state.key.public_key(), self.mesh_id)
        except Refused:
            self.alarms.append("own-dim-forged")
            return self._publish() if self.newest else self.draw()
        same = next((g for g in self.generations if g.counter == own.counter), None)
        mine = self.newest.counter if self.newest else self.state["boot_count"] << 32
        if same is self.newest and same is not None and same.octets == stored.dim:
            return self.accepted(self.newest, stored.accepted_at_ms)
        if own.counter < mine:
            return self._publish() if self.newest else self.draw()
        self._lost_state(own)

    def _lost_state(self, own):
        self.alarms.append("own-dim-newer")
        self.stream.send(report=self.messages.Report(alarm=self.messages.Report.Alarm(
            code="own-dim-newer", message=f"the controller holds {own.counter:#x} of this device")))
        self.state.save(boot_count=own.boot_count + 1, sequence=0)
        self.initial_contact = True
        self.publishing = None
        for peer in self.peers.values():
            peer.rekey.peer_lost_state()
        self.generations = []
        self.draw()

    def _on_publish_result(self, m):
        self.results.append(m)
        generation, self.publishing = self.publishing, None
        if generation is None or m.counter != generation.counter and m.accepted:
            return
        now = self.clock()
        if m.accepted:
            self.accepted(generation, m.accepted_at_ms)
            for peer in self.peers.values():
                peer.rekey.decide(self.generations, now)
            if generation is not self.newest:
                self._publish()
        elif m.refusal.code in ("stale-dim", "equivocation") and m.HasField("newer"):
            self._lost_state(codec.decode(m.newer.dim, proposals.form_usable))
        elif m.refusal.code in ("nonce-reused", "public-value"):
            self.generations.remove(generation)
            for peer in self.peers.values():
                peer.rekey.cap(generation)
            self.draw()
        else:
            self.publish_again_at = now + 5

    def _on_publish_status(self, m):
        now = self.clock()
        for name in m.acknowledged:
            if name in self.peers:
                self.peers[name].rekey.acknowledged.add(m.counter)
                self.peers[name].rekey.decide(self.generations, now)
                self._let_go(self.peers[name], now)
        for generation in self.generations:
            if generation.counter == m.counter and m.attached_missing == 0:
                generation.reached_all_at = generation.reached_all_at or now

    def _on_command(self, m):
        if m.WhichOneof("what") == "rekey":
            self.roll_over()
        elif m.WhichOneof("what") == "missing_newest":
            peer = self.peers.get(m.missing_newest.peer)
            if peer and peer.rekey.remotes and self.newest:
                if (self.newest.counter, max(peer.rekey.remotes)) not in peer.rekey.pairs:
                    self.roll_over()

    def _on_goaway(self, m):
        self.goaways.append(m.reason)
        self.reconnect_gap = max(0.1, m.reconnect_after_ms / 1000)

    def _take_trust(self, offered):
        """A new anchor only when one that is trusted already has signed it (2.2)."""
        trust = self.state.trust
        for der in offered:
            if der not in trust:
                try:
                    identity.check_anchor(identity.load(der), trust)
                    trust.append(der)
                except Refused:
                    self.counters["trust-refused"] += 1
        self.state.save(trust=[base64.b64encode(t).decode() for t in trust])

    def _take_revocations(self, m):
        if m.number < self.state["revocation_number"]:
            self.counters["revocations-older"] += 1
            return
        self.state.save(revocation_number=m.number,
                        revoked_keys=[k.hex() for k in m.spki_sha256],
                        revoked_serials=[s.hex() for s in m.serials])

    def _on_update(self, m):
        if m.HasField("settings"):
            before = self.settings.proposals
            self.settings.take(m.settings)
            if before != self.settings.proposals:
                self.roll_over()
        if m.HasField("revocations"):
            self._take_revocations(m.revocations)
        for change in m.changes:
            self._change(change)
        self.stream.send(ack=self.messages.Ack(cursor=m.cursor))

    def _change(self, m):
        if m.removed:
            self.peers.pop(m.device, None)
            return
        peer = self.peers.get(m.device)
        if peer is None:
            peer = self.peers[m.device] = Peer(
                m.device, self.settings, self.mesh_id, self.made.setdefault(m.device, set()))
        if m.HasField("endpoints"):
            peer.endpoints = [(str(ipaddress.ip_address(e.address)), e.port) for e in m.endpoints.items]
        if m.HasField("prefixes"):
            peer.prefixes = [ipaddress.ip_network((p.address, p.length)) for p in m.prefixes.items]
        if m.HasField("dim"):
            try:
                self._take_dim(peer, m.dim)
            except Refused as refusal:
                self.refused.append((peer.name, refusal.code))
                self.counters[refusal.code] += 1
                self.stream.send(report=self.messages.Report(refused=self.messages.Report.Refused(
                    device=peer.name, code=refusal.code, message=refusal.message)))

    def _view(self, peer):
        held = {r.dim.nonce: (p.name, r.counter) for p in self.peers.values()
                for r in p.rekey.remotes.values()}
        held.update({g.dim.nonce: (self.name, g.counter) for g in self.generations})
        return checks.View(self.mesh_id, self.state.trust,
                           max(int(time.time() * 1000), self.state["time_ms"]),
                           {bytes.fromhex(k) for k in self.state["revoked_keys"]},
                           {bytes.fromhex(s) for s in self.state["revoked_serials"]},
                           peer.name in self.settings.rekeyed, held)

    def _take_dim(self, peer, stored):
        known = self.state.known(peer.name)
        verdict, dim, leaf = checks.check(stored.dim, stored.certificate_der, peer.name, known,
                                          self._view(peer))
        now = self.clock()
        self.certificate_of[peer.name] = stored.certificate_der
        if verdict == checks.NEW:
            if known.counter and dim.boot_count > known.counter >> 32:
                peer.rekey.peer_lost_state()
            self.state.save_known(peer.name, checks.Known(dim.counter, checks.digest_of(dim), leaf.pin))
        if checks.no_proposal(self.newest.dim, dim) and self.stream:
            self.counters["no-proposal-chosen"] += 1
            self.stream.send(report=self.messages.Report(no_proposal=self.messages.Report.NoProposal(
                peer=peer.name, local=self.newest.counter, remote=dim.counter)))
        held = peer.rekey.remotes.get(dim.counter)
        if held:
            held.accepted_ms = stored.accepted_at_ms
        else:
            peer.rekey.add_remote(rekey.Remote(dim, stored.accepted_at_ms), self.generations, now)
        if peer.rekey.must_not_be_made_again(self.newest.counter, dim.counter):
            self.roll_over()
        self._let_go(peer, now)

    # -- time ----------------------------------------------------------------------------------
    def tick(self):
        now = self.clock()
        if self.stream is None:
            if now >= self.reconnect_at and not self.offline:
                self._connect(now)
        else:
            try:
                self.stream.flush()
            except OSError:
                self._lost_stream()
        self._discover(now)
        if self.publish_again_at is not None and now >= self.publish_again_at:
            self._publish()
        if self.soft_at is not None and now >= self.soft_at:
            self.rekey_wanted = True
        self._roll_if_due(now)
        for peer in self.peers.values():
            peer.rekey.tick(self.generations, now, 1000 * now + self.offset_ms)
            self._let_go(peer, now)
            if peer.rekey.probe_due(now):
                cookie = secrets.token_bytes(8)
                self._seal(peer, inner.probe(self.mesh_address, peer.mesh_address,
                                             inner.PROBE_REQUEST, cookie), everywhere=True)
        self._forget(now)
