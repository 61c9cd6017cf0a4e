# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: a small mesh of real daemons in namespaces, gone after each test.

The program directory comes from CYGNET_BIN (./dev test sets it; ctest too).
"""
import json
import os
import sys
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools", "demo"))

from lab import Lab, LabError, api  # noqa: E402,F401
from mesh import CONTROL_PORT, ESP_PORT, Mesh  # noqa: E402,F401

BIN = os.environ.get("CYGNET_BIN", os.path.join(TOP, "build", "ci", "bin"))


class MeshTest(unittest.TestCase):
    """A test with a Lab of its own. Failures print the daemons' last lines."""
    devices = 2
    nat = False
    bin_dir = BIN

    def setUp(self):
        self.assertEqual(os.geteuid(), 0, "network namespaces need root")
        self.assertTrue(os.path.exists(os.path.join(self.bin_dir, "cygnetd")), f"no cygnetd in {self.bin_dir}: ./dev build first")
        self.lab = Lab("cyge2e")
        self.addCleanup(self.clean_up)
        self.said = []
        self.mesh = Mesh(self.lab, self.bin_dir, self.devices, self.said.append, nat=self.nat)

    def clean_up(self):
        outcome = getattr(self, "_outcome", None)
        errors = getattr(getattr(outcome, "result", None), "errors", []) + getattr(getattr(outcome, "result", None), "failures", [])
        if any(getattr(test, "test_case", test) is self for test, _ in errors):
            for process in self.lab.processes:
                print(f"---- {process.name}\n{process.tail(25)}", file=sys.stderr)
        self.lab.close()

    # -- steps ---------------------------------------------------------------------------------
    def start_controller(self, policy=None):
        self.mesh.init_controller()
        self.mesh.start_controller()
        self.mesh.await_controller()
        path = self.mesh.write_policy()
        if policy:
            with open(path, "w") as f:
                f.write(policy)
        self.mesh.cygnet("apply", "-f", path)
        return path

    def start_all(self, extra=()):
        self.start_controller()
        for device in self.mesh.devices:
            self.mesh.join(device)
        for device in self.mesh.devices:
            self.mesh.start_agent(device, extra)
        self.await_settled()

    def await_settled(self, timeout=40):
        self.lab.wait("all pairs settled", self.mesh.settled, timeout, every=0.1,
                      watch=[d.agent for d in self.mesh.devices])

    def device_command(self, device, *args, check=True):
        return self.mesh.command("cygnet", "--agent-socket", device.socket, *args, ns=device.ns, check=check)

    def ping(self, device, address, count=3):
        """Through the tunnel, with the system's own ping; returns how many answers came."""
        source = device.inner6 if ":" in address else device.inner4
        done = self.lab.run(["ip", "netns", "exec", device.ns, "ping", "-n", "-c", str(count), "-i", "0.05", "-W", "2",
                             "-I", source, address], check=False)
        for line in done.stdout.splitlines():
            if "received" in line:
                return int(line.split(" received")[0].split()[-1])
        return 0

    def capture(self, name="underlay"):
        """Starts tcpdump on the router; stop() it, then read the returned path."""
        path = os.path.join(self.lab.dir, f"{name}.pcap")
        process = self.lab.start(f"tcpdump-{name}", ["tcpdump", "-i", "any", "-Q", "in", "-s", "0", "--immediate-mode", "-U", "-n", "-Z", "root",
                                                     "-w", path], ns=self.mesh.router)
        self.lab.wait("the capture", lambda: os.path.exists(path) and os.path.getsize(path) >= 24, 10, watch=[process])
        return process, path

    def figures(self, pcap, inner=("10.77.0.0/16", "fd77:77::/32")):
        args = [x for p in inner for x in ("--inner", p)]
        out = self.lab.run([os.path.join(BIN, "cygnet-traffic"), "capture", "--file", pcap,
                            "--control-port", str(CONTROL_PORT), *args])
        return json.loads(out.stdout)

    def refused(self, done, *words):
        """A command failed as it should: exit code not 0, and each word is in what it said."""
        text = done.stdout + done.stderr
        self.assertNotEqual(done.returncode, 0, text)
        for word in words:
            self.assertIn(word, text)
        return text
