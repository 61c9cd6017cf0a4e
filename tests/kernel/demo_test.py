# SPDX-License-Identifier: Apache-2.0
"""The demo's seven phases in a kernel that has ESP: the kernel's data plane alone, and mixed with our own.

Fewer datagrams than on a whole machine, and no promises of time: a guest has one processor, and it is an emulated one.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# User-mode Linux has no table of addresses to translate; qemu, without the help of a processor, is slow.
QEMU = os.environ.get("CYGNET_KERNEL") == "qemu"


class Demo(unittest.TestCase):
    devices = 4
    rate = 5 if QEMU else 50
    tcp_mbit = 0.02 if QEMU else 0.2

    def run_demo(self, data_plane):
        report = os.path.join(tempfile.mkdtemp(), "demo.json")
        command = ["/usr/bin/python3", os.path.join(TOP, "tools", "demo", "demo.py"), "--bin", os.environ["CYGNET_BIN"],
                   "--data-plane", data_plane, "--devices", str(self.devices), "--rate", str(self.rate),
                   "--tcp-mbit", str(self.tcp_mbit), "--json", report, "--no-time-limits", *([] if QEMU else ["--no-nat"])]
        sys.stdout.flush()
        code = subprocess.run(command).returncode
        self.assertTrue(os.path.exists(report), "the demo did not come to its end")
        with open(report) as f:
            return code, json.load(f)

    def passes(self, data_plane, planes):
        code, said = self.run_demo(data_plane)
        self.assertEqual(said["data_planes"], planes)
        self.assertEqual(said["cleartext_packets"], 0)
        self.assertEqual((code, said["pass"]), (0, True))

    def test_kernel_everywhere(self):
        self.passes("kernel", ["kernel"] * self.devices)

    def test_mixed(self):
        self.passes("mixed", ["userspace", "kernel"] * (self.devices // 2))
