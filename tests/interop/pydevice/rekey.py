# SPDX-License-Identifier: Apache-2.0
"""Generations, SA pairs and the outbound decision towards one peer (docs/protocol.md section 6).

Pure: time is an argument (seconds), and what goes on the wire is the caller's. The data plane is this
process, so an SA pair is installed as soon as it is made.
"""
import collections
import dataclasses

from .esp import InboundSa, OutboundSa
from .keymat import derive

MAX_WAITING = 256
FIRST_PACKET_WAIT = 1.0
PROBE_FIRST, PROBE_LAST = 0.1, 10.0
INBOUND_GRACE = 60.0


@dataclasses.dataclass
class Generation:
    """One of our own: the DIM, its DH pairs until they are erased, and what the controller said."""
    dim: object
    octets: bytes
    key_pairs: dict                 # group -> KeyPair; None once erased
    drawn_at: float
    accepted_ms: int = None         # the controller's clock
    accepted_at: float = None       # ours
    reached_all_at: float = None    # the delivery mark says that no attached peer lacks it

    @property
    def counter(self):
        return self.dim.counter

    @property
    def has_private(self):
        return self.key_pairs is not None


@dataclasses.dataclass
class Remote:
    """A peer's generation as the controller told it."""
    dim: object
    accepted_ms: int

    @property
    def counter(self):
        return self.dim.counter


@dataclasses.dataclass
class Pair:
    local: Generation
    remote: Remote
    suite: object
    inbound: list
    outbound: list                  # emptied when it is no longer chosen
    heard: bool = False
    drains_at: float = None         # retired: receives until then

    @property
    def key(self):
        return self.local.counter, self.remote.counter


def label(pair):
    """In the draft's notation, by sequence: a2-b1."""
    return "none" if pair is None else f"a{pair[0] & 0xFFFFFFFF}-b{pair[1] & 0xFFFFFFFF}"


