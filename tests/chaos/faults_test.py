#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bad lines, full disks and jumping clocks under counted traffic: nothing is lost that they do not explain."""
import json
import os
import signal
import struct
import sys
import time
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import accounting  # noqa: E402
from support import BIN, MeshTest  # noqa: E402

PAYLOAD = 400  # but for path probes, no other packet of the mesh is as long
SMALLEST_PATH_PROBE = 1280  # docs/protocol.md section 6.6; the counted datagrams stay far below it when sealed
RATE = 50
SEED = int(os.environ.get("CYGNET_CHAOS_SEED", "1"))


class FaultTest(MeshTest):
    devices = 3

    def start_traffic(self):
        self.traffic = []
        for d in self.mesh.devices:
            self.traffic.append(self.mesh.start_traffic(d, RATE, "--tcp-mbit", 0, "--payload", PAYLOAD, ipv6=False))
        self.lab.wait("the endpoints to listen", lambda: all(self.listens(p) for _, p in self.traffic), 20)
        self.start_ns = time.monotonic_ns()

    def listens(self, process):
        with open(f"/proc/{process.pid}/net/udp") as f:
            return sum(1 for line in f.readlines()[1:] if line.split()[1].endswith(":2328")) == 1

    def stop_traffic(self):
        """Everything sent until now may still arrive; then the logs are read."""
        end_ns = time.monotonic_ns()
        self.lab.wait("the silence after the last datagram", lambda: time.monotonic_ns() > end_ns + accounting.SILENCE_NS, 10)
        for _, process in self.traffic:
            process.stop()
        logs = []
        for path, _ in self.traffic:
            with open(path, "rb") as f:
                logs.append(accounting.parse_log(f.read()))
        return logs, end_ns

    def assert_nothing_lost(self, least=1000):
        logs, end_ns = self.stop_traffic()
        figures = accounting.account(logs, [], [], self.start_ns, end_ns)
        self.assertEqual([vars(x) for x in figures["outside"][:10]], [], f"{figures['lost']} lost of {figures['sent']}")
        self.assertEqual(figures["duplicated"], 0)
        self.assertGreater(figures["sent"], least)

    def counters(self):
        return {d.name: self.mesh.agent_status(d)["generation"]["counter"] for d in self.mesh.devices}

    def rekey_and_wait(self, *names):
        before = self.counters()
        if names:
            for name in names:
                self.mesh.ctl("POST", f"/api/v1/devices/{name}/rekey", {})
        else:
            self.mesh.ctl("POST", "/api/v1/rekey", {})
        names = names or tuple(before)

        def rekeyed():
            now = self.counters()
            return all(now[n] != before[n] for n in names) and self.mesh.newest_on_newest()

        self.lab.wait(f"{', '.join(names)} on new generations everywhere", rekeyed, 60, every=0.1)


