#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Random kill -9 of agents and controller under counted traffic, and what became of every packet.

Each round kills, at random moments, one agent, two, the controller, or both kinds, often with
rekeys ordered around it, leaves them dead for a random while, starts them again, and goes on as
soon as every pair is newest x newest again: old pairs may still drain when the next round begins.
All choices come from one seed, which is printed. The figures are computed afterwards from the raw
logs of the traffic and from a capture of the underlay (accounting.py).
"""
import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(TOP, "tools", "demo"))

import accounting  # noqa: E402
from lab import Lab, attended  # noqa: E402
from mesh import CONTROL_PORT, Mesh  # noqa: E402

SETTLE_S = 60
PAYLOAD = 200
TRAFFIC_PORT = 9000
KINDS = (("agent", 40), ("two agents", 15), ("controller", 20), ("agent and controller", 25))


class Chaos:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.lab = None
        self.mesh = None
        self.traffic = []
        self.kills = []
        self.outages = []
        self.by_kind = {}
        self.rekeys = 0
        self.crashes_between = 0
        self.drops = {}
        self.drops_seen = {}
        self.round_s = []
        self.started = time.monotonic()

    def say(self, text):
        print(f"[{time.monotonic() - self.started:6.1f}] {text}", flush=True)

    # -- set-up --------------------------------------------------------------------------------
    def build(self):
        self.lab = Lab("cygchaos")
        self.mesh = Mesh(self.lab, self.options.bin, self.options.devices, lambda text: None)
        self.pcap = os.path.join(self.lab.dir, "underlay.pcap")
        self.capture = self.mesh.capture_underlay(self.pcap)
        self.mesh.init_controller()
        self.mesh.start_controller()
        self.mesh.await_controller()
        self.mesh.cygnet("apply", "-f", self.mesh.write_policy())
        for device in self.mesh.devices:
            self.mesh.join(device)
        for device in self.mesh.devices:
            self.mesh.start_agent(device)
        self.settle("the mesh to come up", drained=True)
        for device in self.mesh.devices:
            self.start_traffic(device)
        # Counting begins when every endpoint listens towards each of the others.
        self.lab.wait("the endpoints to listen", lambda: all(self.listens(p) for _, p in self.traffic), 20,
                      watch=[p for _, p in self.traffic])

    def listens(self, process):
        bound = 0
        for family in ("udp", "udp6"):
            with open(f"/proc/{process.pid}/net/{family}") as f:
                bound += sum(1 for line in f.readlines()[1:] if line.split()[1].endswith(f":{TRAFFIC_PORT:04X}"))
        return bound == process.sockets

    def read_log(self, path):
        with open(path, "rb") as f:
            return accounting.parse_log(f.read())

    def start_traffic(self, device):
        self.traffic.append(self.mesh.start_traffic(device, self.options.rate, "--tcp-mbit", 0, "--payload", PAYLOAD))

    def settle(self, what, drained=False):
        self.lab.wait(what, self.mesh.settled if drained else self.mesh.newest_on_newest, SETTLE_S, every=0.1,
                      watch=[d.agent for d in self.mesh.devices] + [self.mesh.controller])

    # -- what is done to the mesh --------------------------------------------------------------
    def kill_agent(self, device):
        self.note_drops(device)
        killed_ns = time.monotonic_ns()
        device.agent.send(signal.SIGKILL)
        device.agent.popen.wait(5)
        self.drops_seen.pop(device.name, None)
        self.kills.append(accounting.Kill(device.number, killed_ns, 0))

    def start_agent(self, device):
        kill = next(k for k in reversed(self.kills) if k.device == device.number)
        kill.started_ns = time.monotonic_ns()
        self.mesh.start_agent(device)

    def kill_controller(self):
        self.outages.append(accounting.Outage(time.monotonic_ns(), 0))
        self.mesh.controller.send(signal.SIGKILL)
        self.mesh.controller.popen.wait(5)

    def crash_controller(self):
        """The controller kills itself between durable and acknowledge of the next publish."""
        process = self.mesh.controller
        before_ns = time.monotonic_ns()
        try:
            self.mesh.ctl("POST", "/api/v1/test/crash-after-durable", {})
            self.mesh.ctl("POST", f"/api/v1/devices/{self.random.choice(self.mesh.devices).name}/rekey", {})
        except (OSError, ValueError):
            pass
        try:
            process.popen.wait(1.5)
        except subprocess.TimeoutExpired:  # nobody could publish just now
            return self.kill_controller()
        self.crashes_between += 1
        self.outages.append(accounting.Outage(before_ns, 0))

    def start_controller(self):
        self.mesh.start_controller()
        self.mesh.await_controller()
        self.outages[-1].answered_ns = time.monotonic_ns()

    def order_rekey(self, device):
        """By whoever answers: the controller, else the device itself."""
        for ask in (lambda: self.mesh.ctl("POST", f"/api/v1/devices/{device.name}/rekey", {}),
                    lambda: device.api("POST", "/api/v1/rekey", {})):
            try:
                ask()
                self.rekeys += 1
                return
            except (OSError, ValueError):
                continue

    def order_all(self):
        try:
            self.mesh.ctl("POST", "/api/v1/rekey", {})
            self.rekeys += len(self.mesh.devices)
        except (OSError, ValueError):
            for device in self.mesh.devices:
                self.order_rekey(device)

    def plan(self):
        """One round: its kind, and [(second, what, action)]."""
        r = self.random
        kind = r.choices([k for k, _ in KINDS], [w for _, w in KINDS])[0]
        steps = []
        victims = r.sample(self.mesh.devices, {"agent": 1, "two agents": 2, "controller": 0, "agent and controller": 1}[kind])
        for device in victims:
            at = r.uniform(0, 1.5)
            back = at + r.choice((0.0, r.uniform(0, 0.5), r.uniform(0, 3.0)))
            steps.append((at, f"kill -9 {device.name}", lambda d=device: self.kill_agent(d)))
            steps.append((back, f"start {device.name}", lambda d=device: self.start_agent(d)))
        if "controller" in kind:
            at = r.uniform(0, 1.5)
            back = at + r.choice((0.0, r.uniform(0, 1.0), r.uniform(0, 6.0)))
            if r.random() < 0.3:
                steps.append((at, "cygnetd dies between durable and acknowledge", self.crash_controller))
                back += 0.1
            else:
                steps.append((at, "kill -9 cygnetd", self.kill_controller))
            steps.append((back, "start cygnetd", self.start_controller))
        for _ in range(r.choice((0, 1, 1, 2))):
            at = r.uniform(0, 2.0)
            if r.random() < 0.3:
                steps.append((at, "rekey all", self.order_all))
            else:
                device = r.choice(self.mesh.devices)
                steps.append((at, f"rekey {device.name}", lambda d=device: self.order_rekey(d)))
        return kind, sorted(steps, key=lambda s: s[0])

    def round(self, number):
        kind, steps = self.plan()
        self.by_kind[kind] = self.by_kind.get(kind, 0) + 1
        begun = time.monotonic()
        for at, what, action in steps:
            time.sleep(max(0, begun + at - time.monotonic()))
            if self.options.verbose:
                self.say(f"    {what}")
            action()
        self.settle(f"newest x newest everywhere after round {number} ({'; '.join(w for _, w, _ in steps)})",
                    drained=number % 10 == 0)
        for device in self.mesh.devices:
            self.note_drops(device)
        self.round_s.append(time.monotonic() - begun)
        if number % 10 == 0 or self.options.rounds <= 10 or self.options.verbose:
            self.say(f"  round {number}: {kind}; {self.round_s[-1]:.1f} s")

    def note_drops(self, device):
        """Adds what an agent has counted since it was asked last; a killed one takes its last moments along."""
        try:
            now = self.mesh.agent_status(device)["drops"]
        except (OSError, ValueError):
            return
        seen = self.drops_seen.get(device.name, {})
        for name, n in now.items():
            self.drops[name] = self.drops.get(name, 0) + n - seen.get(name, 0)
        self.drops_seen[device.name] = now

    # -- the run -------------------------------------------------------------------------------
    def run(self):
        o = self.options
        self.say(f"Chaos: seed {o.seed}, {o.rounds} rounds, {o.devices} devices, d{o.devices} behind a NAT, "
                 f"{o.rate:g} datagrams/s in each of {o.devices * (o.devices - 1)} directions")
        self.build()
        self.start_ns = time.monotonic_ns()
        for number in range(1, o.rounds + 1):
            self.round(number)
        time.sleep(accounting.GRACE_NS / accounting.SECOND)  # the last windows close under traffic
        end_ns = time.monotonic_ns()
        time.sleep(accounting.SILENCE_NS / accounting.SECOND)
        return self.conclude(end_ns)

    def conclude(self, end_ns):
        addresses = [f"{self.mesh.agent_status(d)['mesh_address']}/128" for d in self.mesh.devices]
        for _, process in self.traffic:
            process.stop()
        for device in self.mesh.devices:
            device.agent.send(signal.SIGTERM)
        self.capture.stop(signal.SIGINT)
        dropped = re.search(r"(\d+) packets? dropped by kernel", self.capture.tail(30))
        inner = [x for p in ["10.77.0.0/16", "fd77:77::/32", *addresses] for x in ("--inner", p)]
        seen = json.loads(self.lab.run([os.path.join(self.options.bin, "cygnet-traffic"), "capture", "--file", self.pcap,
                                        "--control-port", str(CONTROL_PORT), *inner]).stdout)
        logs = [self.read_log(path) for path, _ in self.traffic]
        figures = accounting.account(logs, self.kills, self.outages, self.start_ns, end_ns)
        outside = figures.pop("outside")
        recovery = sorted(figures.pop("recovery_ns"))
        out = {"seed": self.options.seed, "rounds": self.options.rounds, "devices": self.options.devices,
               "by_kind": self.by_kind, "agent_kills": len(self.kills), "controller_kills": len(self.outages),
               "killed_between_durable_and_acknowledge": self.crashes_between, "rekeys_ordered": self.rekeys,
               **figures, "outside_window": len(outside),
               "recovery_ms_median": round(recovery[len(recovery) // 2] / 1e6, 1) if recovery else 0,
               "recovery_ms_max": round(recovery[-1] / 1e6, 1) if recovery else 0,
               "agents_drop_counters": {k: v for k, v in self.drops.items() if v},
               "esp_packets": seen["esp_packets"], "cleartext_packets": seen["cleartext_packets"],
               "iv_repeats": seen["iv_repeats"], "unexplained_packets": seen["by_kind"].get("unexplained", 0),
               "underlay_examples": seen["examples"],
               "capture_dropped": int(dropped.group(1)) if dropped else -1,
               "seconds": round(time.monotonic() - self.started, 1)}
        directions = self.options.devices * (self.options.devices - 1)
        out["pass"] = (not outside and out["duplicated"] == 0 and out["cleartext_packets"] == 0
                       and out["iv_repeats"] == 0 and out["capture_dropped"] == 0
                       and out["directions"] == directions and out["sent"] > 0
                       and out["lost"] == sum(out["by_cause"].values()))
        self.report(out, outside)
        return 0 if out["pass"] else 1

    def report(self, out, outside):
        print(f"\n  kills            agents {out['agent_kills']}, controller {out['controller_kills']} "
              f"({out['killed_between_durable_and_acknowledge']} between durable and acknowledge); "
              f"rekeys ordered {out['rekeys_ordered']}")
        print(f"  datagrams        sent {out['sent']}, received {out['received']}, lost {out['lost']}, "
              f"twice {out['duplicated']}")
        for cause, n in out["by_cause"].items():
            print(f"    {cause:<32} {n}")
        print(f"    {'OUTSIDE EVERY WINDOW':<32} {out['outside_window']}")
        print(f"  recovery         {out['recovery_ms_median']} ms median, {out['recovery_ms_max']} ms worst "
              "(direction; from process start or the controller's return to the last loss)")
        print(f"  agents' counters {out['agents_drop_counters']}")
        print(f"  underlay         {out['esp_packets']} ESP, {out['cleartext_packets']} in clear, "
              f"{out['iv_repeats']} (SPI, IV) twice, {out['capture_dropped']} missed by the capture")
        for loss in outside[:20]:
            near = [f"d{k.device} killed {(loss.sent_ns - k.killed_ns) / 1e9:+.3f} s, started "
                    f"{(loss.sent_ns - k.started_ns) / 1e9:+.3f} s" for k in self.kills
                    if abs(loss.sent_ns - k.killed_ns) < 15e9]
            near += [f"controller killed {(loss.sent_ns - k.killed_ns) / 1e9:+.3f} s, back "
                     f"{(loss.sent_ns - k.answered_ns) / 1e9:+.3f} s" for k in self.outages
                     if abs(loss.sent_ns - k.killed_ns) < 15e9]
            print(f"    d{loss.source} > d{loss.target} #{loss.seq} at {(loss.sent_ns - self.start_ns) / 1e9:.3f} s; "
                  + "; ".join(near))
        for example in out["underlay_examples"]:
            print(f"    underlay: {example}")
        if self.options.json:
            with open(self.options.json, "w") as f:
                json.dump({**out, "outside": [vars(x) for x in outside[:1000]]}, f, indent=2)
                f.write("\n")
        print("PASS" if out["pass"] else f"FAIL (again with --seed {out['seed']})", f"in {out['seconds']:.0f} s", flush=True)

    def unsettled(self):
        """What each agent says about the pairs that are not where they should be."""
        lines = []
        for device in self.mesh.devices if self.mesh else []:
            try:
                for i in device.api("GET", "/api/v1/peers")["items"]:
                    if i["newest_on_newest"] and i["confirmed"] and i["pairs"] == 1:
                        continue
                    lines.append(f"  {device.name}: {i['name']} {i['state']}, outbound {i['outbound']}, confirmed {i['confirmed']}, "
                                 f"newest x newest {i['newest_on_newest']}, remote {i['remote_counter']}, heard {i['last_heard_ms']} ms ago")
                    for sa in device.api("GET", f"/api/v1/sa?peer={i['name']}")["items"]:
                        lines.append(f"    {sa['pair']} {sa['state']} in {sa['in']} out {sa['out']} SPIs {sa['spi_in']} {sa['spi_out']}")
                status = self.mesh.agent_status(device)
                lines.append(f"  {device.name}: generation {status['generation']}, controller {status['controller']}, drops {status['drops']}")
            except (OSError, ValueError) as error:
                lines.append(f"  {device.name}: {error}")
        return "\n".join(lines)

    def keep_evidence(self):
        if not self.options.evidence or not self.lab:
            return
        os.makedirs(self.options.evidence, exist_ok=True)
        for name in os.listdir(self.lab.dir):
            path = os.path.join(self.lab.dir, name)
            if os.path.isfile(path):
                shutil.copy(path, self.options.evidence)
        with open(os.path.join(self.options.evidence, "done.json"), "w") as f:
            json.dump({"kills": [vars(k) for k in self.kills], "outages": [vars(k) for k in self.outages]}, f, indent=1)


def parse(argv):
    p = argparse.ArgumentParser(prog="./dev chaos", description=__doc__.splitlines()[0])
    p.add_argument("--rounds", type=int, default=100, metavar="N", help="default 100")
    p.add_argument("--devices", type=int, default=4, metavar="N", help="3 to 16 (default 4)")
    p.add_argument("--rate", type=float, default=50, metavar="N", help="datagrams a second and direction (default 50)")
    p.add_argument("--seed", type=int, default=None, metavar="N", help="of the random choices (default: a new one, printed)")
    p.add_argument("--json", metavar="FILE", help="write the report as JSON")
    p.add_argument("--evidence", metavar="DIR", help="keep raw logs, daemons' logs and the capture")
    p.add_argument("--verbose", action="store_true", help="say each step")
    p.add_argument("--bin", default=os.environ.get("CYGNET_BIN", os.path.join(TOP, "build", "ci", "bin")), help=argparse.SUPPRESS)
    options = p.parse_args(argv)
    if not 3 <= options.devices <= 16:
        p.error("--devices wants a number from 3 to 16")
    if options.rounds < 1:
        p.error("--rounds wants at least 1")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    return options


def main(argv):
    options = parse(argv)
    chaos = Chaos(options)

    def failed(error):
        print(f"{chaos.unsettled()}\nFAIL (again with --seed {options.seed})", file=sys.stderr)
        for process in [*(d.agent for d in chaos.mesh.devices if d.agent), chaos.mesh.controller] if chaos.mesh else []:
            if process:
                print(f"---- {process.name}\n{process.tail(12)}", file=sys.stderr)

    def clean():
        chaos.keep_evidence()
        if chaos.lab:
            chaos.lab.close()

    return attended("chaos", chaos.run, failed, clean=clean)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