class Rekey:
    """The SA pairs with one peer."""

    def __init__(self, settings, made):
        self.settings = settings
        self.remotes = {}           # counter -> Remote
        self.pairs = {}             # (local, remote) -> Pair
        self.made = made            # every pair there ever was: made once, never again (6.3)
        self.had = set()            # own generations that had SAs with this peer since it started
        self.live = set()           # counters of own generations
        self.heard = None           # newest remote generation heard on
        self.acknowledged = set()   # counters of own generations the peer has
        self.chosen = None
        self.waiting = collections.deque()  # (since, packet)
        self.waited_out = 0
        self.probe_at = None
        self.probe_gap = PROBE_FIRST
        self.most_pairs = 0

    # -- making pairs --------------------------------------------------------------------------
    def _held(self, own):
        """Own generations that still have a private value, are not older than a live one, and have SAs
        with this peer or not any yet."""
        floor = max(self.live, default=0)
        return [g for g in own if g.has_private and
                (g is own[-1] or g.counter >= floor and
                 (any(p.local is g for p in self.pairs.values()) or g.counter not in self.had))]

    def _make(self, generation, remote):
        key = (generation.counter, remote.counter)
        if key in self.made:
            return
        derived = derive(generation.dim, remote.dim, generation.key_pairs.__getitem__)
        if derived is None:
            return
        suite, lanes = derived
        self.made.add(key)
        self.had.add(generation.counter)
        self.pairs[key] = Pair(
            generation, remote, suite,
            [InboundSa(suite, n.spi_in, n.key_in, self.settings.replay_window) for n in lanes],
            [OutboundSa(suite, n.spi_out, n.key_out) for n in lanes])
        self.most_pairs = max(self.most_pairs, len(self.pairs))

    def add_remote(self, remote, own, now):
        """Rule 2: the peer's new generation with every own one that is held."""
        self.remotes[remote.counter] = remote
        for generation in self._held(own):
            self._make(generation, remote)
        self._bound(own, now)
        self.decide(own, now)

    def add_own(self, generation, own, now):
        """Rule 1: before it is published."""
        for remote in self.remotes.values():
            self._make(generation, remote)
        self._bound(own, now)
        self.decide(own, now)

    def peer_lost_state(self):
        """The peer's initial contact: its SAs go at once and everything starts over."""
        self.remotes, self.pairs, self.live, self.heard = {}, {}, set(), None
        self.acknowledged, self.chosen, self.had = set(), None, set()

    def must_not_be_made_again(self, local, remote):
        """Used, and gone: only a new generation of ours gives another pair (6.3)."""
        return (local, remote) in self.made and (local, remote) not in self.pairs

    def _complete(self, own):
        held = self._held(own)
        return [r for r in self.remotes if held and all((g.counter, r) in self.pairs for g in held)]

    def _bound(self, own, now):
        """The generations that keep SAs towards a peer (6.1)."""
        counters = sorted(g.counter for g in own)
        keep_own = set(counters[-2:]) | {max(s) for s in (self.live, self.acknowledged) if s}
        complete = self._complete(own)
        keep_remote = {max(self.remotes, default=0), max(complete, default=0), self.heard}
        for key, pair in self.pairs.items():
            if key != self.chosen and (key[0] not in keep_own or key[1] not in keep_remote):
                self._drain(pair, now)
        self.remotes = {c: r for c, r in self.remotes.items() if c in keep_remote}

    # -- the decision --------------------------------------------------------------------------
    def decide(self, own, now):
        """The table of section 6.2, row by row; true when the choice changed."""
        complete = self._complete(own)
        if not complete:
            return False                                                            # A
        received = max(complete)
        usable = [c for c, r in self.pairs if r == received and self.pairs[c, r].outbound]
        if self.live:
            live = [c for c in usable if c in self.live]
            return self._choose((max(live), received), now) if live else False      # B, C
        accepted = [g.counter for g in self._held(own)
                    if g.accepted_at is not None and g.counter in usable]
        if not accepted:
            return False                                                            # D
        start = (min(accepted), received)
        if self.chosen is None and not self._may_send(start[0], now):
            return False                                                            # F
        if self.chosen and start[0] < self.chosen[0]:
            start = (self.chosen[0], received)  # never back to an older own generation
            if start not in self.pairs:
                return False
        return self._choose(start, now)                                             # E, G

    def _may_send(self, counter, now):
        return counter in self.acknowledged or (
            bool(self.waiting) and now - self.waiting[0][0] >= FIRST_PACKET_WAIT)

    def _choose(self, key, now):
        if key == self.chosen:
            return False
        if self.chosen in self.pairs:
            self.pairs[self.chosen].outbound = []
        self.chosen = key
        self.probe_gap = PROBE_FIRST
        self.probe_at = now + self.probe_gap
        return True

    # -- evidence ------------------------------------------------------------------------------
    def evidence(self, pair, own, now):
        """A packet on one of the pair's inbound SAs has verified (6.5)."""
        local, remote = pair.key
        pair.heard = True
        if local in self.live and self.heard is not None and remote <= self.heard:
            return
        self.live.add(local)
        self.heard = max(remote, self.heard or 0)
        self.decide(own, now)
        self._retire(now)

    def _retire(self, now):
        newest_live = max(self.live)
        for key, pair in self.pairs.items():
            if key != self.chosen and (key[0] < newest_live or key[1] < self.heard):
                self._drain(pair, now)

    def _drain(self, pair, now):
        pair.outbound = []
        if pair.drains_at is None:
            pair.drains_at = now + self.settings.drain_s

    def needs(self, generation):
        """Does an SA with this peer still need the generation's private value?"""
        return any(p.local is generation and p.drains_at is None for p in self.pairs.values())

    def cap(self, generation):
        """The private value is gone for its age: without proof that the peer uses it, it goes (6.7)."""
        if generation.counter not in self.live | self.acknowledged:
            self.pairs = {k: p for k, p in self.pairs.items() if p.local is not generation}

    # -- time ----------------------------------------------------------------------------------
    def tick(self, own, now, controller_ms):
        """Ends what has drained or is past its hard lifetime; lets first packets go."""
        gone = []
        for key, pair in self.pairs.items():
            if pair.local.accepted_ms is not None:
                ends = max(pair.local.accepted_ms, pair.remote.accepted_ms) + self.settings.hard_ms
                if controller_ms >= ends:
                    pair.outbound = []
                if controller_ms >= ends + 1000 * (INBOUND_GRACE + self.settings.drain_s):
                    gone.append(key)
            if pair.drains_at is not None and now >= pair.drains_at:
                gone.append(key)
        for key in set(gone):
            del self.pairs[key]
            if self.chosen == key:
                self.chosen = None
        if gone:
            used = {r for _, r in self.pairs} | {max(self.remotes, default=0)}
            self.remotes = {c: r for c, r in self.remotes.items() if c in used}
        self.decide(own, now)

    # -- sending -------------------------------------------------------------------------------
    @property
    def outbound(self):
        """The SAs of the choice, one a lane; empty while packets have to wait."""
        pair = self.pairs.get(self.chosen)
        return pair.outbound if pair else []

    @property
    def confirmed(self):
        pair = self.pairs.get(self.chosen)
        return pair is not None and pair.heard

    def hold(self, packet, now):
        if len(self.waiting) == MAX_WAITING:
            self.waiting.popleft()
            self.waited_out += 1
        self.waiting.append((now, packet))

    def probe_due(self, now):
        """Is a REQUEST to be sent on the choice now? Asked again and again, answered by the schedule."""
        if not self.outbound:
            return False
        if self.confirmed and not (self.acknowledged and max(self.acknowledged) not in self.live):
            self.probe_at = None
            self.probe_gap = PROBE_FIRST
            return False
        if self.probe_at is None:
            self.probe_at = now + self.probe_gap
        if now < self.probe_at:
            return False
        self.probe_gap = min(2 * self.probe_gap, PROBE_LAST)
        self.probe_at = now + self.probe_gap
        return True

    def describe(self):
        """For tests and people: pairs, and the choice."""
        return {"pairs": sorted(label(k) for k in self.pairs), "chosen": label(self.chosen),
                "confirmed": self.confirmed, "live": sorted(c & 0xFFFFFFFF for c in self.live)}