class BadLine(FaultTest):
    """5 % lost, 20 % held back up to 30 ms, 3 % twice, on the way between devices and to the controller."""

    def shape(self):
        self.report = os.path.join(self.lab.dir, "shaper.json")
        router = self.mesh.router
        self.shaper = self.lab.start("shaper", ["/usr/bin/python3", os.path.join(HERE, "shaper.py"), "--loss", "0.05",
                                                "--reorder", "0.2", "--delay-ms", "30", "--duplicate", "0.03",
                                                "--seed", str(SEED), "--report", self.report], ns=router)
        self.lab.wait("the shaper", lambda: "ready" in self.shaper.tail(), 10, watch=[self.shaper])
        self.lab.ip(router, "link", "set", "shape0", "txqueuelen", "10000", "up")
        self.lab.ip(router, "route", "add", "default", "dev", "shape0", "table", "77")
        for name in ["c"] + [d.name for d in self.mesh.devices]:
            self.lab.ip(router, "rule", "add", "iif", f"to-{name}", "lookup", "77")

    def test_only_what_the_line_loses_is_lost(self):
        print(f"seed {SEED}")
        self.start_all()
        # What the line sends again has a lower hop limit; the copies it makes are not the devices'.
        path = os.path.join(self.lab.dir, "ingress.pcap")
        tcpdump = self.lab.start("tcpdump", ["tcpdump", "-i", "any", "-Q", "in", "-s", "160", "--immediate-mode", "-U", "-n", "-Z", "root",
                                             "-w", path, "not (udp port 4500 and ip[8] < 64)"], ns=self.mesh.router)
        self.lab.wait("the capture", lambda: os.path.exists(path) and os.path.getsize(path) >= 24, 10, watch=[tcpdump])
        self.shape()
        self.start_traffic()
        self.rekey_and_wait("d1")
        self.rekey_and_wait("d1", "d2")
        self.rekey_and_wait()
        self.mesh.controller.send(signal.SIGKILL)
        self.mesh.controller.popen.wait(5)
        for d in self.mesh.devices[:2]:
            d.api("POST", "/api/v1/rekey", {})
        before = self.counters()
        self.mesh.start_controller()
        self.mesh.await_controller()
        self.lab.wait("the rekeys that waited", lambda: all(self.counters()[n] != before[n] or self.mesh.newest_on_newest()
                                                            for n in ("d1", "d2")) and self.mesh.newest_on_newest(), 60, every=0.1)
        logs, end_ns = self.stop_traffic()
        tcpdump.stop(signal.SIGINT)
        self.assertEqual(self.shaper.stop(signal.SIGTERM), 0, self.shaper.tail())
        with open(self.report) as f:
            shaped = json.load(f)
        lost = accounting.lost_by_direction(logs, self.start_ns, end_ns)
        line = {key: 0 for key in lost}
        for at, source, target, length in shaped["dropped"]:
            if PAYLOAD < length < SMALLEST_PATH_PROBE and self.start_ns <= at < end_ns + accounting.SILENCE_NS:
                line[(source, target)] += 1
        sent = sum(1 for d in accounting.directions(logs).values() for t, _, _ in d.sent if t < end_ns)
        print(f"sent {sent}, lost {sum(lost.values())}, dropped by the line {sum(line.values())} of them and of what came after; "
              f"delayed {shaped['delayed']}, doubled {shaped['duplicated']}")
        self.assertGreater(sum(lost.values()), 20, "the line lost next to nothing")
        self.assertGreater(shaped["delayed"], 100)
        self.assertGreater(shaped["duplicated"], 20)
        dropped_after = {key: 0 for key in lost}  # the line's drops of what was sent after end_ns are not counted as lost
        after = accounting.lost_by_direction(logs, end_ns, end_ns + accounting.SILENCE_NS)
        for key, n in after.items():
            dropped_after[key] = n
        for key in lost:
            self.assertLessEqual(lost[key], line[key], f"{key}: more lost than the line dropped")
            self.assertGreaterEqual(lost[key] + dropped_after[key], line[key], f"{key}: the line's drops are among the losses")
        for key, d in accounting.directions(logs).items():
            self.assertEqual(d.duplicated, 0, f"{key}: a doubled packet was delivered twice")
        seen = self.figures(path)
        self.assertEqual(seen["iv_repeats"], 0)
        self.assertEqual(seen["cleartext_packets"], 0, seen["examples"])


