#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the first packet of an on-demand pair costs: ./dev bench on-demand

A full mesh of real agents, every pair on demand and asleep. Each pair's first packet is an echo request of
the system's own ping; its round trip, less that of the second, is what waking the pair added. First with the
peer's DIM to be fetched; then, all pairs having idled out, with the DIM there and only keys to be derived.
Exits 0 when every first packet came back.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))
from lab import Lab, attended  # noqa: E402
from mesh import Mesh  # noqa: E402

GAP_S = 0.3  # between the first packet and those it is compared with
RULE = "  - {from: role=site, to: role=site}"
IDLE_S = 15


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench on-demand", description=__doc__.split("\n")[0])
    p.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    p.add_argument("--devices", type=int, default=46, help="46 make 1,035 pairs (default)")
    p.add_argument("--at-once", type=int, default=4, help="pairs that wake at the same time (default 4)")
    p.add_argument("--json", metavar="FILE")
    return p.parse_args()


class OnDemand:
    def __init__(self, lab, options):
        self.lab = lab
        self.options = options
        self.mesh = Mesh(lab, options.bin, options.devices, lambda line: None, nat=False)
        self.devices = self.mesh.devices

    def apply(self, policy):
        path = os.path.join(self.lab.dir, "on-demand.yaml")
        with open(path, "w") as f:
            f.write(policy)
        self.mesh.cygnet("apply", "-f", path)

    def start(self):
        """Returns the policy in force."""
        self.mesh.init_controller()
        self.mesh.start_controller()
        self.mesh.await_controller()
        with open(self.mesh.write_policy()) as f:
            policy = f.read().replace(RULE, RULE[:-1] + ", mode: on-demand}")
        self.apply(policy)
        for device in self.devices:
            self.mesh.join(device, show=False)
            self.mesh.start_agent(device)
        self.await_states("asleep")
        return policy

    def await_states(self, wanted):
        def there():
            for device in self.devices:
                states = [i["state"] for i in device.api("GET", "/api/v1/peers")["items"]]
                if len(states) != len(self.devices) - 1 or set(states) != {wanted}:
                    return False
            return True

        self.lab.wait(f"every pair {wanted}", there, 180, every=0.5, watch=[d.agent for d in self.devices])

    def one_pair(self, pair):
        """Round trips in ms: (first or None, median of the others)."""
        device, other = pair
        done = self.lab.run(["ip", "netns", "exec", device.ns, "ping", "-n", "-c", "4", "-i", str(GAP_S), "-W", "10",
                             "-I", device.inner4, other.inner4], check=False)
        by_number = {int(n): float(ms) for n, ms in re.findall(r"icmp_seq=(\d+) .*time=([\d.]+) ms", done.stdout)}
        first = by_number.pop(1, None)
        return first, statistics.median(by_number.values()) if by_number else None

    def wake_all(self):
        pairs = [(a, b) for a in self.devices for b in self.devices if a.number < b.number]
        # Far apart in the list, so that no agent wakes several at a time more than chance has it.
        pairs.sort(key=lambda p: (p[0].number * 31 + p[1].number * 17) % 97)
        with concurrent.futures.ThreadPoolExecutor(self.options.at_once) as pool:
            return list(pool.map(self.one_pair, pairs))


def summary(results):
    added = sorted(first - later for first, later in results if first is not None and later is not None)
    later = [later for _, later in results if later is not None]
    return {"pairs": len(results), "first_packets_back": sum(first is not None for first, _ in results),
            "added_ms": {"median": round(statistics.median(added), 2), "p99": round(added[int(len(added) * 0.99)], 2),
                         "max": round(added[-1], 2)},
            "later_round_trip_ms": round(statistics.median(later), 2)}


def line(what, s):
    added = s["added_ms"]
    return (f"{what:<28} {s['first_packets_back']:>6} of {s['pairs']:<6} {added['median']:>9.2f} {added['p99']:>9.2f} "
            f"{added['max']:>9.2f} {s['later_round_trip_ms']:>12.2f}")


def measure(lab, options):
    bench = OnDemand(lab, options)
    policy = bench.start()
    print(f"{'':<28} {'first packets back':>16} {'added, ms: median':>12} {'p99':>5} {'max':>9} {'later, ms':>12}", flush=True)
    fetched = summary(bench.wake_all())
    print(line("the DIM to be fetched", fetched), flush=True)
    bench.apply(policy.replace("every: 1h", f"every: {IDLE_S}s") + "forget_cap: 5s\ndrain: 1s\n")
    bench.await_states("dormant")
    cached = summary(bench.wake_all())
    print(line("the DIM there, no keys", cached), flush=True)
    drops = {name: n for name, n in bench.mesh.drops().items() if n}
    result = {"devices": options.devices, "at_once": options.at_once, "fetched": fetched, "cached": cached, "drops": drops}
    if options.json:
        with open(options.json, "w") as f:
            json.dump(result, f, indent=2)
            f.write("\n")
    complete = all(s["first_packets_back"] == s["pairs"] for s in (fetched, cached))
    print(f"dropped by the agents, by cause: {drops or 'nothing'}")
    print(f"{fetched['first_packets_back'] + cached['first_packets_back']} of {fetched['pairs'] + cached['pairs']} first packets "
          f"came back; waking added {fetched['added_ms']['median']} ms with the DIM to be fetched, "
          f"{cached['added_ms']['median']} ms with the DIM there")
    return 0 if complete else 1


def main():
    options = arguments()
    lab = Lab("cygdemand")
    return attended("./dev bench on-demand", lambda: measure(lab, options), clean=lab.close)


if __name__ == "__main__":
    sys.exit(main())
