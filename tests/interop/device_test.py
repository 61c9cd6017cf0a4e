# SPDX-License-Identifier: Apache-2.0
"""A Python device written from docs/protocol.md, with a real controller and a real agent."""
import unittest

import device_support


class JoinTest(device_support.DeviceTest):
    def test_the_device_joins_publishes_and_the_agent_takes_its_dim(self):
        self.start_controller(self.policy())
        real, second = self.mesh.devices
        self.mesh.join(real)
        self.mesh.start_agent(real)
        leaf = self.join_python(second)
        self.assertEqual(leaf.name, "d2.demo")
        python = self.start_python(second)
        self.loop.until("the controller's acceptance", lambda: python.newest and python.newest.accepted_at)
        self.assertTrue(python.results[0].accepted)
        self.loop.until("the peer", lambda: self.agent_peer("d2"))
        self.loop.until("both settled", lambda: self.settled(python, second),
                        describe=lambda: str((python.peers["d1.demo"].rekey.describe(), python.counters,
                                              self.agent_peer("d2"))))


if __name__ == "__main__":
    unittest.main()
