#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No (SPI, IV) pair comes twice: removal, return, roll-back, flush, restart and rekeys, all under traffic."""
import os
import pathlib
import signal
import unittest

from support import MeshTest


class NoIvTwice(MeshTest):
    devices = 3

    def apply(self, text):
        path = os.path.join(self.lab.dir, "mesh.yaml")
        with open(path, "w") as f:
            f.write(text)
        self.mesh.cygnet("apply", "-f", path)

    def start_traffic(self):
        self.traffic = [self.mesh.start_traffic(d, 100, "--tcp-mbit", 0, ipv6=False)[1] for d in self.mesh.devices]

    def test_no_spi_and_iv_twice(self):
        tcpdump, path = self.capture()
        self.start_all()
        policy = pathlib.Path(self.lab.dir, "mesh.yaml").read_text()
        self.start_traffic()
        a, b, c = self.mesh.devices
        without = policy.replace("rules:", "rules:\n  - {from: name=d1, to: name=d2, action: deny}")

        def gone():
            return all(not i["name"].startswith("d2.") for i in a.api("GET", "/api/v1/peers")["items"])

        for _ in range(2):  # the same two DIMs meet again: keys would repeat if pairs were made anew
            self.apply(without)
            self.lab.wait("d2 gone from d1", gone, 10)
            self.apply(policy)
            self.await_settled()
        with self.subTest("policy rolled back"):
            self.apply(without)
            self.lab.wait("d2 gone from d1", gone, 10)
            self.mesh.cygnet("rollback")
            self.await_settled()
        with self.subTest("pairs idle out and wake"):
            for process in self.traffic:
                process.stop(signal.SIGINT)
            self.apply(policy.replace("every: 1h", "every: 4s") + "forget_cap: 2s\ndrain: 1s\n")

            def states(wanted):
                return all(i["state"] == wanted for d in self.mesh.devices for i in d.api("GET", "/api/v1/peers")["items"])

            self.lab.wait("every pair dormant", lambda: states("dormant"), 40)
            before = self.mesh.agent_status(a)["generation"]["counter"]
            self.lab.wait("a rekey of dormant pairs", lambda: self.mesh.agent_status(a)["generation"]["counter"] != before, 20)
            self.assertIn("idle", self.device_command(a, "why", "d2", check=False).stdout)
            self.start_traffic()
            self.lab.wait("every pair awake", lambda: states("up"), 20)
            self.apply(policy)
            self.await_settled()
        with self.subTest("SAs flushed by hand"):
            before = self.mesh.agent_status(a)["generation"]["counter"]
            a.api("POST", "/api/v1/flush", {})
            self.lab.wait("a roll-over", lambda: self.mesh.agent_status(a)["generation"]["counter"] != before, 20)
            self.await_settled()
        with self.subTest("an agent restarted, twice"):
            for number in (signal.SIGKILL, signal.SIGTERM):
                b.agent.stop(number)
                self.mesh.start_agent(b)
                self.await_settled()
        with self.subTest("everybody rekeys"):
            before = {d.name: self.mesh.agent_status(d)["generation"]["counter"] for d in self.mesh.devices}
            self.mesh.cygnet("rekey", "--all")
            self.lab.wait("new generations", lambda: all(
                self.mesh.agent_status(d)["generation"]["counter"] != before[d.name] for d in self.mesh.devices), 20)
            self.await_settled()
        tcpdump.stop(signal.SIGINT)
        seen = self.figures(path)
        self.assertGreater(seen["esp_packets"], 1000)
        self.assertEqual(seen["iv_repeats"], 0)
        self.assertEqual(seen["cleartext_packets"], 0, seen["examples"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
