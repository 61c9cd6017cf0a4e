#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libFuzzer on one target, several, or all of them: ./dev fuzz (docs/fuzzing.md)

Builds the targets, runs them as many at a time as there are cores, and says in one line a target
what came of it. Fails with the commands that show it again when a target breaks. New inputs go to
build/fuzz-corpus; --keep takes the smallest of those that reach something new into tests/fuzz/corpus.
"""
import argparse
import base64
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
UNIT_TIMEOUT_S = 25
RSS_LIMIT_MB = 2048
# What may be kept of a target, in octets: every test run of every preset replays it.
KEEP_MAX = 24 * 1024
KEEP_INPUT_MAX = 4096
INLINE_MAX = 1024  # an input up to this size is printed, so that it survives the machine


class Places:
    """Where things are, below one root: the tests have a root of their own."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.corpora = self.root / "tests/fuzz/corpus"
        self.dictionaries = self.root / "tests/fuzz/dictionaries"
        self.build = self.root / "build"

    def targets(self):
        return sorted(d.name for d in self.corpora.iterdir() if d.is_dir())

    def binary(self, target):
        return self.build / "fuzz/bin" / f"fuzz_{target}"

    def kept(self, target):
        return self.corpora / target

    def found(self, target):
        return self.build / "fuzz-corpus" / target

    def crashes(self, target):
        return self.build / "fuzz-crashes" / target

    def shown(self, path):
        return os.path.relpath(path, self.root)


def options(places, target):
    flags = [f"-timeout={UNIT_TIMEOUT_S}", f"-rss_limit_mb={RSS_LIMIT_MB}", "-print_final_stats=1"]
    dictionary = places.dictionaries / f"{target}.dict"
    if dictionary.exists():
        flags.append(f"-dict={dictionary}")
    return flags


def run_logged(command, log):
    """Exit code and processor seconds of a command whose output goes to a file."""
    with open(log, "ab") as out:
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def artifacts(directory):
    return {p for p in directory.iterdir() if re.match(r"(crash|leak|oom|timeout)-", p.name)}


def statistics(log):
    """Sums over the runs of one log: a run that was interrupted by a false alarm has a second part."""
    text = log.read_text(errors="replace")
    executed = sum(int(n) for n in re.findall(r"^stat::number_of_executed_units: *(\d+)", text, re.M))
    added = sum(int(n) for n in re.findall(r"^stat::new_units_added: *(\d+)", text, re.M))
    edges = re.findall(r"\bcov: (\d+)", text)
    return executed, added, int(edges[-1]) if edges else 0


def reason(log):
    """The line that says what broke."""
    for pattern in (r"does not hold: .*", r"runtime error: .*", r"ERROR: \w+Sanitizer: .*", r"ERROR: libFuzzer: .*",
                    r"terminate called .*", r".*Assertion .*"):
        found = re.findall(pattern, log.read_text(errors="replace"))
        if found:
            return found[-1].strip()
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def stands_still(places, target, artifact):
    """Does the input take that long a second time? A machine that slept makes any input look slow."""
    with tempfile.NamedTemporaryFile() as log:
        code, _ = run_logged([places.binary(target), *options(places, target), artifact], log.name)
    return code != 0


def fuzz(places, target, seconds, seed=None):
    """Runs one target and says what came of it."""
    found, crashes = places.found(target), places.crashes(target)
    for directory in (found, crashes):
        directory.mkdir(parents=True, exist_ok=True)
    log = crashes / "log"
    log.unlink(missing_ok=True)
    dice = [] if seed is None else [f"-seed={seed}"]
    before = artifacts(crashes)
    began, processor, broken = time.monotonic(), 0.0, None
    while True:
        left = max(1, round(seconds - (time.monotonic() - began)))
        code, used = run_logged([places.binary(target), f"-max_total_time={left}", *dice, *options(places, target),
                                 f"-artifact_prefix={crashes}/", found, places.kept(target)], log)
        processor += used
        if code == 0:
            break
        new = sorted(artifacts(crashes) - before)
        if len(new) == 1 and new[0].name.startswith("timeout-") and not stands_still(places, target, new[0]):
            new[0].unlink()
            if time.monotonic() - began < seconds:
                continue
            break
        broken = {"why": reason(log), "input": str(new[-1]) if new else None, "exit": code}
        break
    executed, added, edges = statistics(log)
    return {"target": target, "seconds": time.monotonic() - began, "processor_s": processor, "executed": executed,
            "added": added, "edges": edges, "broken": broken}


def line(result):
    rate = result["executed"] / result["processor_s"] if result["processor_s"] > 0 else 0
    return (f"{'FAIL' if result['broken'] else 'ok'} {result['target']}: {result['executed']:,} executions, "
            f"{result['added']:,} new inputs, {rate:,.0f} a second of processor time "
            f"({result['processor_s']:.0f} s of {result['seconds']:.0f} s), {result['edges']:,} edges")


