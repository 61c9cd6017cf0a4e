#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Everything that is too long for every change: ./dev nightly

Runs each step, goes on when one fails, and keeps of each its last result in docs/nightly.json, with
the commit it ran on; docs/nightly.md is made from that file, so a night may be run in several goes
(--only). Exits 1 when a step that was run failed.
"""
import argparse
import collections
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
SCENARIOS = ["calm", "network", "controller", "device", "policy", "liar", "crypto", "mixed", "fifty"]
LINES_KEPT = 24
LINE_MAX = 200
# What a step may depend on: a result on a tree with changes there says so.
SOURCES = ["CMakeLists.txt", "CMakePresets.json", "apps", "cmake", "dev", "docs/model", "proto", "src", "tests", "tools"]

# The command is one of ./dev; `telling` matches the lines that say what came of it, the last above all.
Step = collections.namedtuple("Step", "name command telling")


def fuzz_targets():
    return sorted(d.name for d in (TOP / "tests/fuzz/corpus").iterdir() if d.is_dir())


def steps(minutes=10):
    return [
        Step("lint with clang-tidy", ["lint", "--clang-tidy"], r"^clang-tidy: |Lint clean"),
        Step("all tests", ["test"], r"\d+% tests passed|^\d+ obligations"),
        Step("sanitizers", ["test", "--sanitizers"], r"\d+% tests passed"),
        Step("line coverage", ["coverage"], r"^lines: "),
        *(Step(f"simulator, {s}, seeds 1 to 1000", ["sim", "swarm", "--scenario", s, "--seeds", "1..1000"], r"^scenario |BROKEN|NEVER")
          for s in SCENARIOS),
        Step("explorer, every scenario in depth", ["explore", "--thorough"], r"states"),
        Step("model", ["test", "^model_"], r"\d+% tests passed"),
        Step("random kills, 100 rounds", ["chaos", "--rounds", "100"], r"^ *(kills|datagrams|OUTSIDE EVERY WINDOW|underlay) |^(PASS|FAIL)"),
        Step("demo, 5 devices", ["demo"], r"^(PASS|FAIL)"),
        Step("demo, 16 devices", ["demo", "--devices", "16"], r"^(PASS|FAIL)"),
        *(Step(f"fuzz {t}", ["fuzz", t, "--minutes", f"{minutes:g}"], r"^(ok|FAIL) ") for t in fuzz_targets()),
    ]


class Night:
    def __init__(self, top, out=print):
        self.top = pathlib.Path(top)
        self.kept = self.top / "docs" / "nightly.json"
        self.page = self.top / "docs" / "nightly.md"
        self.logs = self.top / "build" / "nightly"
        self.out = out

    def read(self):
        """The last result of each step, by name."""
        return json.loads(self.kept.read_text()) if self.kept.exists() else {}

    def git(self, *args):
        return subprocess.run(["git", *args], cwd=self.top, capture_output=True, text=True, check=True).stdout.strip()

    def run(self, step):
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / (re.sub(r"[^a-z0-9]+", "-", step.name.lower()) + ".log")
        commit, dirty = self.git("rev-parse", "--short", "HEAD"), self.changed()
        date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        began = time.monotonic()
        with open(log, "wb") as out:
            code = subprocess.run([self.top / "dev", *step.command], cwd=self.top, stdout=out, stderr=subprocess.STDOUT).returncode
        seconds = round(time.monotonic() - began)
        said = [plain(l) for l in log.read_text(errors="replace").splitlines() if re.search(step.telling, l)][-LINES_KEPT:]
        result = {"passed": code == 0, "exit": code, "seconds": seconds, "date": date, "commit": commit, "dirty": dirty,
                  "command": "./dev " + " ".join(step.command), "said": said,
                  "machine": f"{os.cpu_count()} cores, Linux {platform.release().split('-')[0]}"}
        self.out(f"{'ok  ' if code == 0 else 'FAIL'} {step.name}: {said[-1] if said else 'said nothing'} ({seconds} s; {log})")
        return result

    def changed(self):
        there = [p for p in SOURCES if (self.top / p).exists()]
        return self.git("status", "--porcelain", "--", *there) != ""

    def keep(self, name, result):
        """At once, so that a night that is broken off keeps what it has; other nights' words are left."""
        results = self.read()
        results[name] = result
        write(self.kept, json.dumps(results, indent=1, sort_keys=True) + "\n")
        write(self.page, self.text(results))

    def text(self, results):
        every = steps()
        ran = [(s, results[s.name]) for s in every if s.name in results]
        missing = [s for s in every if s.name not in results]
        passed = sum(1 for _, r in ran if r["passed"])
        lines = ["# The last night", "",
                 "`./dev nightly` runs what is too long for every change, whole or in parts (`--only REGEX`), and writes this page from",
                 "`docs/nightly.json`. Each step stands here with its own last run.", "",
                 f"{passed} of {len(every)} steps passed when they last ran, {len(ran) - passed} failed, {len(missing)} have not been run yet.", "",
                 "| step | | commit | date | seconds | what it said |", "|---|---|---|---|---|---|"]
        for step in every:
            if step.name not in results:
                lines.append(f"| {step.name} | not run yet | | | | |")
                continue
            r = results[step.name]
            outcome = "passed" if r["passed"] else f"**failed ({r['exit']})**"
            commit = f"{r['commit']}{' and changes' if r['dirty'] else ''}"
            lines.append(f"| {step.name} | {outcome} | {commit} | {r['date']} | {r['seconds']} | {cell(r['said'][-1] if r['said'] else '')} |")
        for step, r in ran:
            lines += ["", f"## {step.name[0].upper() + step.name[1:]}", "", f"`{r['command']}` on {r['machine']}", ""]
            lines += ["```", *r["said"], "```"] if r["said"] else ["It said nothing."]
        return "\n".join(lines) + "\n"


def plain(line):
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", line)).strip()[:LINE_MAX]


def cell(text):
    return text.replace("|", "\\|")


def write(path, text):
    """Whole or not at all: the file is the only memory of nights before."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def main(argv, night):
    p = argparse.ArgumentParser(prog="./dev nightly", description=__doc__.split("\n")[0])
    p.add_argument("--minutes", type=float, default=10, help="of each fuzz target")
    p.add_argument("--only", metavar="REGEX", default=".", help="only the steps whose names match")
    p.add_argument("--list", action="store_true", help="the steps, and when each ran last")
    args = p.parse_args(argv)
    chosen = [s for s in steps(args.minutes) if re.search(args.only, s.name)]
    if not chosen:
        p.error(f"no step matches {args.only}; the steps are: " + "; ".join(s.name for s in steps()))
    if args.list:
        results = night.read()
        for s in chosen:
            r = results.get(s.name)
            night.out(f"{s.name}: " + (f"{'passed' if r['passed'] else 'failed'} on {r['commit']}, {r['date']}" if r else "not run yet"))
        return 0
    failed = 0
    for step in chosen:
        result = night.run(step)
        failed += not result["passed"]
        night.keep(step.name, result)
    night.out(f"{failed} of {len(chosen)} steps failed; {night.page}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Night(TOP, lambda text: print(text, flush=True))))
