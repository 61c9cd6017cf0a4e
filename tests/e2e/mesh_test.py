#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A mesh comes up with the commands a user types, and each command answers."""
import json
import pathlib
import unittest

from support import MeshTest


class MeshComesUp(MeshTest):
    devices = 3

    def test_join_ping_rekey_revoke_and_every_command(self):
        self.start_all()
        a, b, c = self.mesh.devices
        with self.subTest("inner IPv4 and IPv6 pass on every pair"):
            for x, y in ((a, b), (b, c), (c, a)):
                self.assertEqual(self.ping(x, y.inner4), 3)
                self.assertEqual(self.ping(x, y.inner6), 3)
        with self.subTest("device side commands"):
            for command in (["status"], ["sa"], ["peers"], ["why", "d2"], ["ping", "d2", "-c", "2"]):
                plain = self.device_command(a, *command)
                self.assertTrue(plain.stdout.strip(), command)
                json.loads(self.device_command(a, "-o", "json", *command).stdout)
            pinged = json.loads(self.device_command(a, "-o", "json", "ping", "d3", "-c", "3").stdout)
            self.assertEqual(pinged["received"], 3)
        with self.subTest("controller side commands"):
            for command in (["get", "devices"], ["get", "pairs"], ["get", "dims"], ["get", "tokens"], ["why", "d1", "d2"]):
                self.assertTrue(self.mesh.cygnet(*command).stdout.strip(), command)
                json.loads(self.mesh.cygnet("-o", "json", *command).stdout)
            pairs = json.loads(self.mesh.cygnet("-o", "json", "get", "pairs").stdout)["items"]
            self.assertEqual(len(pairs), 3)
            self.assertTrue(all(p["a_acknowledged_b"] and p["b_acknowledged_a"] for p in pairs), pairs)
        with self.subTest("plan says what would change and exits 2, and 0 when nothing would"):
            path = self.mesh.write_policy()
            self.assertEqual(self.mesh.cygnet("plan", "-f", path).returncode, 0)
            with open(path, "a") as f:
                f.write("")
            text = pathlib.Path(path).read_text().replace("rules:", "rules:\n  - {from: name=d3, to: name=d1, action: deny}").replace(
                "{from: d1, to: d3, expect: allow}", "{from: d1, to: d3, expect: deny}")
            with open(path, "w") as f:
                f.write(text)
            planned = self.mesh.cygnet("-o", "json", "plan", "-f", path, check=False)
            self.assertEqual(planned.returncode, 2, planned.stdout + planned.stderr)
            self.assertEqual(len(json.loads(planned.stdout)["pairs_removed"]), 1)
        with self.subTest("rekey by command, from both sides"):
            before = self.mesh.agent_status(a)["generation"]["counter"]
            self.mesh.cygnet("rekey", "d1")
            self.lab.wait("a new generation", lambda: self.mesh.agent_status(a)["generation"]["counter"] != before, 20)
            self.await_settled()
            before = self.mesh.agent_status(b)["generation"]["counter"]
            self.device_command(b, "rekey", "--agent")
            self.lab.wait("a new generation", lambda: self.mesh.agent_status(b)["generation"]["counter"] != before, 20)
            self.await_settled()
        with self.subTest("a revoked device reaches nobody"):
            self.mesh.cygnet("revoke", "d3")
            self.lab.wait("d3 gone from d1", lambda: all(not i["name"].startswith("d3.") or i["state"] != "up" for i in
                                                         a.api("GET", "/api/v1/peers")["items"]), 5)
            self.assertEqual(self.ping(a, c.inner4, 2), 0)
            self.assertEqual(self.ping(a, b.inner4), 3)


class BehindNat(MeshTest):
    devices = 2
    nat = True

    def test_a_device_behind_a_masquerading_router_is_reached_both_ways(self):
        self.start_all()
        a, b = self.mesh.devices
        self.assertEqual(self.ping(b, a.inner4), 3)
        self.assertEqual(self.ping(a, b.inner6), 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
