#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""On-demand pairs: nothing until a packet asks, the first packet arrives, and from then on a pair like any other."""
import unittest

from support import MeshTest

DEMAND = "  - {from: role=site, to: role=site, mode: on-demand}"


class OnDemand(MeshTest):
    devices = 3
    data_planes = "userspace"

    def start(self):
        self.mesh.choose_data_planes(self.data_planes)
        path = self.start_controller()
        with open(path) as f:
            policy = f.read().replace("  - {from: role=site, to: role=site}", DEMAND)
        self.assertIn(DEMAND, policy)
        with open(path, "w") as f:
            f.write(policy)
        self.mesh.cygnet("apply", "-f", path)
        for device in self.mesh.devices:
            self.mesh.join(device)
            self.mesh.start_agent(device)
        self.lab.wait("every pair known and asleep", lambda: all(set(self.states(d).values()) == {"asleep"} and len(self.states(d)) == 2
                                                                 for d in self.mesh.devices),
                      40, watch=[d.agent for d in self.mesh.devices])

    def states(self, device):
        return {i["name"].split(".")[0]: i["state"] for i in device.api("GET", "/api/v1/peers")["items"]}

    def settled(self, *devices):
        self.lab.wait("the pair settled", lambda: self.mesh.newest_on_newest(list(devices)), 30, watch=[d.agent for d in devices])

    def test_a_pair_comes_with_its_first_packet_and_stays(self):
        self.start()
        a, b, c = self.mesh.devices
        for device in (a, b, c):
            status = self.mesh.agent_status(device)
            self.assertEqual(status["peers"], {"wanted": 0, "up": 0, "proven": 0, "asleep": 2})
            self.assertEqual(status["sa_pairs"]["installed"], 0)
        self.assertIn("on demand", self.device_command(a, "status").stdout)
        self.assertIn("the first packet for the peer wakes the pair", self.device_command(a, "why", "d2").stdout)
        with self.subTest("the first packet arrives, one each way, and nobody else wakes"):
            self.assertEqual(self.ping(a, b.inner4, count=1), 1)
            self.assertEqual(self.states(a)["d3"], "asleep")
            self.assertEqual(set(self.states(c).values()), {"asleep"})
            for device in (a, b):
                drops = self.mesh.agent_status(device)["drops"]
                self.assertEqual({name: n for name, n in drops.items() if n}, {})
        with self.subTest("it rekeys like any other"):
            self.settled(a, b)
            before = self.mesh.agent_status(b)["generation"]["counter"]
            self.mesh.cygnet("rekey", "d2")
            self.lab.wait("a new generation", lambda: self.mesh.agent_status(b)["generation"]["counter"] != before, 20)
            self.assertEqual(self.ping(a, b.inner6, count=20), 20)
            self.settled(a, b)
        with self.subTest("a new controller process knows who is awake: the devices tell it"):
            self.mesh.controller.stop()
            self.mesh.start_controller()
            self.mesh.await_controller()
            self.lab.wait("the devices back", lambda: all(self.mesh.agent_status(d)["controller"]["state"] == "connected"
                                                          for d in (a, b, c)), 40)
            before = self.mesh.agent_status(a)["generation"]["counter"]
            self.mesh.cygnet("rekey", "d1")
            self.lab.wait("a new generation", lambda: self.mesh.agent_status(a)["generation"]["counter"] != before, 20)
            self.assertEqual(self.ping(b, a.inner4, count=20), 20)
            self.settled(a, b)
            self.assertEqual(self.states(a)["d3"], "asleep")
        with self.subTest("a device that starts again is met by the peer it had"):
            a.agent.stop()
            self.mesh.start_agent(a)
            self.settled(a, b)
            self.assertEqual(self.ping(b, a.inner4, count=3), 3)

    def test_both_ends_at_once_and_a_peer_that_is_away(self):
        self.start()
        a, b, c = self.mesh.devices
        with self.subTest("both ends ask at once"):
            pings = [self.lab.start(f"ping-{d.name}", ["ping", "-n", "-c", "1", "-W", "3", "-I", d.inner4, other.inner4], ns=d.ns)
                     for d, other in ((a, b), (b, a))]
            for ping in pings:
                self.assertEqual(ping.popen.wait(20), 0, ping.tail())
        with self.subTest("the peer is away: a clear word, and it comes when the peer does"):
            c.agent.stop()
            self.assertEqual(self.ping(a, c.inner4, count=1), 0)
            self.mesh.start_agent(c)
            self.lab.wait("the pair", lambda: self.ping(a, c.inner4, count=1) == 1, 30)


if __name__ == "__main__":
    unittest.main(verbosity=2)
