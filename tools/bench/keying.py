#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Keying at fleet scale: ./dev bench keying

Rounds of bench/keying_bench, one process a measurement, in turn, so that whatever else the machine does hits all
alike: SA pairs derived a second, ours and OpenSSL's own calls; a device's own rekey with idle peers (claimed) and with
active ones (everything derived and installed in the userspace data plane); memory an idle peer; many DIMs at once.
Medians over the rounds. Times of threads are processor time; "wall" is what a clock on the wall shows.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from chart import bars  # noqa: E402

KINDS = ("rekey-lazy", "rekey-eager", "idle", "dims", "memory")


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench keying", description=__doc__.split("\n")[0])
    p.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    p.add_argument("--sizes", default="10,100,1000,10000", help="numbers of peers (default: 10,100,1000,10000)")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--without", default="", help="leave these out: " + ", ".join(KINDS))
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--svg", metavar="FILE")
    return p.parse_args()


class BenchError(Exception):
    pass


def once(binary, *what):
    done = subprocess.run([binary, *map(str, what)], text=True, capture_output=True, timeout=900)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(map(str, what))}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout.splitlines()[-1])


def medians(rounds):
    """Of every number; the longest events are taken at their longest."""
    out = {}
    for key, value in rounds[0].items():
        if isinstance(value, dict):
            names = sorted({name for r in rounds for name in r[key]})
            out[key] = {name: max(r[key].get(name, 0) for r in rounds) for name in names}
        else:
            out[key] = statistics.median(r[key] for r in rounds)
    return out


def measure(args, sizes, kinds):
    """Kind → size → rounds; `derive` has no sizes."""
    derive, rest = [], {kind: {n: [] for n in sizes} for kind in kinds}
    for _ in range(args.rounds):
        derive.append(once(args.bin, "derive"))
        for n in sizes:
            for kind in kinds:
                rest[kind][n].append(once(args.bin, kind, n))
    return derive, rest


ROWS = (
    ("own rekey, idle peers: ready, wall ms", "rekey-lazy", "ready_wall_ms", ",.1f"),
    ("  processor of all threads, ms", "rekey-lazy", "all_threads_ms", ",.1f"),
    ("  processor of the control thread, ms", "rekey-lazy", "control_thread_ms", ",.1f"),
    ("  longest stall of the control thread, ms", "rekey-lazy", "longest_stall_ms", ",.2f"),
    ("  Diffie-Hellman operations", "rekey-lazy", "dh_operations", ",.0f"),
    ("  … until ten minutes later", "idle", "dh_operations", ",.0f"),
    ("own rekey, active peers: ready, wall ms", "rekey-eager", "ready_wall_ms", ",.1f"),
    ("  processor of all threads, ms", "rekey-eager", "all_threads_ms", ",.1f"),
    ("  processor of the control thread, ms", "rekey-eager", "control_thread_ms", ",.1f"),
    ("  longest stall of the control thread, ms", "rekey-eager", "longest_stall_ms", ",.2f"),
    ("memory an idle peer, octets, SAD left out", "memory", "octets_a_peer", ",.0f"),
    ("that many DIMs at once: workers, ms", "dims", "workers_ms", ",.1f"),
    ("  control thread, ms", "dims", "control_ms", ",.1f"),
    ("  longest event of the control thread, ms", "dims", "longest_event_ms", ",.2f"),
    ("status of the local API, ms", "rekey-lazy", "status_ms", ",.2f"),
    ("list of peers of the local API, ms", "rekey-lazy", "peers_ms", ",.2f"),
)


def table(derive, results, sizes):
    print(f"{'SA pairs derived a second, one thread':48}{derive['pairs_per_s']:>12,.0f}")
    print(f"{'  by OpenSSL calls one by one':48}{derive['openssl_one_by_one_per_s']:>12,.0f}")
    print(f"{'  ratio':48}{derive['ratio']:>12.2f}")
    print(f"{'  shared secrets a second alone':48}{derive['shared_secrets_per_s']:>12,.0f}")
    print(f"{'  pairs claimed a second (SPIs only)':48}{derive['claims_per_s']:>12,.0f}")
    print(f"\n{'peers':48}" + "".join(f"{n:>12,}" for n in sizes))
    for title, kind, key, form in ROWS:
        if kind in results:
            print(f"{title:48}" + "".join(f"{results[kind][n][key]:>12{form}}" for n in sizes))


def summary(derive, results, sizes):
    n = sizes[-1]
    parts = [f"{derive['pairs_per_s']:,.0f} SA pairs/s, {derive['ratio']:.2f} x OpenSSL one by one"]
    if "rekey-lazy" in results:
        r = results["rekey-lazy"][n]
        parts.append(f"own rekey with {n:,} idle peers ready in {r['ready_wall_ms']:,.1f} ms with {r['dh_operations']:.0f} "
                     f"Diffie-Hellman operations, longest stall {r['longest_stall_ms']:.1f} ms")
    if "rekey-eager" in results:
        parts.append(f"with {n:,} active peers in {results['rekey-eager'][n]['ready_wall_ms']:,.1f} ms")
    if "memory" in results:
        parts.append(f"{results['memory'][n]['octets_a_peer']:,.0f} octets an idle peer")
    return "; ".join(parts)


def chart(derive, results, sizes):
    groups = [("SA pairs derived a second", "one thread",
               [("Cygnet", derive["pairs_per_s"]), ("OpenSSL one by one", derive["openssl_one_by_one_per_s"]),
                ("claimed only", derive["claims_per_s"])])]
    for title, kind, key, unit in (("own rekey, idle peers", "rekey-lazy", "ready_wall_ms", "ms until ready"),
                                   ("own rekey, active peers", "rekey-eager", "ready_wall_ms", "ms until ready"),
                                   ("an idle peer", "memory", "octets_a_peer", "octets")):
        if kind in results:
            groups.append((title, unit, [(f"{n:,} peers", results[kind][n][key]) for n in sizes]))
    return bars(groups, "Keying at fleet scale")


def main():
    args = arguments()
    sizes = sorted(map(int, args.sizes.split(",")))
    kinds = [kind for kind in KINDS if kind not in args.without.split(",")]
    try:
        derive_rounds, rounds = measure(args, sizes, kinds)
    except BenchError as error:
        print(f"./dev bench keying: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    derive = medians(derive_rounds)
    results = {kind: {n: medians(r) for n, r in by_size.items()} for kind, by_size in rounds.items()}
    table(derive, results, sizes)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(
            {"derive": derive, "medians": results, "rounds": {"derive": derive_rounds, **rounds},
             "cpus": os.cpu_count(), "kernel": os.uname().release, "load_average": os.getloadavg(),
             "openssl": subprocess.run(["openssl", "version"], text=True, capture_output=True).stdout.strip()},
            indent=1) + "\n")
    if args.svg:
        pathlib.Path(args.svg).write_text(chart(derive, results, sizes))
    print("\n" + summary(derive, results, sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
