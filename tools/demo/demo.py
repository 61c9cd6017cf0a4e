#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A whole mesh on this machine, rekeyed, starved of its controller and crashed under counted traffic.

Everything happens in network namespaces this program makes and removes. The figures come from raw
send and receive logs and from a capture of the underlay, after the run.
"""
import argparse
import json
import os
import re
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import report as reporting
from lab import Lab, attended
from mesh import CONTROL_PORT, Mesh
from phases import Phases

RATE_PER_DIRECTION = 200
RATE_TOTAL = 20_000
TCP_MBIT = 1.0


class Demo:
    def __init__(self, options):
        self.options = options
        self.lab = None
        self.mesh = None
        self.traffic = []
        self.capture = None
        self.started = time.monotonic()

    def say(self, text):
        print(f"[{time.monotonic() - self.started:6.1f}] {text}", flush=True)

    # -- set-up --------------------------------------------------------------------------------
    def build(self):
        n = self.options.devices
        self.lab = Lab("cygdemo")
        nat = "" if self.options.no_nat else f"; d{n} sits behind a NAT"
        self.say(f"Underlay: {n} devices around one router, a controller{nat}.")
        self.mesh = Mesh(self.lab, self.options.bin, n, self.say, nat=not self.options.no_nat)
        self.mesh.choose_data_planes(self.options.data_plane)
        self.pcap = os.path.join(self.lab.dir, "underlay.pcap")
        self.capture = self.mesh.capture_underlay(self.pcap, octets=0 if self.options.evidence else 128)
        self.say("Controller:")
        self.mesh.init_controller()
        self.mesh.start_controller()
        self.say(f"$ cygnetd run --state controller --listen {self.mesh.controller_address}:{CONTROL_PORT} …")
        self.mesh.await_controller()
        self.mesh.cygnet("apply", "-f", self.mesh.write_policy())
        self.say("Devices, each with a token of its own:")
        for i, device in enumerate(self.mesh.devices):
            self.mesh.join(device, show=i < 2)
        if n > 2:
            self.say(f"  … and so on for d3 to d{n}")

    def start_device(self, device):
        agent = self.mesh.start_agent(device, extra=self.key_log(device))
        if device.number <= 2:
            self.say(f"$ cygnet-agent run --state {device.name} …")
        # Traffic may start once the agent guards the prefixes; before its first run nothing does.
        wanted = len(self.mesh.devices) - 1
        self.lab.wait(f"{device.name}'s peer table",
                      lambda: len(device.api("GET", "/api/v1/peers")["items"]) == wanted, 60, watch=[agent])
        self.start_traffic(device)

    def key_log(self, device):
        if not self.options.key_log:
            return []
        return ["--key-log", os.path.join(self.options.key_log, f"{device.name}.esp_sa")]

    def start_traffic(self, device):
        n = len(self.mesh.devices)
        rate = min(self.options.rate, RATE_TOTAL / (n * (n - 1)))
        summary = os.path.join(self.lab.dir, f"{device.name}.traffic.json")
        self.traffic.append((device, *self.mesh.start_traffic(device, rate, "--tcp-mbit", self.options.tcp_mbit, "--summary", summary)))

    # -- the run -------------------------------------------------------------------------------
    def run(self):
        self.build()
        phases = Phases(self.mesh, self.say)
        self.say("First contact, under traffic:")
        phases.first_contact(self.start_device)
        self.say("One device rekeys:")
        phases.single_rekey()
        self.say("Two devices rekey at the same moment:")
        phases.crossing("double_rekey", ["d1", "d2"])
        pairs_max = self.highest("sa_pairs_per_peer_max")
        self.say("All devices rekey at once:")
        phases.crossing("all_rekey", [d.name for d in self.mesh.devices])
        self.say("The controller dies and stays away for 30 s:")
        phases.controller_down()
        pairs_max = max(pairs_max, self.highest("sa_pairs_per_peer_max"))
        privates = self.highest("dh_private_values_alive_max")
        self.say("An agent is killed:")
        phases.agent_crash()
        pairs_max = max(pairs_max, self.highest("sa_pairs_per_peer_max"))
        privates = max(privates, self.highest("dh_private_values_alive_max"))
        self.say("A device is revoked:")
        phases.revoke()
        return self.conclude(phases, pairs_max, privates)

    def highest(self, key):
        return max(self.mesh.agent_status(d)[key] for d in self.mesh.devices)

    def conclude(self, phases, pairs_max, privates):
        self.say("Stopping the traffic, reading logs and capture …")
        for _, _, process in self.traffic:
            process.stop()
        if not self.options.keep:
            for device in self.mesh.devices:
                device.agent.send(signal.SIGTERM)
        self.capture.stop(signal.SIGINT)
        dropped = re.search(r"(\d+) packets? dropped by kernel", self.capture.tail(30))
        phases_path = os.path.join(self.lab.dir, "phases.json")
        with open(phases_path, "w") as f:
            json.dump([w.as_json() for w in phases.windows], f, indent=2)
        logs = [log for _, log, _ in self.traffic]
        n = len(self.mesh.devices)
        by_phase = reporting.figures(self.options.bin, phases_path, logs)
        inner = ["10.77.0.0/16", "fd77:77::/32"] + [f"{a}/128" for a in self.mesh_addresses()]
        seen = reporting.capture(self.options.bin, self.pcap, CONTROL_PORT, inner)
        tcp = [json.load(open(log + ".json")) for log in logs]
        out = {"devices": n, "data_planes": [d.data_plane for d in self.mesh.devices],
               "pairs_expected": n * (n - 1) // 2, "pairs_up": phases.windows[0].extra.pop("pairs_up"),
               "rekeys": phases.rekeys,
               **reporting.build(phases.windows, by_phase, n * (n - 1)),
               "cleartext_packets": seen["cleartext_packets"], "esp_packets": seen["esp_packets"],
               "iv_repeats": seen["iv_repeats"], "unexplained_packets": seen["by_kind"].get("unexplained", 0),
               "underlay_by_kind": seen["by_kind"], "underlay_examples": seen["examples"],
               "capture_dropped": int(dropped.group(1)) if dropped else -1,
               "tcp": {"sent_octets": sum(t["tcp_sent_octets"] for t in tcp),
                       "received_octets": sum(t["tcp_received_octets"] for t in tcp),
                       "wrong_octets": sum(t["tcp_wrong_octets"] for t in tcp)},
               "dh_private_values_alive_max": privates, "sa_pairs_per_peer_max": pairs_max}
        rows = reporting.verdicts(out, not self.options.no_time_limits)
        out["pass"] = all(holds is not False for _, holds, _ in rows)
        print(reporting.table(out, rows, phases.windows))
        for example in seen["examples"]:
            print(f"  underlay: {example}")
        if self.options.json:
            with open(self.options.json, "w") as f:
                json.dump(out, f, indent=2)
                f.write("\n")
        if self.options.evidence:
            self.keep_evidence(logs, phases_path, by_phase)
        print("PASS" if out["pass"] else "FAIL", f"in {time.monotonic() - self.started:.0f} s")
        return 0 if out["pass"] else 1

    def mesh_addresses(self):
        found = []
        for device in self.mesh.devices:
            try:
                found.append(self.mesh.agent_status(device)["mesh_address"])
            except (OSError, ValueError, KeyError):
                continue
        return found

    def keep_evidence(self, logs, phases_path, by_phase):
        target = self.options.evidence
        os.makedirs(target, exist_ok=True)
        for path in [*logs, phases_path, self.pcap] + [p.log_path for p in self.lab.processes]:
            shutil.copy(path, target)
        with open(os.path.join(target, "directions.json"), "w") as f:
            json.dump(by_phase, f)
        self.say(f"evidence (raw logs, daemons' logs, capture) in {target}")

    def enter(self):
        print("\nThe mesh stays up. Enter it with, for example:")
        print(f"  ip netns exec {self.mesh.devices[0].ns} bash")
        print(f"  {self.options.bin}/cygnet --agent-socket {self.mesh.devices[0].socket} status")
        print(f"  {self.options.bin}/cygnet --socket {self.mesh.controller_socket} get pairs")
        print("Ctrl-C here removes everything.")
        signal.pause()


def parse(argv):
    p = argparse.ArgumentParser(prog="./dev demo", description=__doc__.splitlines()[0])
    p.add_argument("--devices", type=int, default=5, metavar="N", help="3 to 32 devices (default 5)")
    p.add_argument("--json", metavar="FILE", help="write the report as JSON")
    p.add_argument("--evidence", metavar="DIR", help="keep raw logs, daemons' logs and the whole capture")
    p.add_argument("--keep", action="store_true", help="leave the mesh up at the end and say how to enter it")
    p.add_argument("--key-log", metavar="DIR", help="traffic keys for an analyser (only with the insecure test build)")
    p.add_argument("--data-plane", choices=("userspace", "kernel", "mixed"), default="userspace",
                   help="who encrypts; mixed: the kernel on devices with an even number (default userspace)")
    p.add_argument("--no-nat", action="store_true", help="the last device without a NAT, for kernels that have none")
    p.add_argument("--no-time-limits", action="store_true", help="times are printed and not judged, for slow machines")
    p.add_argument("--rate", type=float, default=RATE_PER_DIRECTION, metavar="N",
                   help=f"datagrams a second and direction (default {RATE_PER_DIRECTION})")
    p.add_argument("--tcp-mbit", type=float, default=TCP_MBIT, metavar="N", help=f"of each TCP flow (default {TCP_MBIT})")
    p.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    options = p.parse_args(argv)
    if not 3 <= options.devices <= 32:
        p.error("--devices wants a number from 3 to 32")
    for name in ("json", "evidence", "key_log"):
        if getattr(options, name):
            setattr(options, name, os.path.abspath(getattr(options, name)))
    if options.key_log:
        os.makedirs(options.key_log, exist_ok=True)
    return options


def main(argv):
    options = parse(argv)
    demo = Demo(options)

    def run():
        code = demo.run()
        if options.keep:
            try:
                demo.enter()
            except KeyboardInterrupt:
                print()
        return code

    def failed(error):
        if options.evidence and demo.lab:
            os.makedirs(options.evidence, exist_ok=True)
            for process in demo.lab.processes:
                shutil.copy(process.log_path, options.evidence)

    def clean():
        if demo.lab:
            demo.lab.close()
            print("Everything the demo made has been removed.")

    return attended("demo", run, failed, clean=clean)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
