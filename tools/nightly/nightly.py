#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Everything that is too long for every change: ./dev nightly

Runs each step, goes on when one fails, and writes docs/nightly.md: the commit, the machine, how
long each step took, and the line in which it says what came of it. Exits 1 when any step failed.
"""
import argparse
import datetime
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
# Step, command, and what its telling line looks like (the last that matches).
STEPS = [
    ("lint with clang-tidy", ["lint", "--clang-tidy"], r"Lint clean"),
    ("all tests", ["test"], r"tests passed"),
    ("sanitizers", ["test", "--sanitizers"], r"tests passed"),
    ("line coverage", ["coverage"], r"^TOTAL"),
    ("simulator, seeds 1 to 1000", ["sim", "swarm", "--seeds", "1..1000"], r"\S"),
    ("random kills, 100 rounds", ["chaos", "--rounds", "100"], r"\S"),
    ("demo", ["demo"], r"^(PASS|FAIL)"),
    ("demo, 16 devices", ["demo", "--devices", "16"], r"^(PASS|FAIL)"),
]


def fuzz_targets():
    listed = (TOP / "docs" / "fuzzing.md").read_text()
    return re.findall(r"^\| `([a-z0-9_]+)` \|", listed, re.M)


def run(name, command, telling, log_dir):
    log = log_dir / (re.sub(r"[^a-z0-9]+", "-", name.lower()) + ".log")
    began = time.monotonic()
    with open(log, "wb") as out:
        code = subprocess.run([TOP / "dev", *command], stdout=out, stderr=subprocess.STDOUT).returncode
    seconds = time.monotonic() - began
    lines = [l for l in log.read_text(errors="replace").splitlines() if re.search(telling, l)]
    said = re.sub(r"\s+", " ", lines[-1]).strip() if lines else "said nothing"
    print(f"{'ok  ' if code == 0 else 'FAIL'} {name}: {said} ({seconds:.0f} s; {log})", flush=True)
    return name, command, code, seconds, said


def git(*args):
    return subprocess.run(["git", *args], cwd=TOP, capture_output=True, text=True, check=True).stdout.strip()


def main():
    p = argparse.ArgumentParser(prog="./dev nightly", description=__doc__.split("\n")[0])
    p.add_argument("--minutes", type=float, default=10, help="of each fuzz target")
    p.add_argument("--only", metavar="REGEX", default=".", help="only the steps whose names match")
    p.add_argument("--output", metavar="FILE", default=str(TOP / "docs" / "nightly.md"))
    args = p.parse_args()
    steps = STEPS + [(f"fuzz {t}", ["fuzz", t, "--minutes", f"{args.minutes:g}"], r"execs?|exec/s|DONE") for t in fuzz_targets()]
    steps = [s for s in steps if re.search(args.only, s[0])]
    log_dir = TOP / "build" / "nightly"
    log_dir.mkdir(parents=True, exist_ok=True)
    results = [run(*step, log_dir) for step in steps]
    failed = sum(1 for r in results if r[2] != 0)
    dirty = " with changes that are not committed" if git("status", "--porcelain", "--", "src", "apps", "tests", "tools") else ""
    text = [
        "# The last night", "",
        "`./dev nightly` runs what is too long for every change and writes this page.", "",
        f"Commit {git('rev-parse', '--short', 'HEAD')}{dirty}, {datetime.date.today()}, {os.cpu_count()} cores, Linux "
        f"{platform.release().split('-')[0]}. {len(results) - failed} of {len(results)} steps passed.", "",
        "| step | | seconds | what it said | command |", "|---|---|---|---|---|",
    ]
    for name, command, code, seconds, said in results:
        said = said.replace("|", "\\|")[:140]
        text.append(f"| {name} | {'passed' if code == 0 else f'**failed ({code})**'} | {seconds:.0f} | {said} "
                    f"| `./dev {' '.join(command)}` |")
    pathlib.Path(args.output).write_text("\n".join(text) + "\n")
    print(f"{failed} of {len(results)} steps failed; {args.output}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
