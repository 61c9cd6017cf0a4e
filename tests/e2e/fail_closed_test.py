#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What policy protects never leaves in clear: agent dead, stopped, or not yet back."""
import os
import signal
import unittest

from support import MeshTest


class FailClosed(MeshTest):
    devices = 2

    def probe_in_clear(self, device, peer, count=20):
        """Sends datagrams towards a protected prefix; errors are fine, clear text is not."""
        script = ("import socket\n"
                  f"for family, src, dst in ((socket.AF_INET, '{device.inner4}', '{peer.inner4}'),"
                  f" (socket.AF_INET6, '{device.inner6}', '{peer.inner6}')):\n"
                  "    s = socket.socket(family, socket.SOCK_DGRAM)\n"
                  "    s.bind((src, 0))\n"
                  f"    for i in range({count}):\n"
                  "        try: s.sendto(b'CYGT in clear?', (dst, 9))\n"
                  "        except OSError as e: print(e.errno)\n")
        return self.lab.run(["ip", "netns", "exec", device.ns, "/usr/bin/python3", "-c", script]).stdout.split()

    def test_nothing_leaves_in_clear_and_only_down_open_opens(self):
        self.start_all()
        a, b = self.mesh.devices
        tcpdump, path = self.capture()
        self.assertEqual(self.ping(a, b.inner4), 3)

        a.agent.send(signal.SIGKILL)
        a.agent.popen.wait(5)
        refused = self.probe_in_clear(a, b)
        self.assertEqual(len(refused), 40, "every send must be refused by the unreachable route")

        self.mesh.start_agent(a)
        self.await_settled()
        self.assertEqual(self.ping(a, b.inner4), 3)
        self.assertEqual(a.agent.stop(signal.SIGTERM), 0, a.agent.tail())
        self.assertEqual(len(self.probe_in_clear(a, b)), 40)

        tcpdump.stop(signal.SIGINT)
        seen = self.figures(path)
        self.assertEqual(seen["cleartext_packets"], 0, seen["examples"])
        self.assertGreater(seen["esp_packets"], 0)

        self.mesh.command("cygnet-agent", "down", "--open", "--state", a.state, ns=a.ns)
        tcpdump, path = self.capture("opened")
        self.assertEqual(self.probe_in_clear(a, b), [], "after down --open packets follow the default route again")
        tcpdump.stop(signal.SIGINT)
        self.assertGreater(self.figures(path)["cleartext_packets"], 0, "the check above could not have failed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
