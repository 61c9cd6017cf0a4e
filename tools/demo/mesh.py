# SPDX-License-Identifier: Apache-2.0
"""A mesh in namespaces: an underlay with one router, a controller, devices, one behind a NAT."""
import json
import os
import shlex

from lab import Lab, LabError, api

CONTROL_PORT = 7443
ESP_PORT = 4500


class Device:
    def __init__(self, number, ns, directory):
        self.number = number
        self.name = f"d{number}"
        self.ns = ns
        self.state = os.path.join(directory, f"d{number}")
        self.socket = os.path.join(directory, f"d{number}.sock")
        self.inner4 = f"10.77.{number}.1"
        self.inner6 = f"fd77:77:{number:x}::1"
        self.prefixes = [f"10.77.{number}.0/24", f"fd77:77:{number:x}::/64"]
        self.behind_nat = False
        self.endpoint = None
        self.data_plane = "userspace"
        self.agent = None

    def api(self, method, path, body=None):
        return api(self.socket, method, path, body)


class Mesh:
    """Builds the underlay; the steps a user would type are shown through `say`."""

    def __init__(self, lab: Lab, bin_dir, count, say, nat=True):
        self.lab = lab
        self.bin = bin_dir
        self.say = say
        self.controller_state = os.path.join(lab.dir, "controller")
        self.controller_socket = os.path.join(lab.dir, "cygnetd.sock")
        self.controller_address = "198.18.200.2"
        self.controller = None
        self.devices = []
        self.router = lab.namespace("r")
        for family in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            lab.sysctl(self.router, family, 1)
        self.controller_ns = self._host("c", 200)
        for number in range(1, count + 1):
            behind_nat = nat and number == count
            ns = self._behind_nat(number) if behind_nat else self._host(f"d{number}", number)
            device = Device(number, ns, lab.dir)
            device.behind_nat = behind_nat
            device.endpoint = None if behind_nat else f"198.18.{number}.2:{ESP_PORT}"
            lab.ip(ns, "addr", "add", f"{device.inner4}/32", "dev", "lo")
            lab.ip(ns, "-6", "addr", "add", f"{device.inner6}/128", "dev", "lo", "nodad")
            self.devices.append(device)

    def _host(self, name, subnet):
        ns = self.lab.namespace(name)
        v6 = f"2001:db8:{subnet:x}::"
        self.lab.veth(ns, "up0", [f"198.18.{subnet}.2/24", v6 + "2/64"],
                      self.router, f"to-{name}", [f"198.18.{subnet}.1/24", v6 + "1/64"])
        self.lab.ip(ns, "route", "add", "default", "via", f"198.18.{subnet}.1")
        # A way out for both families: without it nothing could leave in clear whatever went wrong.
        self.lab.ip(ns, "-6", "route", "add", "default", "via", v6 + "1")
        return ns

    def _behind_nat(self, number):
        nat = self._host(f"nat{number}", number)
        ns = self.lab.namespace(f"d{number}")
        self.lab.veth(ns, "up0", ["192.168.7.2/24"], nat, "lan0", ["192.168.7.1/24"])
        self.lab.ip(ns, "route", "add", "default", "via", "192.168.7.1")
        self.lab.sysctl(nat, "net.ipv4.ip_forward", 1)
        for rule in ("add table ip nat", "add chain ip nat post { type nat hook postrouting priority 100 ; }",
                     'add rule ip nat post oifname "up0" masquerade'):
            self.lab.run(["ip", "netns", "exec", nat, "nft", rule])
        return ns

    def choose_data_planes(self, kind):
        """kernel or userspace everywhere, or mixed: the kernel's for even numbers, so that pairs of every kind exist."""
        for device in self.devices:
            kernel = kind == "kernel" or (kind == "mixed" and device.number % 2 == 0)
            device.data_plane = "kernel" if kernel else "userspace"

    # -- the steps a user types ----------------------------------------------------------------
    def command(self, program, *args, ns=None, show=True, check=True):
        shown = " ".join([program, *(shlex.quote(a) for a in args)]).replace(self.lab.dir + "/", "")
        if show:
            self.say(f"$ {shown}")
        command = [os.path.join(self.bin, program), *args]
        return self.lab.run((["ip", "netns", "exec", ns] if ns else []) + command, check=check)

    def cygnet(self, *args, **kw):
        return self.command("cygnet", "--socket", self.controller_socket, *args, **kw)

    def init_controller(self):
        self.command("cygnetd", "init", "--state", self.controller_state, "--mesh", "demo",
                     "--listen", f"{self.controller_address}:{CONTROL_PORT}", ns=self.controller_ns)

    def start_controller(self, extra=()):
        self.controller = self.lab.start(
            "cygnetd",
            [os.path.join(self.bin, "cygnetd"), "run", "--state", self.controller_state,
             "--listen", f"{self.controller_address}:{CONTROL_PORT}",
             "--api-socket", self.controller_socket, "--enable-test-verbs", *extra], ns=self.controller_ns)
        return self.controller

    def await_controller(self, timeout=60):
        self.lab.wait("the controller's API", lambda: self.ctl("GET", "/healthz") is not None, timeout,
                      every=0.02, watch=[self.controller])

    def ctl(self, method, path, body=None):
        return api(self.controller_socket, method, path, body)

    def write_policy(self):
        lines = ["mesh: demo", "proposals: [aes256gcm16-x25519-sha256, aes128gcm16-x25519-sha256]",
                 "rekey: {every: 1h, jitter: 10%}", "devices:"]
        for d in self.devices:
            prefixes = ", ".join(f'"{p}"' for p in d.prefixes)
            endpoints = f', endpoints: ["{d.endpoint}"]' if d.endpoint else ""
            lines.append(f"  - {{name: {d.name}, labels: {{role: site}}, prefixes: [{prefixes}]{endpoints}}}")
        lines += ["rules:", "  - {from: role=site, to: role=site}", "tests:",
                  f"  - {{from: {self.devices[0].name}, to: {self.devices[-1].name}, expect: allow}}"]
        path = os.path.join(self.lab.dir, "mesh.yaml")
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        return path

    def join(self, device, show=True):
        made = self.cygnet("-o", "json", "token", "create", "--name", device.name, show=show)
        line = json.loads(made.stdout)["join_line"].split()[-1]
        self.command("cygnet-agent", "join", line, "--state", device.state, ns=device.ns, show=show)

    def start_agent(self, device, extra=(), wrapper=(), **kw):
        endpoint = ["--endpoint", device.endpoint] if device.endpoint else []
        plane = ["--data-plane", device.data_plane] if device.data_plane != "userspace" else []
        device.agent = self.lab.start(
            f"agent-{device.name}",
            [*wrapper, os.path.join(self.bin, "cygnet-agent"), "run", "--state", device.state, "--esp-port", str(ESP_PORT),
             "--api-socket", device.socket, *endpoint, *plane, *extra], ns=device.ns, **kw)
        return device.agent

    # -- what is true now ----------------------------------------------------------------------
    def capture_underlay(self, path, octets=128):
        """What comes to the router, so many octets of each packet (0: all), until SIGINT; its log then says what it missed."""
        # Written a buffer at a time: one write a packet is what a capture falls behind by.
        capture = self.lab.start("tcpdump", ["tcpdump", "-i", "any", "-Q", "in", "-s", str(octets), "-B", "131072", "-n",
                                             "-Z", "root", "-w", path], ns=self.router)
        self.lab.wait("the capture to start", lambda: "listening on" in capture.tail(), 10, watch=[capture])
        return capture

    def start_traffic(self, device, rate, *arguments, ipv6=True):
        """Counted datagrams to every other device: (log, process). With ipv6, half of the pairs speak that inside."""
        peers = []
        for other in self.devices:
            if other is not device:
                ends = (other.inner6, device.inner6) if ipv6 and (device.number + other.number) % 2 == 1 \
                    else (other.inner4, device.inner4)
                peers += ["--peer", f"{other.number}={','.join(ends)}"]
        log = os.path.join(self.lab.dir, f"{device.name}.traffic")
        process = self.lab.start(
            f"traffic-{device.name}", [os.path.join(self.bin, "cygnet-traffic"), "run", "--self", str(device.number),
                                       "--rate", str(rate), "--log", log, *map(str, arguments), *peers], ns=device.ns)
        process.sockets = len({peer.split(",")[-1] for peer in peers[1::2]})  # one a local address
        return log, process

    def settled(self, devices=None, peers_wanted=None):
        """Every pair newest x newest, confirmed, with one SA pair at both ends."""
        devices = self.devices if devices is None else devices
        wanted = len(devices) - 1 if peers_wanted is None else peers_wanted
        for d in devices:
            items = d.api("GET", "/api/v1/peers")["items"]
            names = {other.name for other in devices if other is not d}
            items = [i for i in items if i["name"].split(".")[0] in names]
            if len(items) != wanted:
                return False
            for i in items:
                if not (i["state"] == "up" and i["newest_on_newest"] and i["confirmed"] and i["pairs"] == 1):
                    return False
        return True

    def unsettled(self):
        """What settled() still waits for, in words."""
        found = []
        for d in self.devices:
            try:
                items = d.api("GET", "/api/v1/peers")["items"]
            except (OSError, ValueError) as error:
                found.append(f"{d.name}: no answer ({error})")
                continue
            for i in items:
                wrong = [f"{key} {i[key]}" for key, wanted in (("state", "up"), ("newest_on_newest", True), ("confirmed", True),
                                                               ("pairs", 1)) if i[key] != wanted]
                if wrong:
                    found.append(f"{d.name} to {i['name'].split('.')[0]} at {i['endpoint']}: {', '.join(wrong)}")
        return found

    def newest_on_newest(self, devices=None):
        devices = self.devices if devices is None else devices
        for d in devices:
            names = {other.name for other in devices if other is not d}
            items = [i for i in d.api("GET", "/api/v1/peers")["items"] if i["name"].split(".")[0] in names]
            if len(items) != len(devices) - 1 or not all(i["newest_on_newest"] and i["confirmed"] for i in items):
                return False
        return True

    def pairs_up(self):
        up = set()
        for d in self.devices:
            for i in d.api("GET", "/api/v1/peers")["items"]:
                if i["state"] == "up" and i["outbound"]:
                    up.add((d.name, i["name"].split(".")[0]))
        return sum(1 for a, b in up if a < b and (b, a) in up)

    def drops(self):
        """Drop counters by name, summed over all agents that answer."""
        total = {}
        for d in self.devices:
            try:
                for name, n in d.api("GET", "/api/v1/status")["drops"].items():
                    total[name] = total.get(name, 0) + n
            except (OSError, ValueError):
                continue
        return total

    def kernel_errors(self):
        """{device: {counter: count}} of the kernel's IPsec, where it is the data plane."""
        found = {}
        for d in self.devices:
            if d.data_plane == "kernel":
                text = self.lab.run(["ip", "netns", "exec", d.ns, "cat", "/proc/net/xfrm_stat"]).stdout
                found[d.name] = {name: int(count) for name, count in (line.split() for line in text.splitlines())}
        return found

    def agent_status(self, device):
        return device.api("GET", "/api/v1/status")
