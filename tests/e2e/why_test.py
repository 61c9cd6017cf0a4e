#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`cygnet why` and `cygnet status` name what is broken and what to do, for each way in which a pair breaks."""
import json
import os
import pathlib
import signal
import unittest

from support import ESP_PORT, MeshTest

SHOW = os.environ.get("CYGNET_SHOW")  # print what the user sees


class Why(MeshTest):
    devices = 3

    def why(self, device, *names):
        """Verdict and next step as JSON has them; the plain text must carry both."""
        if device is None:
            run = lambda *more: self.mesh.cygnet(*more, "why", *names, check=False)
        else:
            run = lambda *more: self.device_command(device, *more, "why", *names, check=False)
        plain, parsed = run(), run("-o", "json")
        if SHOW:
            print(f"\n$ cygnet why {' '.join(names)}   # exit {plain.returncode}\n{plain.stdout}{plain.stderr}")
        answer = json.loads(parsed.stdout)
        if "verdict" in answer:
            self.assertIn("Next: ", plain.stdout)
        return answer

    def says(self, device, names, verdict, step):
        answer = self.why(device, *names)
        for word in verdict:
            self.assertIn(word, answer["verdict"])
        for word in step:
            self.assertIn(word, answer["next_step"])
        return answer

    def status(self, device):
        done = self.device_command(device, "status", check=False)
        if SHOW:
            print(f"\n$ cygnet status   # on {device.name}, exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def nft(self, ns, *rules):
        for rule in rules:
            self.lab.run(["ip", "netns", "exec", ns, "nft", rule])

    def test_each_way_to_break_a_pair(self):
        path = self.start_controller()
        a, b, c = self.mesh.devices
        with self.subTest("a device that has not joined"):
            self.says(None, ["d1", "d2"], ["d1", "has not joined"], ["cygnet token create --name d1"])
        for device in self.mesh.devices:
            self.mesh.join(device)
        self.mesh.start_agent(a)
        with self.subTest("a peer that never started"):
            self.lab.wait("d1's stream", lambda: self.mesh.agent_status(a)["generation"]["state"] == "accepted", 20)
            self.says(a, ["d2"], ["down", "DIM is not known"], ["peer runs"])
            self.says(None, ["d1", "d2"], ["no DIM of d2"], ["agent's log"])
            self.assertEqual(self.status(a).returncode, 6)
        for device in (b, c):
            self.mesh.start_agent(device)
        self.await_settled()
        with self.subTest("nothing is wrong"):
            for device, names in ((a, ["d2"]), (b, ["d3"]), (None, ["d1", "d2"])):
                answer = self.says(device, names, ["fine"], [])
                self.assertEqual([s for s in answer["steps"] if s["outcome"] in ("warn", "fail")], [])
            self.assertEqual(self.status(a).returncode, 0)
        policy = pathlib.Path(path).read_text()
        with self.subTest("policy denies"):
            with open(path, "w") as f:
                f.write(policy.replace("rules:", "rules:\n  - {from: name=d1, to: name=d2, action: deny}"))
            self.mesh.cygnet("apply", "-f", path)
            self.lab.wait("d2 gone from d1", lambda: self.why(a, "d2")["verdict"].startswith("denied"), 10)
            self.says(a, ["d2"], ["policy"], ["policy"])
            answer = self.says(None, ["d1", "d2"], ["policy does not allow"], ["cygnet plan"])
            self.assertIn("mesh.yaml", json.dumps(answer["steps"]), "the rule's place")
            with open(path, "w") as f:
                f.write(policy)
            self.mesh.cygnet("apply", "-f", path)
            self.await_settled()
        with self.subTest("a firewall that drops ESP towards d2"):
            self.nft(b.ns, "add table inet fw", "add chain inet fw in { type filter hook input priority 0 ; }",
                     f"add rule inet fw in udp dport {ESP_PORT} drop")
            self.says(a, ["d2"], ["down", "does not answer"], ["firewall", f"198.18.2.2:{ESP_PORT}"])
            self.says(b, ["d1"], ["down"], [f"198.18.1.2:{ESP_PORT}"])
            self.says(a, ["d3"], ["fine"], [])
            self.nft(b.ns, "delete table inet fw")
            self.says(a, ["d2"], ["fine"], [])
        with self.subTest("the peer's agent is killed"):
            c.agent.stop(signal.SIGKILL)
            self.says(a, ["d3"], ["down", "does not answer"], ["whether it runs"])
            self.lab.wait("the controller to see it", lambda: "away" in self.why(None, "d1", "d3")["verdict"], 10)
            self.lab.wait("a silence long enough to be told from a stop just now",
                          lambda: "nothing was heard from the peer for" in self.why(a, "d3")["verdict"], 60, every=3)
            self.says(a, ["d3"], ["down"], ["agent runs", "UDP passes", f"198.18.3.2:{ESP_PORT}"])
            self.mesh.start_agent(c)
            self.await_settled()
        with self.subTest("the controller is killed"):
            self.mesh.controller.stop(signal.SIGKILL)
            self.lab.wait("d1 to miss it", lambda: self.mesh.agent_status(a)["controller"]["state"] == "away", 20)
            self.says(a, ["d2"], ["fine", "no rekey can happen", "controller"], ["cygnetd runs"])
            done = self.status(a)
            self.assertEqual(done.returncode, 6)
            self.assertIn("cygnetd", done.stdout)
            done = self.mesh.cygnet("why", "d1", "d2", check=False)
            self.assertEqual(done.returncode, 4, done.stderr)
            self.assertIn("cygnetd", done.stderr)
        with self.subTest("a device that boots while the controller is away"):
            b.agent.stop(signal.SIGTERM)
            self.mesh.start_agent(b)
            self.lab.wait("its API", lambda: self.mesh.agent_status(b)["controller"]["state"] == "away", 20)
            self.says(b, ["d1"], ["down", "not accepted", "controller is not reached"], ["cygnetd runs"])
            self.mesh.start_controller()
            self.await_settled()
        with self.subTest("a name that is not there"):
            done = self.device_command(a, "why", "d22", check=False)
            self.assertEqual(done.returncode, 3)
            self.assertIn("did you mean d2", done.stderr)


class WhyWithoutEndpoints(Why):
    devices = 2

    def test_each_way_to_break_a_pair(self):
        a, b = self.mesh.devices
        for d in (a, b):
            d.endpoint = None
        # The controller's discovery port is out of reach: nobody can learn anything about anybody.
        self.nft(self.mesh.router, "add table inet fw", "add chain inet fw f { type filter hook forward priority 0 ; }",
                 f"add rule inet fw f ip daddr {self.mesh.controller_address} meta l4proto udp drop")
        self.start_controller()
        for device in (a, b):
            self.mesh.join(device)
            self.mesh.start_agent(device)
        self.lab.wait("the DIMs", lambda: all(i["remote_counter"] for d in (a, b) for i in d.api("GET", "/api/v1/peers")["items"]
                                              ) and len(a.api("GET", "/api/v1/peers")["items"]) == 1, 20)
        self.lab.wait("the verdict", lambda: "no endpoint" in self.why(a, "d2")["verdict"], 20)
        self.says(a, ["d2"], ["down", "no endpoint"], ["--endpoint", "policy"])
        self.status(a)


class WhyCertificates(Why):
    devices = 2

    def test_each_way_to_break_a_pair(self):
        """An agent whose clock is a year ahead takes the controller's certificate for expired, and says so."""
        self.start_all()
        a, b = self.mesh.devices
        a.agent.stop(signal.SIGTERM)
        self.lab.run(["which", "faketime"])
        a.agent = self.lab.start("agent-ahead", ["faketime", "-f", "+400d", os.path.join(self.bin_dir, "cygnet-agent"), "run", "--state",
                                                 a.state, "--api-socket", a.socket, "--endpoint", a.endpoint], ns=a.ns)
        self.lab.wait("its API", lambda: self.mesh.agent_status(a)["controller"]["state"] == "away", 20)
        self.says(a, ["d2"], ["down", "controller is not reached", "certificate"], ["clock"])
        self.status(a)


if __name__ == "__main__":
    unittest.main(verbosity=2)
