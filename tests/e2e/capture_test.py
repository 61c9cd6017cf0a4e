#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Wireshark's dissectors read us: they open our ESP with exported keys, and our DIMs as IKEv2."""
import glob
import json
import os
import pathlib
import signal
import struct
import unittest

from support import BIN, MeshTest

KEYEXPORT_BIN = os.environ.get("CYGNET_KEYEXPORT_BIN", os.path.join(os.path.dirname(os.path.dirname(BIN)), "keyexport", "bin"))


def pcap_of(packets):
    """Ethernet pcap with the given IPv4 packets."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    for p in packets:
        frame = bytes(12) + b"\x08\x00" + p
        out += struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame
    return out


def udp4(payload, port=500):
    udp = struct.pack(">HHHH", port, port, 8 + len(payload), 0) + payload
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:] + udp


class TsharkOpensOurEsp(MeshTest):
    devices = 2
    bin_dir = KEYEXPORT_BIN

    def test_exported_keys_open_the_capture(self):
        keys = os.path.join(self.lab.dir, "keys")
        os.makedirs(keys)
        tcpdump, path = self.capture()
        self.start_controller()
        for device in self.mesh.devices:
            self.mesh.join(device)
        for device in self.mesh.devices:
            self.mesh.start_agent(device, ["--key-log", os.path.join(keys, device.name)])
        self.await_settled()
        a, b = self.mesh.devices
        self.assertIn("insecure", a.agent.tail(50).lower(), "a key-exporting build must say what it is")
        self.assertEqual(self.ping(a, b.inner4), 3)
        self.assertEqual(self.ping(a, b.inner6), 3)
        tcpdump.stop(signal.SIGINT)
        config = os.path.join(self.lab.dir, "wireshark")
        os.makedirs(config)
        with open(os.path.join(config, "esp_sa"), "w") as out:
            for name in glob.glob(keys + "/*"):
                out.write(pathlib.Path(name).read_text())
        done = self.lab.run(["tshark", "-r", path, "-o", "esp.enable_encryption_decode:TRUE",
                             "-o", "esp.enable_authentication_check:TRUE", "-d", "udp.port==4500,udpencap",
                             "-T", "fields", "-e", "_ws.col.Protocol", "-e", "ip.src", "-e", "ipv6.src", "-e", "esp.icv_good"],
                            env={**os.environ, "WIRESHARK_CONFIG_DIR": config, "HOME": self.lab.dir})
        lines = [l for l in done.stdout.splitlines() if l]
        inner4 = [l for l in lines if l.startswith("ICMP\t") and a.inner4 in l]
        inner6 = [l for l in lines if l.startswith("ICMPv6\t") and a.inner6 in l]
        self.assertGreaterEqual(len(inner4), 3, done.stdout[-3000:])
        self.assertGreaterEqual(len(inner6), 3, done.stdout[-3000:])

    def test_without_the_keys_nothing_opens(self):
        tcpdump, path = self.capture()
        self.start_all()
        a, b = self.mesh.devices
        self.assertEqual(self.ping(a, b.inner4), 3)
        tcpdump.stop(signal.SIGINT)
        done = self.lab.run(["tshark", "-r", path, "-d", "udp.port==4500,udpencap", "-T", "fields", "-e", "_ws.col.Protocol",
                             "-e", "ip.src"], env={**os.environ, "HOME": self.lab.dir})
        self.assertEqual([l for l in done.stdout.splitlines() if a.inner4 in l], [])


class TsharkReadsOurDim(MeshTest):
    devices = 2

    def test_a_dim_behind_an_ike_header_has_nothing_malformed(self):
        self.start_all()
        dims = json.loads(self.mesh.cygnet("-o", "json", "get", "dims").stdout)["items"]
        self.assertEqual(len(dims), 2)
        for row in dims:
            dim = bytes.fromhex(next(row[k] for k in ("dim", "hex", "octets") if isinstance(row.get(k), str)))
            # IKE header: SPIs, next payload IDi (35), version 2.0, IKE_AUTH (35), initiator, message id 1.
            ike = bytes(range(1, 17)) + struct.pack(">BBBBII", 35, 0x20, 35, 0x08, 1, 28 + len(dim)) + dim
            path = os.path.join(self.lab.dir, "dim.pcap")
            with open(path, "wb") as f:
                f.write(pcap_of([udp4(ike)]))
            text = self.lab.run(["tshark", "-r", path, "-V"], env={**os.environ, "HOME": self.lab.dir}).stdout
            self.assertNotIn("Malformed", text)
            at = -1
            for payload in ("Identification - Initiator (35)", "Notify (41)", "Security Association (33)", "Key Exchange (34)",
                            "Nonce (40)", "Authentication (39)"):
                found = text.find("Payload: " + payload)
                self.assertGreater(found, at, f"{payload} missing or out of order in\n{text}")
                at = found


if __name__ == "__main__":
    unittest.main(verbosity=2)