def again(places, result):
    """How to see it once more."""
    target, broken = result["target"], result["broken"]
    said = [f"{target} broke: {broken['why']}", f"  whole story: {places.shown(places.crashes(target) / 'log')}"]
    if broken["input"] is None:
        said.append(f"  it left no input; again: ./dev fuzz {target}")
        return "\n".join(said)
    shown = places.shown(broken["input"])
    octets = pathlib.Path(broken["input"]).read_bytes()
    if len(octets) <= INLINE_MAX:
        said.append(f"  the input: mkdir -p {os.path.dirname(shown)}; base64 -d >{shown} <<<{base64.b64encode(octets).decode()}")
    said += [f"  again: {places.shown(places.binary(target))} {shown}",
             f"  again: build/ci/bin/cygnet-fuzz-replay {target} {shown}",
             f"  mend it, and keep the input in {places.shown(places.kept(target))}"]
    return "\n".join(said)


def keep(places, target, most=KEEP_MAX):
    """Takes from build/fuzz-corpus what reaches something new, smallest first, while there is room."""
    kept = places.kept(target)
    size = sum(p.stat().st_size for p in kept.iterdir())
    with tempfile.TemporaryDirectory() as scratch:
        merged = pathlib.Path(scratch) / "merged"
        merged.mkdir()
        known = {p.read_bytes() for p in kept.iterdir()}
        for path in kept.iterdir():
            shutil.copy(path, merged / path.name)
        # -merge=1 adds to its first directory whatever of the second reaches more than the first.
        code, _ = run_logged([places.binary(target), "-merge=1", f"-max_len={KEEP_INPUT_MAX}", *options(places, target),
                              merged, places.found(target)], pathlib.Path(scratch) / "log")
        if code != 0:
            raise SystemExit(f"fuzz: merging {target} failed:\n{(pathlib.Path(scratch) / 'log').read_text(errors='replace')[-2000:]}")
        new = sorted((p for p in merged.iterdir() if p.read_bytes() not in known), key=lambda p: (p.stat().st_size, p.name))
        taken = 0
        for path in new:
            if size + path.stat().st_size > most:
                break
            shutil.copy(path, kept / path.name)
            size += path.stat().st_size
            taken += 1
    return taken, len(new), size


def build(targets):
    subprocess.run([TOP / "dev", "build", "fuzz", *(f"fuzz_{t}" for t in targets)], check=True)


def parse(argv, places):
    p = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__.split("\n")[0],
                                epilog="targets: " + " ".join(places.targets()))
    p.add_argument("target", nargs="*")
    p.add_argument("--all", action="store_true", help="every target")
    p.add_argument("--minutes", type=float, help="how long each (default 10)")
    p.add_argument("--seconds", type=float, help="the same in seconds")
    p.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time (default: cores)")
    p.add_argument("--seed", type=int, help="where libFuzzer's dice begin (default: at random)")
    p.add_argument("--keep", action="store_true", help="afterwards, take what is worth it into tests/fuzz/corpus")
    p.add_argument("--json", metavar="FILE", help="write the results there too")
    args = p.parse_args(argv)
    if not args.target and not args.all:
        p.print_usage()
        print("\n".join(places.targets()))
        sys.exit(2)
    unknown = sorted(set(args.target) - set(places.targets()))
    if unknown:
        p.error(f"unknown target {', '.join(unknown)}; the targets are {', '.join(places.targets())}")
    if args.minutes is not None and args.seconds is not None:
        p.error("--minutes and --seconds exclude each other")
    args.target = places.targets() if args.all else args.target
    args.seconds = args.seconds if args.seconds is not None else 60 * (10 if args.minutes is None else args.minutes)
    if args.seconds < 1 or args.jobs < 1:
        p.error("at least one second, and one job")
    return args


def run(args, places):
    results = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for done in concurrent.futures.as_completed([pool.submit(fuzz, places, t, args.seconds, args.seed) for t in args.target]):
            results.append(done.result())
            print(line(results[-1]), flush=True)
    results.sort(key=lambda r: r["target"])
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results, indent=1) + "\n")
    broken = [r for r in results if r["broken"]]
    for result in broken:
        print("\n" + again(places, result), file=sys.stderr)
    if args.keep:
        for target in [r["target"] for r in results if not r["broken"]]:
            taken, new, size = keep(places, target)
            print(f"kept {target}: {taken} of {new} inputs that reach something new; {size:,} octets now")
    print(f"{len(results) - len(broken)} of {len(results)} targets clean: {sum(r['executed'] for r in results):,} executions, "
          f"{sum(r['added'] for r in results):,} new inputs, {sum(r['processor_s'] for r in results):,.0f} s of processor time")
    return 1 if broken else 0


def main():
    places = Places(TOP)
    args = parse(sys.argv[1:], places)
    build(args.target)
    return run(args, places)


if __name__ == "__main__":
    sys.exit(main())