class FullDisk(FaultTest):
    devices = 2

    def small_disk(self, name):
        path = os.path.join(self.lab.dir, name)
        os.makedirs(path)
        self.lab.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", path])
        self.addCleanup(lambda: self.lab.run(["umount", "-l", path], check=False))
        return path

    @staticmethod
    def fill(path):
        filler = os.path.join(path, "filler")
        with open(filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                return filler

    def test_a_device_whose_disk_is_full_keeps_its_keys_and_goes_on_when_there_is_room(self):
        a, b = self.mesh.devices
        disk = self.small_disk("device-disk")
        a.state = os.path.join(disk, "d1")
        self.start_all()
        self.start_traffic()
        filler = self.fill(disk)
        published = lambda name: self.mesh.ctl("GET", f"/api/v1/devices/{name}")["counter"]
        before = {d.name: published(d.name) for d in (a, b)}
        self.device_command(a, "rekey", "--agent")
        self.lab.wait("a word about the disk", lambda: "No space left" in a.agent.tail(40), 20, watch=[a.agent])
        self.assertGreater(self.mesh.agent_status(a)["alarms"].get("disk-full", 0), 0)
        self.mesh.ctl("POST", "/api/v1/devices/d2/rekey", {})

        def moved():  # d1's own newest is not published, so only d2 can be on newest x newest
            (seen,) = b.api("GET", "/api/v1/peers")["items"]
            return published("d2") != before["d2"] and seen["newest_on_newest"] and seen["confirmed"]

        self.lab.wait("d2 on its new generation", moved, 60, every=0.1, watch=[a.agent])
        self.assertEqual(published("d1"), before["d1"], "what is not on disk is not published")
        os.unlink(filler)
        self.lab.wait("the rekey after all", lambda: published("d1") != before["d1"] and self.mesh.newest_on_newest(), 60,
                      every=0.1, watch=[a.agent])
        self.assert_nothing_lost(least=100)

    def test_a_device_does_not_start_when_it_cannot_store_its_boot_count(self):
        a, b = self.mesh.devices
        disk = self.small_disk("device-disk")
        a.state = os.path.join(disk, "d1")
        self.start_all()
        before = self.counters()["d1"]
        filler = self.fill(disk)
        a.agent.send(signal.SIGKILL)
        a.agent.popen.wait(5)
        agent = self.mesh.start_agent(a)
        self.lab.wait("the refusal", lambda: not agent.alive(), 20)
        self.assertNotEqual(agent.popen.returncode, 0)
        self.assertIn("No space left", agent.tail(10))
        os.unlink(filler)
        self.mesh.start_agent(a)
        self.await_settled()
        boot = lambda counter: int(counter.split(".")[0])
        self.assertEqual(boot(self.counters()["d1"]), boot(before) + 1)

    def test_a_controller_whose_disk_is_full_loses_nobody_a_packet(self):
        disk = self.small_disk("controller-disk")
        self.mesh.controller_state = os.path.join(disk, "controller")
        self.start_all()
        self.start_traffic()
        before = self.counters()
        filler = self.fill(disk)
        for d in self.mesh.devices:
            d.api("POST", "/api/v1/rekey", {})
        self.lab.wait("refusals", lambda: self.mesh.ctl("GET", "/api/v1/status")["counters"].get("publish-refused.disk-full", 0) > 1, 30)
        os.unlink(filler)
        self.lab.wait("the rekeys after all", lambda: all(self.counters()[n] != before[n] for n in before) and
                      self.mesh.newest_on_newest(), 60, every=0.1)
        self.assert_nothing_lost(least=100)


class ClockJumps(FaultTest):
    """Clocks that are set forward and back while everything runs; monotonic time goes on, as it does in a kernel."""
    devices = 3

    def with_clock(self, name, start):
        """Starts a daemon whose wall clock set() moves."""
        library = os.path.join(BIN, "libcygnet_test_clock.so")
        self.assertTrue(os.path.exists(library), f"no {library}: ./dev build first")
        path = os.path.join(self.lab.dir, f"{name}.clock")
        with open(path, "wb") as f:
            f.write(bytes(8))
        with mock.patch.dict(os.environ, {"LD_PRELOAD": library, "CYGNET_TEST_CLOCK": path}):
            start()

    def set(self, name, seconds):
        with open(os.path.join(self.lab.dir, f"{name}.clock"), "r+b") as f:
            f.write(struct.pack("=q", seconds))

    def assert_jumped(self, at_ms, seconds):
        self.assertLess(abs(at_ms / 1000 - time.time() - seconds), 120, "the daemon did not see its clock jump")

    def test_a_rekey_goes_through_whatever_the_clocks_say_and_nothing_is_lost(self):
        a = self.mesh.devices[0]
        self.mesh.init_controller()
        self.with_clock("controller", self.mesh.start_controller)
        self.mesh.await_controller()
        self.mesh.cygnet("apply", "-f", self.mesh.write_policy())
        for d in self.mesh.devices:
            self.mesh.join(d)
        self.with_clock("d1", lambda: self.mesh.start_agent(a))
        for d in self.mesh.devices[1:]:
            self.mesh.start_agent(d)
        self.await_settled()
        self.start_traffic()
        for seconds in (2 * 3600, -3 * 3600, 0):
            with self.subTest(f"d1 by {seconds} s"):
                self.set("d1", seconds)
                self.rekey_and_wait("d1")
                if seconds > 0:  # once it went back, SAs of before the jump have the later times
                    self.assert_jumped(max(i["installed_at_ms"] for i in a.api("GET", "/api/v1/sa")["items"]), seconds)
                self.rekey_and_wait("d2")
        with self.subTest("d1 by 40 days: certificates have expired there, the SAs stay"):
            self.set("d1", 40 * 86400)
            self.rekey_and_wait("d1")
            self.mesh.ctl("POST", "/api/v1/devices/d2/rekey", {})
            self.lab.wait("the refusal", lambda: self.mesh.agent_status(a)["refused"].get("certificate-expired", 0) > 0, 20, every=0.1)
            self.assertEqual(self.ping(a, self.mesh.devices[1].inner4), 3)
            self.set("d1", 0)
            self.rekey_and_wait("d2")  # its next DIM finds the clock right
        for seconds in (2 * 3600, -60):
            with self.subTest(f"the controller by {seconds} s"):
                self.set("controller", seconds)
                self.rekey_and_wait()
                self.assert_jumped(self.mesh.ctl("GET", "/api/v1/devices/d2")["accepted_at"], seconds)
        with self.subTest("the controller by 3 hours back: certificates are not valid yet there, publishes wait"):
            refusals = lambda: self.mesh.ctl("GET", "/api/v1/status")["counters"].get("publish-refused.certificate-expired", 0)
            self.set("controller", -3 * 3600)
            before = self.counters()
            self.mesh.ctl("POST", "/api/v1/rekey", {})
            self.lab.wait("refusals of all three", lambda: refusals() >= 3, 20, every=0.1)
            self.set("controller", 0)
            self.lab.wait("the rekeys after all", lambda: all(self.counters()[n] != before[n] for n in before) and
                          self.mesh.newest_on_newest(), 60, every=0.1)
        self.assert_nothing_lost()


if __name__ == "__main__":
    unittest.main(verbosity=2)
