#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The accounting blames what it should and excuses nothing else: losses planted one by one."""
import struct
import unittest

import accounting
from accounting import GRACE_NS, RECEIVED, REFUSED, SECOND, SENT, Kill, Outage

MS = SECOND // 1000
STEP = 10 * MS


def ns(seconds):
    return int(seconds * SECOND)


class World:
    """Devices 1, 2, 3, a datagram every 10 ms in each direction, all of which arrive 1 ms later."""

    def __init__(self, seconds=20):
        self.lost = {}
        self.refused = set()
        self.twice = set()
        self.count = int(seconds * SECOND / STEP)
        self.end = ns(seconds)

    def lose(self, source, target, at, refused=False):
        seq = int(at * SECOND / STEP)
        self.lost[(source, target, seq)] = True
        if refused:
            self.refused.add((source, target, seq))
        return seq

    def lose_between(self, source, target, begin, end):
        for seq in range(int(begin * SECOND / STEP), int(end * SECOND / STEP)):
            self.lost[(source, target, seq)] = True

    def logs(self):
        records = {1: [], 2: [], 3: []}
        for a in records:
            for b in records:
                if a == b:
                    continue
                for seq in range(self.count):
                    key = (a, b, seq)
                    records[a].append((REFUSED if key in self.refused else SENT, b, seq, seq * STEP))
                    if key not in self.lost:
                        records[b].append((RECEIVED, a, seq, seq * STEP + MS))
                    if key in self.twice:
                        records[b].append((RECEIVED, a, seq, seq * STEP + 2 * MS))
        return list(records.items())

    def account(self, kills=(), outages=()):
        return accounting.account(self.logs(), list(kills), list(outages), 0, self.end)


class Accounting(unittest.TestCase):
    def test_nothing_lost_is_nothing_lost(self):
        out = World().account()
        self.assertEqual(out["lost"], 0)
        self.assertEqual(out["sent"], 6 * 2000)
        self.assertEqual(out["directions"], 6)

    def test_a_loss_without_a_kill_is_a_finding(self):
        world = World()
        seq = world.lose(1, 2, 5)
        (loss,) = world.account()["outside"]
        self.assertEqual((loss.source, loss.target, loss.seq), (1, 2, seq))

    def test_killing_the_controller_excuses_nothing(self):
        world = World()
        world.lose(1, 2, 5)
        self.assertEqual(len(world.account(outages=[Outage(ns(4), ns(6))])["outside"]), 1)

    def test_a_kill_excuses_only_the_pairs_of_that_device(self):
        world = World()
        world.lose(1, 2, 5)
        world.lose(3, 1, 5)
        world.lose(2, 3, 5)
        out = world.account([Kill(1, ns(4.9), ns(5.5))])
        self.assertEqual([(x.source, x.target) for x in out["outside"]], [(2, 3)])
        self.assertEqual(out["by_cause"]["agent down"], 2)

    def test_the_window_ends_two_seconds_after_the_start(self):
        world = World()
        world.lose(1, 2, 7.49)
        world.lose(1, 2, 7.5)
        out = world.account([Kill(1, ns(4.9), ns(5.5))])
        self.assertEqual(out["by_cause"]["start-up"], 1)
        self.assertEqual([x.sent_ns for x in out["outside"]], [ns(7.5)])

    def test_a_controller_that_is_away_at_the_start_moves_the_end(self):
        world = World()
        for at in (6, 8, 9.99, 10.01):
            world.lose(2, 1, at)
        out = world.account([Kill(1, ns(4.9), ns(5.5))], [Outage(ns(5), ns(8))])
        self.assertEqual(out["by_cause"]["controller away"], 1)
        self.assertEqual(out["by_cause"]["start-up"], 2)
        self.assertEqual(len(out["outside"]), 1)

    def test_an_outage_after_the_window_moves_nothing(self):
        world = World()
        world.lose(2, 1, 9)
        out = world.account([Kill(1, ns(4), ns(4.5))], [Outage(ns(6.6), ns(8))])
        self.assertEqual(len(out["outside"]), 1)

    def test_in_flight_is_what_nothing_later_overtook(self):
        world = World()
        world.lose_between(1, 2, 4.95, 5.6)
        out = world.account([Kill(2, ns(5), ns(5.5))])
        self.assertEqual(out["outside"], [])
        self.assertEqual(out["by_cause"]["in flight at the kill"], 5)
        world = World()
        world.lose(1, 2, 4.95)  # 4.96 to 4.98 arrived: this one was not in flight any more
        self.assertEqual(len(world.account([Kill(2, ns(5), ns(5.5))])["outside"]), 1)

    def test_refusals_are_counted_apart_and_duplicates_are_seen(self):
        world = World()
        world.lose(1, 2, 5.2, refused=True)
        world.twice.add((2, 3, 100))
        out = world.account([Kill(1, ns(5), ns(5.5))])
        self.assertEqual(out["by_cause"]["refused by a fail-closed route"], 1)
        self.assertEqual(out["duplicated"], 1)

    def test_an_arrival_after_the_silence_is_a_loss(self):
        logs = [(1, [(SENT, 2, 0, 0)]), (2, [(RECEIVED, 1, 0, accounting.SILENCE_NS + 1)])]
        self.assertEqual(len(accounting.account(logs, [], [], 0, SECOND)["outside"]), 1)

    def test_recovery_counts_from_start_or_return_to_the_last_loss(self):
        world = World()
        world.lose_between(1, 2, 5, 6.2)
        out = world.account([Kill(1, ns(5), ns(5.5))])
        self.assertEqual(max(out["recovery_ns"]), ns(6.19) - ns(5.5))

    def test_a_log_is_read_and_a_torn_record_left_out(self):
        data = b"CYGTLOG1" + struct.pack("<I", 7) + accounting.RECORD.pack(SENT, 2, 0, 9, 1234) + b"torn"
        self.assertEqual(accounting.parse_log(data), (7, [(SENT, 2, 9, 1234)]))
        with self.assertRaises(ValueError):
            accounting.parse_log(b"something else")
        self.assertEqual(GRACE_NS, 2 * SECOND)


if __name__ == "__main__":
    unittest.main(verbosity=2)
