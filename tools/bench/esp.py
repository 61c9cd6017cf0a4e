#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Encapsulation and decapsulation alone: ./dev bench esp

Runs bench/esp_bench with its parts in random order, several times each, and sets what the data plane
does beside the cipher library's own calls on the same octets, and memcpy. Medians. Instructions are
counted by callgrind as the difference between two runs of different length.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench esp", description=__doc__.split("\n")[0])
    p.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--seconds", type=float, default=0.1, help="of each measurement")
    p.add_argument("--only", metavar="REGEX", default=".", help="only what matches, such as 1400 or gcm")
    p.add_argument("--no-instructions", action="store_true", help="leave callgrind out")
    p.add_argument("--json", metavar="FILE")
    return p.parse_args()


def medians(args):
    """Name → nanoseconds, cycles and octets a second, a packet each."""
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "out.json")
        subprocess.run([args.bin, f"--benchmark_filter={args.only}", f"--benchmark_repetitions={args.rounds}",
                        f"--benchmark_min_time={args.seconds}", "--benchmark_enable_random_interleaving=true",
                        "--benchmark_report_aggregates_only=true", f"--benchmark_out={out}",
                        "--benchmark_out_format=json"], check=True, stdout=subprocess.DEVNULL)
        with open(out) as f:
            rows = json.load(f)["benchmarks"]
    result = {}
    for row in rows:
        if row.get("aggregate_name") == "median":
            name = row["run_name"].removesuffix("/manual_time")
            result[name] = {"ns": 1e9 / row["items_per_second"], "gb_s": row["bytes_per_second"] / 1e9,
                            "mpps": row["items_per_second"] / 1e6, "cycles": row["cycles_a_packet"]}
    return result


def instructions(binary, name):
    """Instructions a packet: what the second thousand packets add to the first."""
    counts = []
    for packets in (1024, 2048):
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", binary, "--count", name,
                               str(packets)], capture_output=True, text=True, check=True)
        counts.append(int(re.search(r"Collected : (\d+)", done.stderr).group(1)))
    return (counts[1] - counts[0]) / 1024


def main():
    args = arguments()
    result = medians(args)
    if not result:
        print(f"./dev bench esp: nothing matches '{args.only}'", file=sys.stderr)
        return 1
    if not args.no_instructions and shutil.which("valgrind"):
        for name, row in result.items():
            # Opening needs packets that were sealed: what that costs is taken off again.
            row["instructions"] = instructions(args.bin, name) - (
                instructions(args.bin, name.replace("open/", "seal/", 1)) if name.startswith("open/") else 0)
    print(f"{'':44}{'Mpps':>8}{'GB/s':>8}{'ns':>8}{'cycles':>8}{'instr.':>8}{'of the library':>16}")
    summary = []
    for name in sorted(result, key=lambda n: (int(n.rsplit("/", 1)[1]), n.split("/")[-2], n)):
        row = result[name]
        raw = result.get("library-" + name)
        if raw:
            row["of_library"] = raw["ns"] / row["ns"]
            summary.append(f"{name} {row['of_library']:.0%}")
        print(f"{name:44}{row['mpps']:8.2f}{row['gb_s']:8.2f}{row['ns']:8.0f}{row['cycles']:8.0f}"
              + (f"{row['instructions']:8.0f}" if "instructions" in row else f"{'-':>8}")
              + (f"{row['of_library']:16.0%}" if raw else ""))
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"medians": result, "rounds": args.rounds, "cpus": os.cpu_count(),
                                                       "kernel": os.uname().release}, indent=1) + "\n")
    print("\nof the library's own speed: " + (", ".join(summary) or "no library to compare with"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
