# SPDX-License-Identifier: Apache-2.0
"""Every lost packet gets a cause, or it is a finding.

Input: the raw logs of cygnet-traffic (what was sent, what arrived, when) and what was done to the
mesh (which process was killed when, when it was started again, when the controller answered again).
A loss is explained only inside a window of one of its two devices: from the kill of that device to
the later of its process start and the controller's return, plus GRACE_NS. The controller's death
opens no window of its own. Pure: no process, no clock.
"""
import bisect
import dataclasses
import struct

SECOND = 1_000_000_000
GRACE_NS = 2 * SECOND
# A datagram may still arrive this long after it was sent; later it is lost.
SILENCE_NS = 2 * SECOND
# At the kill a datagram may be on its way: in a queue of the dying agent or behind it.
IN_FLIGHT_NS = SECOND // 2

RECORD = struct.Struct("<BBHIQ")
SENT, RECEIVED, REFUSED = 0, 1, 2

CAUSES = (
    "refused by a fail-closed route",   # the sender's agent is down: its kernel refuses
    "agent down",                       # the receiver's agent is down, or the sender's just now
    "in flight at the kill",
    "controller away",                  # the agent is up again and cannot publish yet
    "start-up",                         # within the grace after both are there
)


@dataclasses.dataclass
class Outage:
    """The controller's process was killed, and answered again."""
    killed_ns: int
    answered_ns: int


@dataclasses.dataclass
class Kill:
    """An agent was killed, and started again."""
    device: int
    killed_ns: int
    started_ns: int
    base_ns: int = 0   # the later of process start and controller's return
    end_ns: int = 0


@dataclasses.dataclass
class Loss:
    source: int
    target: int
    seq: int
    sent_ns: int
    cause: str


@dataclasses.dataclass
class Direction:
    sent: list          # (time, seq, refused), by time
    arrived: dict       # seq -> time of first arrival
    duplicated: int = 0


def windows(kills, outages):
    """Fills in where each window ends; later outages count only while the window is still open."""
    for kill in kills:
        kill.base_ns = kill.started_ns
        for outage in sorted(outages, key=lambda o: o.killed_ns):
            if outage.answered_ns > kill.killed_ns and outage.killed_ns < kill.base_ns + GRACE_NS:
                kill.base_ns = max(kill.base_ns, outage.answered_ns)
        kill.end_ns = kill.base_ns + GRACE_NS
    return kills


def parse_log(data):
    """(device number, [(kind, other, seq, time)]); a torn last record is left out."""
    if data[:8] != b"CYGTLOG1":
        raise ValueError("not a traffic log")
    own, = struct.unpack_from("<I", data, 8)
    whole = len(data) - (len(data) - 12) % RECORD.size
    return own, [(k, other, seq, t) for k, other, _, seq, t in RECORD.iter_unpack(data[12:whole])]


def directions(logs):
    """logs: [(device, records)] -> {(source, target): Direction}"""
    out = {}

    def direction(source, target):
        return out.setdefault((source, target), Direction([], {}))

    for own, records in logs:
        for kind, other, seq, time_ns in records:
            if kind == RECEIVED:
                d = direction(other, own)
                if seq in d.arrived:
                    d.duplicated += 1
                else:
                    d.arrived[seq] = time_ns
            else:
                direction(own, other).sent.append((time_ns, seq, kind == REFUSED))
    for d in out.values():
        d.sent.sort()
    return out


def cause_of(direction, sent_ns, refused, kills, outages):
    """The cause of one loss, or None when nothing that was done explains it."""
    for kill in kills:
        if kill.killed_ns - IN_FLIGHT_NS <= sent_ns < kill.killed_ns:
            # Really in flight: nothing that was sent later arrived before the kill.
            at = bisect.bisect_right(direction.sent, (sent_ns, 1 << 40, True))
            later = [s for t, s, _ in direction.sent[at:at + 1000] if t < kill.killed_ns]
            if not any(direction.arrived.get(s, 1 << 62) < kill.killed_ns for s in later):
                return "in flight at the kill"
    for kill in kills:
        if kill.killed_ns <= sent_ns < kill.end_ns:
            if refused:
                return "refused by a fail-closed route"
            if sent_ns < kill.started_ns:
                return "agent down"
            if any(o.killed_ns <= sent_ns < o.answered_ns for o in outages) or sent_ns < kill.base_ns:
                return "controller away"
            return "start-up"
    return None


def account(logs, kills, outages, start_ns, end_ns):
    """Figures and every unexplained loss of what was sent in [start_ns, end_ns)."""
    kills = windows(kills, outages)
    by_device = {}
    for kill in kills:
        by_device.setdefault(kill.device, []).append(kill)
    sent = received = duplicated = 0
    causes = {c: 0 for c in CAUSES}
    outside = []
    recovery_ns = []
    table = directions(logs)
    for (source, target), d in sorted(table.items()):
        duplicated += d.duplicated
        ours = by_device.get(source, []) + by_device.get(target, [])
        for time_ns, seq, refused in d.sent:
            if not start_ns <= time_ns < end_ns:
                continue
            sent += 1
            if d.arrived.get(seq, 1 << 62) <= time_ns + SILENCE_NS:
                received += 1
                continue
            cause = cause_of(d, time_ns, refused, ours, outages)
            if cause is None:
                outside.append(Loss(source, target, seq, time_ns, ""))
            else:
                causes[cause] += 1
        for kill in ours:
            alone = not any(o is not kill and o.killed_ns < kill.end_ns and kill.killed_ns < o.end_ns for o in ours)
            if alone and kill.end_ns < end_ns:
                # From the first datagram after which all arrive: the last loss inside the window.
                last = max((t for t, s, _ in window_of(d, kill) if s not in d.arrived), default=None)
                recovery_ns.append(max(0, last - kill.base_ns) if last is not None else 0)
    return {"sent": sent, "received": received, "lost": sent - received, "duplicated": duplicated,
            "by_cause": causes, "outside": outside, "recovery_ns": recovery_ns,
            "directions": len(table)}


def window_of(direction, kill):
    low = bisect.bisect_left(direction.sent, (kill.killed_ns, -1, False))
    high = bisect.bisect_left(direction.sent, (kill.end_ns, -1, False))
    return direction.sent[low:high]


def lost_by_direction(logs, start_ns, end_ns):
    """{(source, target): losses} of what was sent in [start_ns, end_ns)."""
    out = {}
    for key, d in directions(logs).items():
        out[key] = sum(1 for t, s, _ in d.sent
                       if start_ns <= t < end_ns and d.arrived.get(s, 1 << 62) > t + SILENCE_NS)
    return out
