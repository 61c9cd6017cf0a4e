#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over every source, looking again only at what changed: ./dev lint --clang-tidy [REGEX]

A source that was found clean is remembered in build/clang-tidy with the digest of every file it
includes, of its compile command, of .clang-tidy and of the program; while all of these are the same
it is not looked at again. A run that is broken off keeps what it has.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
FINDING = re.compile(r"^(\S+:\d+:\d+: )?(warning|error): ", re.M)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Linter:
    def __init__(self, top, build, tidy="clang-tidy-14", compiler="clang++-14"):
        self.top, self.build, self.tidy, self.compiler = pathlib.Path(top), pathlib.Path(build), tidy, compiler
        self.cache = self.top / "build" / "clang-tidy"
        entries = json.loads((self.build / "compile_commands.json").read_text())
        self.commands = {os.path.realpath(os.path.join(e["directory"], e["file"])): e for e in entries}
        version = subprocess.run([tidy, "--version"], capture_output=True, check=True).stdout
        self.common = digest(version + (self.top / ".clang-tidy").read_bytes())
        self.files = {}

    def digest_of(self, path):
        if path not in self.files:
            try:
                self.files[path] = digest(pathlib.Path(path).read_bytes())
            except OSError:
                self.files[path] = "gone"
        return self.files[path]

    def arguments(self, unit):
        entry = self.commands[unit]
        return entry["directory"], entry.get("arguments") or shlex.split(entry["command"])

    def key(self, unit):
        return digest((self.common + "\0".join(self.arguments(unit)[1])).encode())

    def memory(self, unit):
        return self.cache / (os.path.relpath(unit, self.top).replace("/", "+") + ".json")

    def unchanged(self, unit):
        path = self.memory(unit)
        if not path.exists():
            return False
        known = json.loads(path.read_text())
        return known["key"] == self.key(unit) and all(self.digest_of(f) == d for f, d in known["files"].items())

    def includes(self, unit):
        """Every file the source is made of, as the compiler sees it."""
        directory, arguments = self.arguments(unit)
        while os.path.basename(arguments[0]) == "ccache":
            arguments = arguments[1:]
        kept, skip = [], False
        for argument in arguments[1:]:
            if skip or argument in ("-c", "-MD", "-MMD"):
                skip = False
            elif argument in ("-o", "-MF", "-MT"):
                skip = True
            else:
                kept.append(argument)
        done = subprocess.run([self.compiler, "-w", "-Wno-unknown-warning-option", *kept, "-M", "-MT", "x"], cwd=directory,
                              capture_output=True, text=True)
        if done.returncode != 0:
            return None
        names = shlex.split(done.stdout.replace("\\\n", " "))[1:]
        return sorted({os.path.realpath(os.path.join(directory, n)) for n in names})

    def look(self, unit):
        """None when the source is clean, otherwise what was found."""
        self.memory(unit).unlink(missing_ok=True)
        done = subprocess.run([self.tidy, "--quiet", "-p", str(self.build), unit], capture_output=True, text=True, cwd=self.top)
        if done.returncode != 0 or FINDING.search(done.stdout):
            return done.stdout.strip() or done.stderr.strip() or f"{self.tidy} left with {done.returncode}"
        files = self.includes(unit)
        if files:
            self.cache.mkdir(parents=True, exist_ok=True)
            known = {"key": self.key(unit), "files": {f: self.digest_of(f) for f in files}}
            fresh = self.memory(unit).with_suffix(".new")
            fresh.write_text(json.dumps(known))
            fresh.replace(self.memory(unit))
        return None


def run(linter, units, jobs, say=print):
    strangers = [u for u in units if u not in linter.commands]
    todo = [u for u in units if u in linter.commands and not linter.unchanged(u)]
    say(f"{len(units)} sources, {len(units) - len(todo) - len(strangers)} as they were when they were clean")
    found = {u: f"{u}: in no compile command; build the preset first" for u in strangers}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        def one(unit):
            began = time.monotonic()
            return unit, linter.look(unit), time.monotonic() - began
        for n, (unit, words, seconds) in enumerate(pool.map(one, todo), 1):
            say(f"[{n}/{len(todo)}] {os.path.relpath(unit, linter.top)}: {'clean' if words is None else 'FINDINGS'} ({seconds:.0f} s)")
            if words is not None:
                found[unit] = words
    for words in sorted({block for text in found.values() for block in split(text)}):
        say(words)
    say(f"clang-tidy: {len(units)} sources, {len(todo)} looked at now, {len(found)} with findings")
    return 1 if found else 0


def split(text):
    """One block a finding, so that what a header does is told once and not for each that includes it."""
    blocks, current = [], []
    for line in text.splitlines():
        if FINDING.match(line) or re.match(r"\S+:\d+:\d+: (warning|error): ", line):
            if current:
                blocks.append("\n".join(current))
            current = []
        current.append(line)
    return blocks + (["\n".join(current)] if current else [])


def main():
    p = argparse.ArgumentParser(prog="./dev lint --clang-tidy", description=__doc__.split("\n")[0])
    p.add_argument("only", nargs="?", default=".", metavar="REGEX", help="only sources whose path matches")
    p.add_argument("--build", default=str(TOP / "build" / "dev"))
    p.add_argument("--jobs", type=int, default=os.cpu_count())
    args = p.parse_args()
    listed = subprocess.run(["git", "ls-files", "src/*.cpp", "apps/*.cpp"], cwd=TOP, capture_output=True, text=True, check=True)
    units = [str(TOP / name) for name in listed.stdout.split() if not name.endswith("_test.cpp") and re.search(args.only, name)]
    if not units:
        p.error(f"no source matches {args.only}")
    return run(Linter(TOP, args.build), units, args.jobs, lambda text: print(text, flush=True))


if __name__ == "__main__":
    sys.exit(main())
