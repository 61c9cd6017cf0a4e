#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The way between two devices: IPv6 outside, endpoints given or learned, addresses that change, NATs, small MTUs."""
import re
import signal
import subprocess
import unittest

from support import ESP_PORT, MeshTest


class Paths(MeshTest):
    """What the tests of this file share."""

    def peer(self, device, other):
        return next(i for i in device.api("GET", "/api/v1/peers")["items"] if i["name"].startswith(other.name + "."))

    def endpoint(self, device, other):
        return self.peer(device, other)["endpoint"] or ""

    def all_pass(self):
        for x in self.mesh.devices:
            for y in self.mesh.devices:
                if x is not y:
                    self.assertEqual(self.ping(x, y.inner4), 3)
                    self.assertEqual(self.ping(x, y.inner6), 3)

    def stream(self, device, other, count):
        """Pings other from device every 20 ms in the background."""
        return subprocess.Popen(["ip", "netns", "exec", device.ns, "ping", "-n", "-q", "-c", str(count), "-i", "0.02", "-W", "2", "-I",
                                 device.inner4, other.inner4], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def lost(self, stream):
        text = stream.communicate(timeout=60)[0]
        sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
        self.assertGreater(received, 0, text)
        return sent - received


class Ipv6Outside(Paths):
    devices = 3

    def test_controller_and_devices_over_ipv6_only(self):
        self.mesh.controller_address = "[2001:db8:c8::2]"
        for d in self.mesh.devices:
            d.endpoint = f"[2001:db8:{d.number:x}::2]:{ESP_PORT}"
            self.lab.ip(d.ns, "-4", "addr", "flush", "dev", "up0")
        self.lab.ip(self.mesh.controller_ns, "-4", "addr", "flush", "dev", "up0")
        tcpdump, path = self.capture()
        self.start_all()
        self.all_pass()
        a, b, c = self.mesh.devices
        self.assertEqual(self.endpoint(a, b), b.endpoint)
        with self.subTest("a rekey too"):
            before = self.mesh.agent_status(a)["generation"]["counter"]
            self.mesh.cygnet("rekey", "d1")
            self.lab.wait("a new generation", lambda: self.mesh.agent_status(a)["generation"]["counter"] != before, 20)
            self.await_settled()
            self.all_pass()
        with self.subTest("nothing went over IPv4, nothing in clear"):
            tcpdump.stop(signal.SIGINT)
            self.assertEqual(self.lab.run(["tcpdump", "-n", "-r", path, "ip"], check=False).stdout, "")
            seen = self.figures(path)
            self.assertGreater(seen["esp_packets"], 36)
            self.assertEqual(seen["cleartext_packets"], 0, seen["examples"])
            self.assertEqual(seen["iv_repeats"], 0)


class LearnedEndpoints(Paths):
    devices = 3

    def test_endpoints_that_nobody_configured_are_learned(self):
        for d in self.mesh.devices:
            d.endpoint = None
        self.start_all()
        self.all_pass()
        a, b, c = self.mesh.devices
        self.assertEqual(self.endpoint(a, b), f"198.18.2.2:{ESP_PORT}")
        self.assertTrue(self.peer(a, b)["endpoint_learned"])
        self.assertEqual(self.mesh.agent_status(a)["seen_endpoint"], f"198.18.1.2:{ESP_PORT}")


class Roaming(Paths):
    devices = 3

    def test_a_device_that_changes_its_address_under_traffic(self):
        self.start_all()
        a, b, c = self.mesh.devices
        traffic = [self.stream(b, a, 400), self.stream(a, c, 400)]
        # As a DHCP client does it: the new address first, then the old one goes.
        self.lab.sysctl(b.ns, "net.ipv4.conf.all.promote_secondaries", 1)
        self.lab.ip(b.ns, "addr", "add", "198.18.2.7/24", "dev", "up0")
        self.lab.ip(b.ns, "addr", "del", "198.18.2.2/24", "dev", "up0")
        self.lab.ip(b.ns, "route", "replace", "default", "via", "198.18.2.1")
        self.lab.wait("a to see b's new address", lambda: self.endpoint(a, b) == f"198.18.2.7:{ESP_PORT}", 10)
        self.assertTrue(self.peer(a, b)["endpoint_learned"])
        lost, untouched = (self.lost(t) for t in traffic)
        self.assertLessEqual(lost, 10, "packets lost while the address changed, of 400")
        self.assertEqual(untouched, 0)
        with self.subTest("the controller is found again, and a rekey works"):
            before = self.mesh.agent_status(b)["generation"]["counter"]
            self.device_command(b, "rekey", "--agent")
            self.lab.wait("a new generation of b", lambda: self.mesh.agent_status(b)["generation"]["counter"] != before and
                          self.mesh.agent_status(b)["generation"]["state"] == "accepted", 60)
            self.await_settled()
            self.assertEqual(self.ping(a, b.inner4), 3)
            self.assertEqual(self.ping(c, b.inner6), 3)


class BehindNat(Paths):
    devices = 3
    nat = True

    def test_a_nat_that_changes_its_outer_address_under_traffic(self):
        config = f"{self.lab.dir}/agent.yaml"
        with open(config, "w") as f:
            f.write("keepalive: 2s\n")
        self.start_all(["--config", config])
        self.all_pass()
        a, b, c = self.mesh.devices
        seen = self.endpoint(a, c)
        self.assertTrue(seen.startswith("198.18.3.2:"), seen)
        self.assertTrue(self.peer(a, c)["endpoint_learned"])
        nat = self.lab.prefix + "-nat3"
        traffic = [self.stream(c, a, 400), self.stream(a, b, 400)]
        self.lab.sysctl(nat, "net.ipv4.conf.all.promote_secondaries", 1)
        self.lab.ip(nat, "addr", "add", "198.18.3.9/24", "dev", "up0")
        self.lab.ip(nat, "addr", "del", "198.18.3.2/24", "dev", "up0")
        self.lab.ip(nat, "route", "replace", "default", "via", "198.18.3.1")
        self.lab.wait("a to see the new outer address", lambda: self.endpoint(a, c).startswith("198.18.3.9:"), 10)
        lost, untouched = (self.lost(t) for t in traffic)
        self.assertLessEqual(lost, 20, "packets lost while the address changed, of 400")
        self.assertEqual(untouched, 0)
        with self.subTest("a pair that says nothing finds out as well"):
            self.lab.wait("b to see it too", lambda: self.endpoint(b, c).startswith("198.18.3.9:"), 20)
        self.all_pass()


class SizedPaths(Paths):
    devices = 2

    def ping_size(self, device, address, size, fragment):
        source = device.inner6 if ":" in address else device.inner4
        return self.lab.run(["ip", "netns", "exec", device.ns, "ping", "-n", "-c", "2", "-i", "0.05", "-W", "2", "-s", str(size),
                             "-M", "dont" if fragment else "do", "-I", source, address], check=False)

    def transfer(self, from_ns, source, to_ns, address):
        """300,000 octets there and their count back."""
        family = "AF_INET6" if ":" in address else "AF_INET"
        server = self.lab.start(f"server{len(self.lab.processes)}", ["/usr/bin/python3", "-c", (
            f"import socket; s=socket.socket(socket.{family}); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
            f"s.bind(('{address}', 8080)); s.listen(1); print('listens', flush=True); c, _ = s.accept(); n = 0\n"
            "while (d := c.recv(65536)): n += len(d)\n"
            "c.sendall(str(n).encode() + b'x' * 100000); c.close()\n")], ns=to_ns)
        self.lab.wait("the server", lambda: "listens" in server.tail(), 10)
        done = self.lab.run(["ip", "netns", "exec", from_ns, "timeout", "30", "/usr/bin/python3", "-c", (
            f"import socket; s=socket.socket(socket.{family}); s.bind(('{source}', 0)); s.connect(('{address}', 8080))\n"
            "s.sendall(b'y' * 300000); s.shutdown(socket.SHUT_WR); got = b''\n"
            "while (d := s.recv(65536)): got += d\n"
            "print(len(got), got[:6].decode())\n")])
        self.assertEqual(done.stdout.split(), ["100006", "300000"])


class Mtu(SizedPaths):
    def test_large_packets(self):
        # A host behind d1, so that packets come in from outside and not only from the device itself.
        a, b = self.mesh.devices
        lan = self.lab.namespace("lan")
        self.lab.veth(lan, "eth0", ["10.77.1.50/24", "fd77:77:1::50/64"], a.ns, "lan0", ["10.77.1.2/24", "fd77:77:1::2/64"])
        self.lab.ip(lan, "route", "add", "default", "via", "10.77.1.2")
        self.lab.ip(lan, "-6", "route", "add", "default", "via", "fd77:77:1::2")
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.lab.sysctl(a.ns, key, 1)
        self.start_all()
        with self.subTest("as large as the tunnel takes, and not an octet more"):
            for address, header in ((b.inner4, 28), (b.inner6, 48)):
                self.assertIn(" 2 received", self.ping_size(a, address, 1400 - header, False).stdout)
                done = self.ping_size(a, address, 1401 - header, False)
                self.assertIn("1400", done.stdout + done.stderr, "the error names the MTU")
                self.assertNotIn(" 2 received", done.stdout)
                self.assertIn(" 2 received", self.ping_size(a, address, 4000, True).stdout, "in fragments")
        with self.subTest("a forwarded packet with DF is answered with the MTU"):
            for address, too_big in ((b.inner4, "Frag needed and DF set (mtu = 1400)"), (b.inner6, "Packet too big: mtu=1400")):
                done = self.lab.run(["ip", "netns", "exec", lan, "ping", "-n", "-c", "2", "-W", "2", "-s", "1440", "-M", "do", address],
                                    check=False)
                self.assertIn(too_big, done.stdout)
        with self.subTest("TCP fits by itself, both ways"):
            self.transfer(lan, "10.77.1.50", b.ns, b.inner4)
            self.transfer(lan, "fd77:77:1::50", b.ns, b.inner6)
        with self.subTest("an underlay with less room: fragments outside, nothing lost"):
            for ns, link in ((self.mesh.router, "to-d1"), (a.ns, "up0")):
                self.lab.ip(ns, "link", "set", link, "mtu", "1300")
            self.assertIn(" 2 received", self.ping_size(a, b.inner4, 1372, False).stdout)
            self.assertIn(" 2 received", self.ping_size(b, a.inner6, 1352, False).stdout)
            self.transfer(lan, "10.77.1.50", b.ns, b.inner4)
        drops = self.mesh.drops()
        self.assertEqual({n: c for n, c in drops.items() if c}, {}, "none of it is a loss of the data plane")


class PathMtu(SizedPaths):
    """A path that carries less than its ends and tells nobody: the router may not send ICMP about it."""
    overhead = 62  # IPv4, UDP, ESP with AES-GCM, without padding
    least = {4: 1280, 6: 1280}  # by family, when not even the floor passes whole

    def narrow(self, mtu):
        a, b = self.mesh.devices
        for ns, link in ((self.mesh.router, "to-d2"), (b.ns, "up0")):
            self.lab.ip(ns, "link", "set", link, "mtu", str(mtu))

    def block_icmp(self):
        for rule in ("add table inet quiet", "add chain inet quiet out { type filter hook output priority 0 ; }",
                     "add rule inet quiet out icmp type destination-unreachable icmp code frag-needed drop",
                     "add rule inet quiet out icmpv6 type packet-too-big drop"):
            self.lab.run(["ip", "netns", "exec", self.mesh.router, "nft", rule])

    def outside(self):
        """IPv4 as it stands."""

    def path_mtu(self, device, other):
        return self.peer(device, other)["path_mtu"]

    def await_path(self, what, timeout, **expected):
        """Under traffic, as nothing is probed without."""
        a, b = self.mesh.devices

        def there():
            self.ping(a, b.inner4, 1)
            return all(all(self.path_mtu(x, y)[key] == value for key, value in expected.items()) for x, y in ((a, b), (b, a)))
        self.lab.wait(what, there, timeout)

    def large_packets_pass(self, sizes):
        """sizes: the largest IPv4 packet and the largest IPv6 packet."""
        a, b = self.mesh.devices
        for x, y in ((a, b), (b, a), (a, b)):
            self.ping_size(x, y.inner6, 4000, True)  # IPv6 hosts learn the size by losing a packet
        for x, y in ((a, b), (b, a)):
            for address, header, largest in ((y.inner4, 28, sizes[4]), (y.inner6, 48, sizes.get(6))):
                if largest is None:
                    continue
                self.assertIn(" 2 received", self.ping_size(x, address, largest - header, False).stdout)
                done = self.ping_size(x, address, largest + 1 - header, False)
                self.assertIn(str(largest), done.stdout + done.stderr, "the error names the size")
                self.assertIn(" 2 received", self.ping_size(x, address, 4000, True).stdout, "in fragments")
            self.transfer(x.ns, x.inner4, y.ns, y.inner4)
            self.transfer(x.ns, x.inner6, y.ns, y.inner6)

    def outer_fragments(self, pcap):
        out = self.lab.run(["tcpdump", "-n", "-r", pcap, "(ip[6:2] & 0x3fff != 0) or (ip6[6] == 44)"], check=False)
        return len(out.stdout.splitlines())

    def test_what_a_path_carries_is_found_without_icmp(self):
        a, b = self.mesh.devices
        config = f"{self.lab.dir}/agent.yaml"
        with open(config, "w") as f:
            f.write("path_mtu_raise: 1m\n")
        # What the kernel is told of a smaller size it remembers for ten minutes, if it is let.
        for d in (a, b):
            for family in ("ipv4", "ipv6"):
                self.lab.sysctl(d.ns, f"net.{family}.route.mtu_expires", 8)
        self.block_icmp()
        self.narrow(1400)
        self.outside()
        self.start_all(["--config", config])
        self.assertIsNone(self.path_mtu(a, b), "no traffic, no probes")
        found = 1400 - self.overhead
        with self.subTest("a path of 1400 octets"):
            self.await_path("the path MTU", 60, state="found", inner=found, whole=True)
            tcpdump, pcap = self.capture()
            self.large_packets_pass({4: found, 6: found})
            tcpdump.stop(signal.SIGINT)
            self.assertEqual(self.outer_fragments(pcap), 0)
        with self.subTest("status and why name it"):
            self.assertEqual(self.mesh.agent_status(a)["path_mtu"], {"smallest": found, "peers": {"found": 1}, "black_holes": 0})
            why = self.device_command(a, "why", b.name).stdout
            self.assertIn(f"{found} octets inside the tunnel, found by probes", why)
        with self.subTest("it shrinks to 1280, which leaves less than a tunnel must offer"):
            self.narrow(1280)
            self.await_path("the black hole", 60, state="too-small", inner=1280, whole=False)
            self.large_packets_pass(self.least)
            self.assertEqual(self.path_mtu(a, b)["black_holes"], 1)
            self.assertIn("fragments", self.device_command(a, "why", b.name).stdout)
        with self.subTest("it grows again"):
            self.narrow(1500)
            self.await_path("the larger path MTU", 60, state="found", inner=1400, whole=True)
            self.large_packets_pass({4: 1400, 6: 1400})
        drops = self.mesh.drops()
        drops.pop("too-big", None)  # what asked for the error
        self.assertEqual({n: c for n, c in drops.items() if c}, {})


class PathMtuOverIpv6(PathMtu):
    """Over IPv6 no router fragments. What a tunnel must offer to IPv6 inside does not fit a path of 1280 octets then; IPv4 and TCP do."""
    overhead = 82
    least = {4: 1198}

    def outside(self):
        self.mesh.controller_address = "[2001:db8:c8::2]"
        for d in self.mesh.devices:
            d.endpoint = f"[2001:db8:{d.number:x}::2]:{ESP_PORT}"
            self.lab.ip(d.ns, "-4", "addr", "flush", "dev", "up0")


if __name__ == "__main__":
    unittest.main(verbosity=2)
