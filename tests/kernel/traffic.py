# SPDX-License-Identifier: Apache-2.0
"""A mesh under counted traffic, and what the wires saw of it: the base of the end-to-end cases here."""
import json
import os
import signal
import struct
import sys

from support import BIN, MeshTest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "tests", "chaos"))

import accounting  # noqa: E402
import report  # noqa: E402  (tools/demo)
from mesh import CONTROL_PORT, ESP_PORT  # noqa: E402
from phases import Phases  # noqa: E402

# What never was a user's packet, or was not lost (docs/drops.md).
NO_LOSS = {"link-scope", "probe-no-sa", "probe-send", "dummy"}
PAYLOAD = 333   # octets of a counted datagram; no probe has the length that makes


class TrafficTest(MeshTest):
    """devices, the flags of each one's agent, and datagrams a second and direction."""
    devices = 3
    rate = 50
    tcp_mbit = 0.2
    agent_flags = {}   # device name -> flags; nothing for the rest

    def setUp(self):
        super().setUp()
        self.traffic, self.wires = [], {}
        self.phases = Phases(self.mesh, print)

    # -- starting ------------------------------------------------------------------------------
    def start_mesh(self):
        self.start_controller()
        for device in self.mesh.devices:
            self.mesh.join(device)

    def launch(self, device):
        return self.mesh.start_agent(device, self.agent_flags.get(device.name, ()))

    def start_device(self, device):
        agent = self.launch(device)
        wanted = len(self.mesh.devices) - 1
        # Traffic may start once the agent guards the prefixes; before its first run nothing does.
        self.lab.wait(f"{device.name}'s peer table", lambda: len(device.api("GET", "/api/v1/peers")["items"]) == wanted, 30,
                      watch=[agent])
        self.start_traffic(device)

    def start_traffic(self, device):
        summary = os.path.join(self.lab.dir, f"{device.name}.traffic.json")
        self.traffic.append(self.mesh.start_traffic(device, self.rate, "--tcp-mbit", self.tcp_mbit, "--payload", PAYLOAD,
                                                    "--summary", summary))

    def dump(self, name, ns, *what):
        """tcpdump with room for a slow machine: (process, path)."""
        path = os.path.join(self.lab.dir, f"{name}.pcap")
        process = self.lab.start(f"wire-{name}", ["tcpdump", *what, "-s", "128", "-B", "65536", "-U", "-n", "-Z", "root", "-w", path],
                                 ns=ns)
        self.lab.wait("the capture", lambda: os.path.exists(path) and os.path.getsize(path) >= 24, 20, watch=[process])
        return process, path

    def capture_underlay(self):
        """What comes to the router, from everybody."""
        return self.dump("underlay", self.mesh.router, "-i", "any", "-Q", "in")

    def capture_wire(self, device):
        """Both directions of a device's outer link."""
        process, path = self.dump(device.name, device.ns, "-i", "up0")
        self.wires[device.name] = (path, process)

    # -- ending --------------------------------------------------------------------------------
    def stop_traffic(self):
        for _, process in self.traffic:
            self.assertEqual(process.stop(), 0, process.tail())
        return [log for log, _ in self.traffic]

    def await_written(self, device):
        """Returns when the capture of a device's wire has written all that came before now, which a slow machine
        does late: a datagram sent now has to stand in it."""
        path, process = self.wires[device.name]
        mark = f"the end of {os.path.basename(path)}"
        router = device.endpoint.rsplit(":", 1)[0].rsplit(".", 1)[0] + ".1"
        self.lab.run(["ip", "netns", "exec", device.ns, "bash", "-c", f"printf '{mark}' > /dev/udp/{router}/9"])

        def written():
            with open(path, "rb") as f:
                return mark.encode() in f.read()

        self.lab.wait(f"the capture to reach {mark}", written, 30, every=0.2, watch=[process])

    def stop_capture(self, process):
        """Ends a tcpdump; what its kernel dropped would be missing from every count."""
        process.stop(signal.SIGINT)
        self.assertRegex(process.tail(), r"(?m)^0 packets dropped by kernel")

    def figures_by_phase(self, logs):
        path = os.path.join(self.lab.dir, "phases.json")
        with open(path, "w") as f:
            json.dump([w.as_json() for w in self.phases.windows], f)
        n = len(self.mesh.devices)
        return report.build(self.phases.windows, report.figures(BIN, path, logs), n * (n - 1))

    def tcp_is_intact(self, logs):
        summaries = []
        for log in logs:
            with open(log + ".json") as f:
                summaries.append(json.load(f))
        self.assertEqual(sum(s["tcp_wrong_octets"] for s in summaries), 0)
        self.assertGreater(sum(s["tcp_received_octets"] for s in summaries), 0)

    def nothing_in_clear(self, pcap):
        inner = ["10.77.0.0/16", "fd77:77::/32"]
        inner += [f"{self.mesh.agent_status(d)['mesh_address']}/128" for d in self.mesh.devices]
        seen = report.capture(BIN, pcap, CONTROL_PORT, inner)
        self.assertGreater(seen["esp_packets"], 0)
        self.assertEqual((seen["cleartext_packets"], seen["iv_repeats"], seen["by_kind"].get("unexplained", 0)), (0, 0, 0),
                         seen["examples"])
        return seen

    # -- counting ------------------------------------------------------------------------------
    def drops(self):
        return {name: n for name, n in self.mesh.drops().items() if n and name not in NO_LOSS}

    @staticmethod
    def new_drops(before, after):
        return {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0)}

    @staticmethod
    def directions(logs):
        """{(source, target): Direction} of the raw logs."""
        parsed = []
        for log in logs:
            with open(log, "rb") as f:
                parsed.append(accounting.parse_log(f.read()))
        return accounting.directions(parsed)


def counted_length(direction_is_v6):
    """Octets of ESP that a counted datagram makes with AES-GCM (RFC 4303, 16 octets of ICV)."""
    inner = (40 if direction_is_v6 else 20) + 8 + PAYLOAD
    return 8 + 8 + (inner + 2 + 3) // 4 * 4 + 16


def esp_of(pcap):
    """[(source, target, SPI, sequence number, octets of ESP)] in a capture of an Ethernet link, in order; IPv4 outside."""
    with open(pcap, "rb") as f:
        data = f.read()
    if struct.unpack_from("<I", data)[0] != 0xa1b2c3d4 or struct.unpack_from("<I", data, 20)[0] != 1:
        raise ValueError("not a little-endian Ethernet capture with microseconds")
    found, at = [], 24
    while at + 16 <= len(data):
        captured, = struct.unpack_from("<I", data, at + 8)
        frame = data[at + 16:at + 16 + captured]
        at += 16 + captured
        if len(frame) < 50 or frame[12:14] != b"\x08\x00":
            continue
        head = (frame[14] & 15) * 4
        payload = frame[14 + head:]
        length = struct.unpack_from(">H", frame, 16)[0] - head
        if frame[23] == 17 and ESP_PORT in struct.unpack_from(">HH", payload):
            payload, length = payload[8:], length - 8
        elif frame[23] != 50:
            continue
        spi, sequence = struct.unpack_from(">II", payload) if length >= 8 else (0, 0)
        if spi:
            found.append((frame[26:30], frame[30:34], spi, sequence, length))
    return found
