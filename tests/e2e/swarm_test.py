#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Twenty simulated devices against a real cygnetd: everything published comes to everybody, in order; and the
checker that says so catches a delivery that is lost."""
import os
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools", "bench"))

from controller import Controller  # noqa: E402

BIN = os.environ.get("CYGNET_BIN", os.path.join(TOP, "build", "ci", "bin"))
DEVICES = 20


class Swarm(unittest.TestCase):
    def setUp(self):
        self.controller = Controller(BIN)
        self.addCleanup(self.controller.close)
        self.controller.start()
        self.controller.enrol(DEVICES)

    def phases(self, figures):
        return {p["scenario"]: p for p in figures["phases"]}

    def test_everything_published_comes_to_everybody_in_order(self):
        self.controller.apply(DEVICES, 0)
        done, figures = self.controller.swarm(DEVICES, 0, "--scenario", "publish,rekey,reconnect,slow", "--publishes", "7",
                                              "--rounds", "3", "--slow-percent", "20")
        self.assertTrue(figures["good"], done.stdout)
        phases = self.phases(figures)
        # One at a time, nothing can overtake anything: each must come to each of the others.
        self.assertEqual((phases["publish"]["deliveries"], phases["publish"]["coalesced"]), (7 * (DEVICES - 1), 0))
        self.assertEqual(phases["rekey"]["deliveries"] + phases["rekey"]["coalesced"], 3 * DEVICES * (DEVICES - 1))
        self.assertEqual((phases["reconnect"]["connects"], phases["reconnect"]["tls_resumed"],
                          phases["reconnect"]["cursors_honoured"]), (DEVICES, DEVICES, DEVICES))
        self.assertGreater(phases["slow"]["published"], 0)
        self.assertEqual((figures["lost"], figures["out_of_order"], figures["streams_lost"]), (0, 0, 0))
        with self.subTest("the controller counted as much as the devices did"):
            counters = self.controller.counters()
            self.assertEqual(counters["publish-accepted"], sum(p["accepted"] for p in figures["phases"]))
        with self.subTest("a second run finds the certificates and goes on above the old counters"):
            done, figures = self.controller.swarm(DEVICES, 0, "--scenario", "publish", "--publishes", "3")
            self.assertTrue(figures["good"], done.stdout)
            self.assertGreater(self.phases(figures)["join"]["from_before"], 0)

    def test_groups_hear_their_own_only(self):
        self.controller.apply(DEVICES, 5)
        done, figures = self.controller.swarm(DEVICES, 5, "--scenario", "rekey")
        self.assertTrue(figures["good"], done.stdout)
        self.assertEqual(self.phases(figures)["rekey"]["deliveries"], DEVICES * 4)
        with self.subTest("who expects more than policy allows is told what is missing"):
            done, figures = self.controller.swarm(DEVICES, 10, "--patience", "10s", check=False)
            self.assertEqual((done.returncode, figures["good"], figures["lost"]), (1, False, DEVICES * 5), done.stdout)

    def test_a_delivery_that_is_lost_is_found_and_named(self):
        self.controller.apply(DEVICES, 0)
        # The last delivery of all: nothing newer comes to hide it.
        last = DEVICES * (DEVICES - 1) + 3 * (DEVICES - 1)
        done, figures = self.controller.swarm(DEVICES, 0, "--scenario", "publish", "--publishes", "3", "--patience", "10s",
                                              "--plant-loss", last, check=False)
        self.assertEqual((done.returncode, figures["good"], figures["lost"]), (1, False, 1), done.stdout)
        self.assertRegex(done.stdout, r"LOST: s000\d\d holds 1\.1 of s000\d\d instead of 1\.2")


if __name__ == "__main__":
    unittest.main(verbosity=2)
