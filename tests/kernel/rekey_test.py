# SPDX-License-Identifier: Apache-2.0
"""Rekeys under counted traffic, on a kernel that has all the device needs: nothing is lost."""
from traffic import NO_LOSS, TrafficTest


class RekeyUnderTraffic(TrafficTest):
    """One device, two at the same moment, all at once; here with the userspace data plane everywhere."""

    def test_first_contact_and_every_kind_of_rekey_lose_nothing(self):
        self.start_mesh()
        capture, pcap = self.capture_underlay()
        self.phases.first_contact(self.start_device)
        self.before_the_rekeys()
        self.phases.single_rekey()
        self.phases.crossing("double_rekey", ["d1", "d2"])
        self.phases.crossing("all_rekey", [d.name for d in self.mesh.devices])
        self.after_the_rekeys()
        logs = self.stop_traffic()
        self.stop_capture(capture)
        figures = self.figures_by_phase(logs)
        for name, phase in figures.items():
            with self.subTest(name):
                print(f"{name}: sent {phase['sent']}, lost {phase['lost']}, duplicated {phase['duplicated']}, "
                      f"worst gap {phase['recovery_ms']} ms, drops {phase['drops']}")
                self.assertGreater(phase["sent"], 0)
                self.assertEqual((phase["lost"], phase["duplicated"]), (0, 0), phase)
                drops = {k: v for k, v in phase["drops"].items() if k not in NO_LOSS}
                if name == "first_contact":
                    # Sent to a peer that was not there yet, and not held long enough: before the first that arrived.
                    self.assertLessEqual(drops.pop("no-endpoint", 0) + phase["held_dropped"], phase["before_first"])
                self.assertEqual(drops, {})
                self.assertEqual(phase["directions_received"], phase["expected_directions"])
        for name in ("double_rekey", "all_rekey"):
            self.assertTrue(figures[name]["crossed"], figures[name])
        self.tcp_is_intact(logs)
        self.nothing_in_clear(pcap)

    def before_the_rekeys(self):
        """All pairs are up, traffic flows."""

    def after_the_rekeys(self):
        """The same, on new generations everywhere."""
