# SPDX-License-Identifier: Apache-2.0
"""The kernel's IPsec as the data plane of real agents, alone and mixed with the userspace one."""
import re
import subprocess

from support import LabError, MeshTest
from traffic import TrafficTest

# A peer's dummies are dropped by design and counted as this one.
EXPLAINED = {"XfrmInStateProtoError"}


class KernelMesh(MeshTest):
    """Which agents have the kernel's data plane: by position."""
    devices = 2
    kernel = (True, True)

    def start_mixed(self):
        self.start_controller()
        for device in self.mesh.devices:
            self.mesh.join(device)
        for device, kernel in zip(self.mesh.devices, self.kernel):
            device.data_plane = "kernel" if kernel else "userspace"
            self.mesh.start_agent(device)
        self.await_settled()

    def kernel_devices(self):
        return [d for d, kernel in zip(self.mesh.devices, self.kernel) if kernel]

    def errors(self, device):
        counters = self.mesh.kernel_errors()[device.name]
        return {name: count for name, count in counters.items() if count and name not in EXPLAINED}

    def spis(self, device):
        return set(re.findall(r"spi (0x[0-9a-f]+)", self.lab.ip(device.ns, "xfrm", "state").stdout)) - {"0x00000000"}

    def test_packets_pass_a_rekey_loses_none_and_a_stop_leaves_nothing_open(self):
        self.start_mixed()
        a, b = self.mesh.devices
        with self.subTest("the status names the data plane"):
            for device, kernel in zip(self.mesh.devices, self.kernel):
                self.assertEqual(self.mesh.agent_status(device)["backend"], "kernel" if kernel else "userspace")
        with self.subTest("IPv4 and IPv6 pass both ways"):
            for x, y in ((a, b), (b, a)):
                self.assertEqual(self.ping(x, y.inner4), 3)
                self.assertEqual(self.ping(x, y.inner6), 3)
        with self.subTest("a rekey of either end loses nothing"):
            for device in (a, b):
                before = self.mesh.agent_status(device)["generation"]["counter"]
                flow = subprocess.Popen(["ip", "netns", "exec", a.ns, "ping", "-n", "-q", "-c", "400", "-i", "0.01", "-W", "2",
                                         "-I", a.inner4, b.inner4], stdout=subprocess.PIPE, text=True)
                self.addCleanup(flow.kill)
                self.mesh.cygnet("rekey", device.name)
                self.lab.wait("a new generation", lambda d=device, g=before:
                              self.mesh.agent_status(d)["generation"]["counter"] != g, 20)
                self.await_settled()
                said = flow.communicate(timeout=60)[0]
                self.assertIn("400 packets transmitted, 400 received", said)
        with self.subTest("only the newest pair is left in the kernel"):
            for device in self.kernel_devices():
                self.lab.wait("the old SAs gone", lambda d=device: len(self.spis(d)) == 2, 30)
        with self.subTest("no error counter rose"):
            for device in self.kernel_devices():
                self.assertEqual(self.errors(device), {})
        with self.subTest("a stopped agent's SAs go on and nothing leaves in clear, until `down --open`"):
            device = self.kernel_devices()[0]
            other = b if device is a else a
            left = self.spis(device)
            device.agent.stop()
            self.assertEqual(self.ping(device, other.inner4, 1), 0, "nobody has the ESP port")
            self.assertEqual(self.spis(device), left)
            self.assertIn(f"dst {other.prefixes[0]} \n\tdir out", self.lab.ip(device.ns, "xfrm", "policy").stdout)
            self.mesh.command("cygnet-agent", "down", "--open", "--state", device.state, ns=device.ns)
            self.assertEqual(self.lab.ip(device.ns, "xfrm", "policy").stdout, "")
            self.assertEqual(self.spis(device), set())


class MixedMesh(KernelMesh):
    kernel = (True, False)


class MixedMeshTheOtherWay(KernelMesh):
    kernel = (False, True)


class StatesFlushedByHand(TrafficTest):
    """`ip xfrm state flush` under traffic."""
    devices = 2

    def test_new_keys_heal_it_and_nothing_leaves_in_clear(self):
        self.mesh.choose_data_planes("kernel")
        self.start_mesh()
        capture, pcap = self.capture_underlay()
        self.phases.first_contact(self.start_device)
        a, b = self.mesh.devices
        before = self.phases.counters()["d1"]
        self.lab.ip(a.ns, "xfrm", "state", "flush")
        self.lab.wait("a new generation", lambda: self.phases.counters()["d1"] != before, 20, watch=[a.agent])
        self.await_settled()
        self.assertEqual(self.ping(a, b.inner4), 3)
        self.assertEqual(self.ping(b, a.inner6), 3)
        self.tcp_is_intact(self.stop_traffic())
        self.stop_capture(capture)
        self.nothing_in_clear(pcap)


class LearnedEndpoint(MeshTest):
    """A device whose address nobody is told."""
    devices = 3
    last = "kernel"

    def test_it_is_found_where_it_sends_from(self):
        self.mesh.choose_data_planes("kernel")
        silent = self.mesh.devices[-1]
        silent.endpoint, silent.data_plane = None, self.last
        try:
            self.start_all()
        except LabError as error:
            states = "\n".join(f"{d.name}:\n{self.lab.ip(d.ns, '-s', 'xfrm', 'state').stdout}" for d in self.mesh.devices)
            self.fail("\n".join([str(error), *self.mesh.unsettled(), states]))
        for device in self.mesh.devices[:-1]:
            self.assertEqual(self.ping(device, silent.inner4), 3)
            self.assertEqual(self.ping(silent, device.inner6), 3)


class LearnedEndpointOfAUserspaceDevice(LearnedEndpoint):
    last = "userspace"
