#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""README's "By hand" as a new user types it: on three clean hosts, with what is printed and nothing else."""
import json
import os
import pathlib
import re
import unittest

from support import BIN, TOP, Lab

SHOW = os.environ.get("CYGNET_SHOW")


class Host:
    """A namespace with its own, empty /var/lib, /run and /etc/cygnet, as on a fresh machine."""

    def __init__(self, lab, name, address, router, subnet):
        self.lab, self.name = lab, name
        self.ns = lab.namespace(name)
        self.home = os.path.join(lab.dir, name)
        os.makedirs(self.home)
        gateway = address.rsplit(".", 1)[0] + f".{subnet}"
        lab.veth(self.ns, "eth0", [address + "/24"], router, "to-" + name, [gateway + "/32"])
        lab.ip(router, "route", "add", address + "/32", "dev", "to-" + name)
        lab.ip(self.ns, "route", "flush", "dev", "eth0")
        lab.ip(self.ns, "route", "add", gateway, "dev", "eth0")
        lab.ip(self.ns, "route", "add", "default", "via", gateway, "src", address)
        holder = "for d in /var/lib /run /etc; do mkdir -p $d; done; mount -t tmpfs tmpfs /var/lib; mount -t tmpfs tmpfs /run; echo ready; exec sleep 600"
        self.holder = lab.start("host-" + name, ["unshare", "-m", "sh", "-c", holder], ns=self.ns)
        lab.wait("the host", lambda: "ready" in self.holder.tail(), 10)

    def inside(self, line):
        # ip netns and unshare replace themselves by exec, so the pid is that of the shell inside.
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-n", "env", f"PATH={BIN}:{os.environ['PATH']}", "sh", "-c",
                f"cd {self.home} && {line}"]

    def type(self, line, check=True):
        line = line.split("  #")[0].strip()
        if line.endswith("&"):
            self.lab.start(f"{self.name}-{line.split()[0]}", self.inside("exec " + line[:-1].strip()))
            return ""
        done = self.lab.run(self.inside(line), check=check)
        if SHOW:
            print(f"{self.name}# {line}\n{done.stdout}{done.stderr}")
        return done.stdout


def blocks():
    """Commands for the controller, for a device, and mesh.yaml, as README has them."""
    text = pathlib.Path(TOP, "README.md").read_text().split("## By hand")[1].split("\n## ")[0]
    commands, policy = re.findall(r"```(?:yaml)?\n(.*?)```", text, re.S)
    controller, device = commands.split("# on each device\n")
    lines = lambda part: [l for l in part.splitlines() if l.strip() and not l.startswith("#")]
    return lines(controller), lines(device), policy


class QuickStart(unittest.TestCase):
    def setUp(self):
        self.lab = Lab("cygqs")
        self.addCleanup(self.lab.close)
        router = self.lab.namespace("r")
        self.lab.sysctl(router, "net.ipv4.ip_forward", 1)
        self.controller = Host(self.lab, "ctl", "192.0.2.1", router, 254)
        self.store = Host(self.lab, "store-1", "198.51.100.17", router, 253)
        self.hub = Host(self.lab, "hub-1", "192.0.2.10", router, 252)

    def test_what_readme_says_works_as_printed(self):
        controller, device, policy = blocks()
        pathlib.Path(self.controller.home, "mesh.yaml").write_text(policy)
        tokens = {}
        for line in controller:
            if line.startswith("cygnet "):
                self.lab.wait("cygnetd", lambda: "ok" in self.controller.type("cygnet get devices >/dev/null && echo ok", check=False), 15)
            printed = self.controller.type(line)
            if "token create" in line:
                tokens[re.search(r"--name (\S+)", line)[1]] = printed
        self.assertEqual(set(tokens), {"hub-1", "store-1"})
        join, run, *looks = device
        self.assertRegex(join, "^cygnet-agent join cyg1:192.0.2.1:7443/corp/store-1/")
        for host in (self.hub, self.store):
            # The join line is the one that was printed; README cannot show its secret.
            said = host.type(next(l.strip() for l in tokens[host.name].splitlines() if l.strip().startswith("cygnet-agent join cyg1:")))
            self.assertIn(host.name + ".corp", said)
            host.type(run)
        self.lab.wait("the pair", lambda: "1 of 1 up, 1 proven" in self.store.type("cygnet status", check=False), 20)
        for line in looks:
            self.assertTrue(self.store.type(line), line)
        self.assertIn("3 sent, 3 answered", self.store.type("cygnet ping hub-1"))
        self.assertIn("fine", self.controller.type("cygnet why store-1 hub-1"))
        self.assertIn("fine", self.store.type("cygnet why hub-1"))
        self.hub.lab.ip(self.hub.ns, "addr", "add", "10.0.0.1/32", "dev", "lo")
        self.store.lab.ip(self.store.ns, "addr", "add", "10.4.17.1/32", "dev", "lo")
        before = self.sent()
        self.assertIn(" 0% packet loss", self.store.type("ping -n -c 3 -i 0.05 -W 2 -I 10.4.17.1 10.0.0.1"))
        self.assertGreaterEqual(self.sent(), before + 3, "the pings went through the tunnel")

    def sent(self):
        peers = json.loads(self.store.type("cygnet -o json peers"))["items"]
        return next(p["tx_packets"] for p in peers if p["name"] == "hub-1.corp")


if __name__ == "__main__":
    unittest.main(verbosity=2)
