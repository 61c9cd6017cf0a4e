#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The data plane beside others: ./dev bench dataplane

Every tunnel stands at once between two namespaces of its own; rounds go through all of them in
turn, so that whatever else the machine does hits all alike. Medians over the rounds, and ratios of
ours to each. Exits 0 when the measurement is complete; what is fast enough is for the reader.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from tunnels import Cygnet, Nebula, StrongSwan, Tunnel, WireguardGo, available  # noqa: E402
from measure import Ends  # noqa: E402
from chart import bars  # noqa: E402
from lab import Lab, LabError, attended  # noqa: E402

PEERS = {"veth": Tunnel, "wireguard-go": WireguardGo, "nebula": Nebula, "strongswan": StrongSwan}
# What is shown, where it is found, and its unit.
ROWS = (("TCP, 1 flow", ("tcp_1", "gbit_s"), "Gbit/s"), ("TCP, 4 flows", ("tcp_4", "gbit_s"), "Gbit/s"),
        ("TCP, 1 flow, no segmentation on the wire", ("tcp_1_wire", "gbit_s"), "Gbit/s"),
        ("UDP, 1400 octets, at most 0.5 % lost", ("udp_1372", "gbit_s"), "Gbit/s"),
        ("UDP, 64 octets, at most 0.5 % lost", ("udp_64", "pps"), "packets/s"),
        ("CPU, TCP, 1 flow", ("tcp_1", "cpu_s_per_gbit"), "s/Gbit, both ends"),
        ("Worst second below the median, rekeying", ("rekeyed", "worst_second"), "share"),
        ("  the same without rekeys", ("rekeyed", "worst_second_calm"), "share"),
        ("  packets lost by it", ("rekeyed", "lost"), "packets"),
        ("Round trip, idle", ("round_trip", "median_us"), "µs"), ("Resident, both ends", ("memory", "kib"), "KiB"))


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench dataplane", description=__doc__.split("\n")[0])
    p.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=3, help="of each iperf3 run")
    p.add_argument("--peers", default=",".join(PEERS), help="comma-separated, of: " + ", ".join(PEERS))
    p.add_argument("--peer-bin", metavar="FILE", help="another wireguard-go, measured as wireguard-go-new")
    p.add_argument("--only", metavar="PREFIX", default="", help="only measurements whose key begins so (tcp, udp_64, …)")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--svg", metavar="FILE")
    return p.parse_args()


def one_round(tunnel, ends, only):
    """Key → numbers. Each key is one measurement."""
    out = {}

    def take(key, measure):
        if key.startswith(only):
            out[key] = measure()

    take("round_trip", ends.round_trip)
    take("tcp_1", lambda: ends.tcp(1))
    take("tcp_4", lambda: ends.tcp(4))

    def cut_on_the_wire():
        tunnel.segmentation(False)
        try:
            return ends.tcp(1)
        finally:
            tunnel.segmentation(True)

    take("tcp_1_wire", cut_on_the_wire)
    take("udp_1372", lambda: ends.udp(1372, 50000))
    take("udp_64", lambda: ends.udp(64, 50000))
    if hasattr(tunnel, "rekey"):
        take("rekeyed", ends.rekeyed)
    take("memory", lambda: {"kib": ends.memory_kib()})
    return out


def medians(rounds):
    keys = {(k, n) for r in rounds for k, numbers in r.items() for n in numbers}
    out = {}
    for key, number in sorted(keys):
        out.setdefault(key, {})[number] = statistics.median(r[key][number] for r in rounds if key in r)
    return out


def table(results):
    names = list(results)
    print(f"\n{'':44}" + "".join(f"{n:>18}" for n in names))
    for title, (key, number), unit in ROWS:
        values = [results[n].get(key, {}).get(number) for n in names]
        if all(v is None for v in values):
            continue
        print(f"{title + ', ' + unit:44.44}" + "".join("                 -" if v is None else f"{v:18,.3f}" for v in values))


def summary(results):
    """Ours over each other's, where more is better."""
    ours, parts = results["cygnet"], []
    for name, theirs in results.items():
        if name in ("cygnet", "veth"):
            continue
        ratios = [f"{label} {ours[key][number] / theirs[key][number]:.2f}x"
                  for label, key, number in (("TCP", "tcp_1", "gbit_s"), ("TCP/4", "tcp_4", "gbit_s"),
                                             ("TCP on the wire", "tcp_1_wire", "gbit_s"),
                                             ("UDP 1400", "udp_1372", "pps"), ("UDP 64", "udp_64", "pps"))
                  if theirs.get(key, {}).get(number)]
        parts.append(f"{name}: " + ", ".join(ratios))
    return "cygnet against " + "; ".join(parts)


def measured(args, lab):
    tunnels = [Cygnet(lab, args.bin)]
    for name in filter(None, args.peers.split(",")):
        if name not in PEERS:
            raise LabError(f"--peers: no tunnel is called {name}; there are {', '.join(PEERS)}")
        available(name)
        tunnels.append(PEERS[name](lab))
    if args.peer_bin:
        tunnels.append(WireguardGo(lab, os.path.abspath(args.peer_bin), "wireguard-go-new"))
    ends = {}
    for tunnel in tunnels:
        print(f"setting up {tunnel.name}", flush=True)
        tunnel.up()
        tunnel.await_up()
        ends[tunnel.name] = Ends(lab, tunnel, args.seconds)
    rounds = {t.name: [] for t in tunnels}
    for number in range(args.rounds):
        for tunnel in tunnels:
            result = one_round(tunnel, ends[tunnel.name], args.only)
            rounds[tunnel.name].append(result)
            shown = ", ".join(f"{k} {next(iter(v.values())):,.2f}" for k, v in result.items())
            print(f"round {number + 1} {tunnel.name}: {shown}", flush=True)
    results = {name: medians(r) for name, r in rounds.items()}
    versions = {t.name: t.version() for t in tunnels}
    table(results)
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"medians": results, "rounds": rounds, "versions": versions, "seconds": args.seconds,
                       "cpus": os.cpu_count(), "kernel": os.uname().release}, f, indent=1)
    if args.svg:
        groups = [(title, unit, [(n, r[key][number]) for n, r in results.items() if r.get(key, {}).get(number)])
                  for title, (key, number), unit in ROWS]
        with open(args.svg, "w") as f:
            f.write(bars([g for g in groups if g[2]], "Tunnels between two namespaces of one machine"))
    print("\n" + summary(results))
    return 0


def main():
    args = arguments()
    lab = Lab("cygbench")
    return attended("./dev bench dataplane", lambda: measured(args, lab), clean=lab.close)


if __name__ == "__main__":
    sys.exit(main())
