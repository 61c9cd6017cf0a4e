#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The controller's relay beside others: ./dev bench relay

For each number of devices, rounds of: a cygnetd of its own with that many live devices (joining, one publish at a
time, everybody's rekey at once, everybody's reconnect), then the same octets to as many receivers by bare TLS
records and by NATS core, in turn, so that whatever else the machine does hits all alike. Medians over the rounds.
On a shared machine the figures per second of the sender's processor time are the steadier ones.
Exits 1 when a delivery was lost or came out of order.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from chart import bars  # noqa: E402
from controller import Controller, LabError, free_port  # noqa: E402

# From here on a device hears so many neighbours instead of everybody: ten million links are enough.
FULL_MESH_MAX = 2000
GROUP = 100


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench relay", description=__doc__.split("\n")[0])
    p.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    p.add_argument("--sizes", default="10,100,1000", help="numbers of devices (default: 10,100,1000)")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--publishes", type=int, default=20, help="one at a time, otherwise idle")
    p.add_argument("--without", default="", help="leave these out: tls, nats")
    p.add_argument("--state", metavar="DIR", help="keep controllers and identities here, for the next time")
    p.add_argument("--patience", default="120s", help="for everything to settle")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--svg", metavar="FILE")
    return p.parse_args()


def group_of(devices):
    return 0 if devices <= FULL_MESH_MAX else GROUP


