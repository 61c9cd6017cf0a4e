#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What users and attackers get wrong: each gets words that name the thing and the cure, and nothing changes."""
import json
import os
import pathlib
import shutil
import signal
import unittest

from support import BIN, CONTROL_PORT, MeshTest


class BadInput(MeshTest):
    devices = 2

    def token(self, *args):
        return json.loads(self.mesh.cygnet("-o", "json", "token", "create", *args).stdout)["join_line"].split()[-1]

    def join(self, device, line, state, *more):
        return self.mesh.command("cygnet-agent", "join", line, "--state", os.path.join(self.lab.dir, state), *more,
                                 ns=device.ns, check=False)

    def test_tokens(self):
        self.start_controller()
        a, b = self.mesh.devices
        good = self.token("--label", "role=site")
        self.assertEqual(self.join(a, good, "one", "--name", "d1").returncode, 0)
        with self.subTest("a used token"):
            text = self.refused(self.join(b, good, "two", "--name", "d2"), "token", "used")
            self.assertIn("token create", text)
        with self.subTest("a name that is taken"):
            self.refused(self.join(b, self.token("--name", "d1"), "two"), "d1", "another key")
        with self.subTest("a forged token"):
            parts = self.token("--name", "d2").split("/")
            parts[3] = ("0" if parts[3][0] != "0" else "1") + parts[3][1:]
            self.refused(self.join(b, "/".join(parts), "three"), "token")
        with self.subTest("a torn line"):
            self.refused(self.join(b, good[: len(good) // 2], "four"), "join line")
        with self.subTest("another controller's fingerprint"):
            line = self.token("--name", "d2")
            parts = line.split("/")
            at = next(i for i, p in enumerate(parts) if len(p) == 64)
            parts[at] = "00" * 32
            self.refused(self.join(b, "/".join(parts), "five"), "CA", "join line")
        with self.subTest("an expired token"):
            made = json.loads(self.mesh.cygnet("-o", "json", "token", "create", "--name", "d2", "--ttl", "1s").stdout)

            def state():
                items = json.loads(self.mesh.cygnet("-o", "json", "get", "tokens").stdout)["items"]
                return next(t["state"] for t in items if t["id"] == made["id"])

            # A token that has not expired yet would be used up by a first try, so only look after its time.
            self.lab.wait("the token's end", lambda: state() == "expired", 10)
            self.refused(self.join(b, made["join_line"].split()[-1], "six"), "expired", "token create")
        with self.subTest("each was counted by its reason"):
            counted = {k: v for k, v in self.mesh.ctl("GET", "/api/v1/status")["counters"].items() if k.startswith("enrol-refused.")}
            self.assertEqual(counted, {"enrol-refused.token-used": 1, "enrol-refused.name-taken": 1, "enrol-refused.token-unknown": 1,
                                       "enrol-refused.token-expired": 1})
        with self.subTest("nobody was enrolled by any of it"):
            names = {d["name"].split(".")[0] for d in json.loads(self.mesh.cygnet("-o", "json", "get", "devices").stdout)["items"]
                     if d["state"] != "pending"}
            self.assertEqual(names, {"d1"})

    def test_policy_files(self):
        path = self.start_controller()
        before = json.loads(self.mesh.cygnet("-o", "json", "get", "policies").stdout)
        good = pathlib.Path(path).read_text()
        cases = {
            "unknown key, with the nearest": (good.replace("rules:", "rulez:"), ("rulez", "rules")),
            "overlap without priority": (good.replace("10.77.2.0/24", "10.77.1.0/24"), ("10.77.1.0/24", "priority")),
            "failing test": (good.replace("expect: allow", "expect: deny"), ("test", "d1")),
            "host bits": (good.replace("10.77.2.0/24", "10.77.2.9/24"), ("10.77.2.9/24",)),
            "no proposal in common with the old list": (good.replace(
                "[aes256gcm16-x25519-sha256, aes128gcm16-x25519-sha256]", "[chacha20poly1305-ecp256-sha512]"), ("proposal",)),
            "not YAML": ("mesh: [demo", ("mesh.yaml",)),
        }
        for name, (text, words) in cases.items():
            with self.subTest(name):
                with open(path, "w") as f:
                    f.write(text)
                said = self.refused(self.mesh.cygnet("apply", "-f", path, check=False), *words)
                if name != "not YAML":
                    self.assertRegex(said, r"\d+:\d+", "line and column")
        self.assertEqual(json.loads(self.mesh.cygnet("-o", "json", "get", "policies").stdout), before)
        counters = self.mesh.ctl("GET", "/api/v1/status")["counters"]
        self.assertEqual((counters.get("policies-refused"), counters["policies-applied"]), (len(cases), 1))

    def test_second_daemons_and_taken_ports(self):
        self.start_all()
        a, b = self.mesh.devices
        with self.subTest("a second controller on one state directory"):
            done = self.mesh.command("cygnetd", "run", "--state", self.mesh.controller_state, "--listen", "127.0.0.1:7555",
                                     "--api-socket", os.path.join(self.lab.dir, "other.sock"), ns=self.mesh.controller_ns, check=False)
            self.refused(done, str(self.mesh.controller.pid))
        with self.subTest("a second agent on one state directory"):
            done = self.mesh.command("cygnet-agent", "run", "--state", a.state, "--api-socket", os.path.join(self.lab.dir, "x.sock"),
                                     ns=a.ns, check=False)
            self.refused(done, str(a.agent.pid))
        with self.subTest("the controller's port is taken"):
            other = os.path.join(self.lab.dir, "other-controller")
            where = f"{self.mesh.controller_address}:{CONTROL_PORT}"
            self.mesh.command("cygnetd", "init", "--state", other, "--mesh", "other", "--listen", where, ns=self.mesh.controller_ns)
            done = self.mesh.command("cygnetd", "run", "--state", other, "--listen", where, "--api-socket",
                                     os.path.join(self.lab.dir, "y.sock"), ns=self.mesh.controller_ns, check=False)
            self.refused(done, str(CONTROL_PORT))
        with self.subTest("the ESP port is taken"):
            b.agent.stop(signal.SIGTERM)
            holder = self.lab.start("holder", ["/usr/bin/python3", "-c", "import socket,signal\n"
                                               "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.bind(('0.0.0.0',4500))\n"
                                               "print('held',flush=True);signal.pause()"], ns=b.ns)
            self.lab.wait("the port to be held", lambda: "held" in holder.tail(), 10)
            done = self.mesh.command("cygnet-agent", "run", "--state", b.state, "--api-socket", b.socket, ns=b.ns, check=False)
            text = self.refused(done, "4500", "another port")
            self.assertIn(str(holder.pid), text)
        with self.subTest("nothing was disturbed"):
            self.assertTrue(self.mesh.controller.alive() and a.agent.alive())

    def test_no_tun_device(self):
        self.start_controller()
        a = self.mesh.devices[0]
        self.mesh.join(a)
        hidden = os.path.join(self.lab.dir, "net")
        os.makedirs(hidden)
        done = self.lab.run(["ip", "netns", "exec", a.ns, "unshare", "-m", "sh", "-c",
                             f"mount --bind {hidden} /dev/net && exec {BIN}/cygnet-agent run --state {a.state} --api-socket {a.socket}"],
                            check=False)
        self.refused(done, "/dev/net/tun")

    def test_a_full_disk_refuses_publishes_and_keeps_serving(self):
        state = os.path.join(self.lab.dir, "small")
        os.makedirs(state)
        self.lab.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", state])
        self.addCleanup(lambda: self.lab.run(["umount", "-l", state], check=False))
        self.mesh.controller_state = os.path.join(state, "controller")
        self.start_all()
        a, b = self.mesh.devices
        filler = os.path.join(state, "filler")
        with open(filler, "wb", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass
        before = self.mesh.agent_status(a)["generation"]["counter"]
        refusals = lambda: sum(v for k, v in self.mesh.ctl("GET", "/api/v1/status")["counters"].items() if "disk-full" in k)
        self.device_command(a, "rekey", "--agent")
        self.lab.wait("the refusal", lambda: refusals() > 0, 20)
        self.assertEqual(self.ping(a, b.inner4), 3, "what works goes on working")
        self.assertTrue(self.mesh.controller.alive(), self.mesh.controller.tail())
        os.unlink(filler)
        self.lab.wait("the rekey after all", lambda: self.mesh.agent_status(a)["generation"]["counter"] != before and
                      self.mesh.settled(), 60, every=0.2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