class Nats:
    """A nats-server with its defaults, on loopback."""

    def __init__(self):
        self.port = free_port()
        self.process = subprocess.Popen(["nats-server", "-a", "127.0.0.1", "-p", str(self.port)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise LabError("nats-server did not start") from error
                time.sleep(0.05)

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def fanout(args, mode, sessions, message, messages, *more):
    done = subprocess.run([os.path.join(args.bin, "fanout_bench"), mode, "--sessions", str(sessions), "--message",
                           str(message), "--messages", str(messages), *map(str, more)],
                          text=True, capture_output=True, timeout=600)
    if done.returncode != 0:
        raise LabError(f"fanout_bench {mode}: {done.stderr}")
    figures = json.loads(done.stdout)
    return {"deliveries_per_second": figures["deliveries"] / figures["seconds"],
            "deliveries_per_cpu_second": figures["deliveries"] / max(figures["sender_cpu"], 1e-3)}


def cygnet_round(args, controller, devices):
    controller.start(log="error")
    try:
        idle = resident(controller.pid)
        done, figures = controller.swarm(devices, group_of(devices), "--scenario", "publish,rekey,reconnect",
                                         "--publishes", args.publishes, "--patience", args.patience, check=False,
                                         timeout=1800)
        if figures is None or not figures["good"]:
            raise LabError(f"{devices} devices: {done.stdout}{done.stderr}")
    finally:
        controller.stop()
    phase = {p["scenario"]: p for p in figures["phases"]}
    rekey, publish, again = phase["rekey"], phase["publish"], phase["reconnect"]
    return {"deliveries_per_second": rekey["deliveries_per_second"],
            "deliveries_per_cpu_second": rekey["deliveries"] / max(rekey["controller_cpu_seconds"], 1e-2),
            "octets_per_delivery": rekey["octets_in"] / rekey["deliveries"],
            "deliveries": sum(p["deliveries"] for p in figures["phases"]),
            "idle_publish_p50_ms": publish["delivered"]["p50_ms"], "idle_publish_p99_ms": publish["delivered"]["p99_ms"],
            "idle_publish_max_ms": publish["delivered"]["max_ms"], "durable_p50_ms": publish["accepted_after"]["p50_ms"],
            "join_seconds": phase["join"]["seconds"], "join_cpu_ms_a_device":
                1000 * phase["join"]["controller_cpu_seconds"] / devices,
            "reconnect_seconds": again["seconds"], "reconnect_cpu_ms_a_device":
                1000 * again["controller_cpu_seconds"] / devices,
            "resident_kb_a_session": (again["controller_resident"] - idle) / devices / 1e3,
            "resident_mb_peak": again["controller_resident_peak"] / 1e6}


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def medians(rounds):
    return {k: statistics.median(r[k] for r in rounds) for k in rounds[0]} if rounds else {}


def measure(args, devices, nats):
    directory = os.path.join(os.path.abspath(args.state), str(devices)) if args.state else None
    controller = Controller(args.bin, directory)
    rounds = {"cygnet": [], "tls": [], "nats": []}
    try:
        controller.start(log="error")
        controller.enrol(devices)
        controller.apply(devices, group_of(devices))
        controller.stop()
        for number in range(args.rounds):
            ours = cygnet_round(args, controller, devices)
            rounds["cygnet"].append(ours)
            message, each = round(ours["octets_per_delivery"]), (group_of(devices) or devices) - 1
            if "tls" not in args.without:
                rounds["tls"].append(fanout(args, "tls", devices, message, each))
            if nats:
                rounds["nats"].append(fanout(args, "nats", devices, message, each, "--port", nats.port,
                                             "--server", nats.process.pid))
            shown = ", ".join(f"{name} {r[-1]['deliveries_per_second']:,.0f}/s ({r[-1]['deliveries_per_cpu_second']:,.0f} a CPU second)"
                              for name, r in rounds.items() if r)
            print(f"{devices} devices, round {number + 1}: {shown}", flush=True)
    finally:
        controller.close()
    return {"medians": {name: medians(r) for name, r in rounds.items() if r}, "rounds": rounds}


def table(results):
    rows = (("deliveries a second, everybody rekeys at once", "deliveries_per_second", ",.0f"),
            ("deliveries a second of the controller's CPU", "deliveries_per_cpu_second", ",.0f"),
            ("octets a delivery", "octets_per_delivery", ",.0f"),
            ("idle publish to delivered, p50, ms", "idle_publish_p50_ms", ",.2f"),
            ("idle publish to delivered, p99, ms", "idle_publish_p99_ms", ",.2f"),
            ("idle publish to durable, p50, ms", "durable_p50_ms", ",.2f"),
            ("everybody joins and publishes, s", "join_seconds", ",.2f"),
            ("its controller CPU a device, ms", "join_cpu_ms_a_device", ",.2f"),
            ("everybody reconnects at once, s", "reconnect_seconds", ",.2f"),
            ("its controller CPU a device, ms", "reconnect_cpu_ms_a_device", ",.2f"),
            ("resident KB a session (idle cygnetd taken off)", "resident_kb_a_session", ",.1f"),
            ("resident MB at most", "resident_mb_peak", ",.1f"))
    print(f"\n{'':48}" + "".join(f"{n:>14}" for n in results))
    for title, key, form in rows:
        print(f"{title:48}" + "".join(f"{r['medians']['cygnet'][key]:>14{form}}" for r in results.values()))
    for other, title in (("tls", "bare TLS records"), ("nats", "NATS core, no TLS")):
        for key, unit in (("deliveries_per_second", "/s"), ("deliveries_per_cpu_second", " a CPU s")):
            cells = [r["medians"].get(other, {}).get(key) for r in results.values()]
            if any(cells):
                print(f"{title + ', deliveries' + unit:48}" + "".join(f"{c:>14,.0f}" for c in cells))
                print(f"{'  cygnet to that':48}" + "".join(
                    f"{r['medians']['cygnet'][key] / c:>14.2f}" for r, c in zip(results.values(), cells)))


def summary(results):
    parts = []
    for devices, result in results.items():
        m = result["medians"]
        ratios = [f"{m['cygnet'][key] / m[other][key]:.2f} x {name} ({unit})" for other, name in
                  (("tls", "bare TLS"), ("nats", "NATS")) if other in m
                  for key, unit in (("deliveries_per_second", "wall"), ("deliveries_per_cpu_second", "CPU"))]
        parts.append(f"{devices} devices: {m['cygnet']['deliveries_per_second']:,.0f} deliveries/s, " + ", ".join(ratios))
    total = sum(r["deliveries"] for result in results.values() for r in result["rounds"]["cygnet"])
    return "; ".join(parts) + f"; 0 of {total:,.0f} deliveries lost or out of order"


def versions(nats):
    said = {"openssl": subprocess.run(["openssl", "version"], text=True, capture_output=True).stdout.strip()}
    if nats:
        said["nats"] = subprocess.run(["nats-server", "--version"], text=True, capture_output=True).stdout.strip()
    return said


def main():
    args = arguments()
    nats = None
    try:
        if "nats" not in args.without and shutil.which("nats-server"):
            nats = Nats()
        results = {n: measure(args, n, nats) for n in map(int, args.sizes.split(","))}
        table(results)
        said = versions(nats)
        print("versions: " + ", ".join(f"{k}: {v}" for k, v in said.items()))
        if args.json:
            pathlib.Path(args.json).write_text(json.dumps(
                {"sizes": results, "versions": said, "cpus": os.cpu_count(), "kernel": os.uname().release,
                 "load_average": os.getloadavg()}, indent=1) + "\n")
        if args.svg:
            groups = []
            for devices, result in results.items():
                for title, key in (("deliveries a second", "deliveries_per_second"),
                                   ("deliveries a second of the sender's processor", "deliveries_per_cpu_second")):
                    groups.append((f"{devices} devices", title, [(n, m[key]) for n, m in result["medians"].items()]))
            pathlib.Path(args.svg).write_text(bars(groups, "One mesh's DIMs to everybody, beside others"))
        print("\n" + summary(results))
        return 0
    except LabError as error:
        print(f"./dev bench relay: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if nats:
            nats.close()


if __name__ == "__main__":
    sys.exit(main())
