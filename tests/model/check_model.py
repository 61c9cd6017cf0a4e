#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs spin over docs/model/rekey.pml: every scenario to exhaustion without an error, and every rule
taken out once, which must break a named property. One verifier is compiled; a scenario and the rule
that is missing reach it as environment (docs/model/README.md).

  check_model.py MODEL [--scenario TEXT] [--only scenarios|faults]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

# Budgets, and a floor for the number of states: far fewer would mean that the model got stuck.
SCENARIOS = [
    ("first contact, one rekey", "FROM_SCRATCH=1 REKEYS_A=1", 8_000),
    ("first contact, a rekey each", "FROM_SCRATCH=1 REKEYS_A=1 REKEYS_B=1", 100_000),
    ("first contact, controller away", "FROM_SCRATCH=1 DETACHES=1", 2_000),
    ("simultaneous rekeys", "REKEYS_A=1 REKEYS_B=1 PAIRS_MAX=4", 30_000),
    ("simultaneous rekeys, one-way", "REKEYS_A=1 REKEYS_B=1 ONE_WAY=1", 20_000),
    ("simultaneous rekeys, replayed DIM", "REKEYS_A=1 REKEYS_B=1 REPLAYS=1", 60_000),
    ("simultaneous rekeys, controller away", "REKEYS_A=1 REKEYS_B=1 DETACHES=1", 100_000),
    ("simultaneous rekeys, overtaking", "REKEYS_A=1 REKEYS_B=1 DELAYS=1 LOSSY=0", 400_000),
    ("rekey, overtaking", "REKEYS_A=1 DELAYS=1", 2_500),
    ("rekeys one upon another", "REKEYS_A=2", 1_500),
    ("rekeys one upon another, overtaking", "REKEYS_A=2 DELAYS=1", 15_000),
    ("overlapping rekeys, no loss", "REKEYS_A=2 REKEYS_B=1 LOSSY=0", 250_000),
    ("restart, the peer rekeys", "REKEYS_B=1 RESTARTS=1", 15_000),
    ("restart, overtaking", "REKEYS_B=1 RESTARTS=1 DELAYS=1", 150_000),
    ("restart, controller away", "REKEYS_A=1 RESTARTS=1 DETACHES=1", 40_000),
    ("two restarts behind a NAT", "REKEYS_B=1 RESTARTS=2 NAT=1", 30_000),
    ("failing install", "REKEYS_B=1 FAILS=1", 12_000),
    ("two failing installs", "REKEYS_A=1 FAILS=2", 150_000),
    ("failing install, restart", "FAILS=1 RESTARTS=1", 12_000),
    ("controller away", "REKEYS_A=1 DETACHES=1", 1_000),
    ("flush by hand, controller away", "FLUSHES=1 DETACHES=1", 1_000),
    ("flush by hand during a rekey", "FLUSHES=1 REKEYS_A=1", 4_000),
    ("flush by hand, the peer rekeys", "FLUSHES=1 REKEYS_B=1", 30_000),
    ("two flushes", "FLUSHES=2", 2_000),
    ("replayed DIM", "REKEYS_A=1 REPLAYS=1", 500),
]

# Rule taken out: where that shows, and as what. Every rule of the model stands here.
FAULTS = {
    "START": ("FROM_SCRATCH=1 REKEYS_A=1", "L1_to_L4"),
    "START_OLDEST": ("FROM_SCRATCH=1 REKEYS_A=1", "S1"),
    "HELD": ("FROM_SCRATCH=1 REKEYS_A=1", "S1"),
    "INSTALL_ONCE": ("FLUSHES=1 DETACHES=1", "S2"),
    "TAKE_OVER": ("FROM_SCRATCH=1 REKEYS_A=1", "S1"),
    "NO_HOLE": ("REKEYS_B=1 FAILS=1", "S6"),
    "ROLL_OVER_ON_FAILURE": ("REKEYS_B=1 FAILS=1", "L1_to_L4"),
    "INSTALL_BEFORE_PUBLISH": ("FROM_SCRATCH=1 REKEYS_A=1", "S6"),
    "DECISION_NEEDS_LIVE": ("FROM_SCRATCH=1 REKEYS_A=1", "S1"),
    "PROBE": ("REKEYS_A=1 REKEYS_B=1 ONE_WAY=1", "L1_to_L4"),
    "PROBE_REPEATS": ("REKEYS_A=1 REKEYS_B=1 ONE_WAY=1", "L1_to_L4"),
    "PROBE_ANSWERS": ("REKEYS_A=1 REKEYS_B=1 ONE_WAY=1", "L1_to_L4"),
    "BOUND_LOCAL": ("REKEYS_A=2", "S3"),
    "DRAIN": ("REKEYS_A=1 DELAYS=1", "S1"),
    "RULE3": ("FROM_SCRATCH=1 REKEYS_A=1", "L1_to_L4"),
    "RULE4_AND_BOUNDS": ("REKEYS_A=2", "L1_to_L4"),
    "FORGET": ("FROM_SCRATCH=1 REKEYS_A=1", "S4"),
    "FORGET_AFTER_ACCEPTED": ("FROM_SCRATCH=1 REKEYS_A=1", "S4"),
    "RESTART_REPLACES": ("REKEYS_B=1 RESTARTS=1", "S1"),
    "REPUBLISH": ("REKEYS_A=1 DETACHES=1", "L1_to_L4"),
    "COUNTER_CHECK": ("REKEYS_A=1 REPLAYS=1", "S5"),
    "START_ACKNOWLEDGED": ("REKEYS_B=1 RESTARTS=1 NAT=1", "L1_to_L4"),
    "NEVER_BACK": ("FROM_SCRATCH=1 REKEYS_A=1", "S1"),
    "HEARD_NEWER": ("FROM_SCRATCH=1 REKEYS_A=1 REKEYS_B=1", "S1"),
}

DEPTH = 200_000
MEGABYTES = 2000
SECONDS = 600


def settings(text, no=0):
    environment = dict(os.environ)
    environment.update(pair.split("=") for pair in text.split())
    environment["NO"] = str(no)
    return environment


def rules_of(model):
    """The numbered rules: from START to the definition of RULE()."""
    with open(model, encoding="utf-8") as file:
        text = file.read()
    part = text[text.index("#define START 1\n"):text.index("#define RULE(x)")]
    return {name: int(number) for name, number in re.findall(r"#define (\w+) (\d+)", part)}


def build(model, directory):
    for command in (["spin", "-a", model],
                    ["gcc", "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEGABYTES}",
                     "-o", "pan", "pan.c"]):
        try:
            done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit(f"check_model: {command[0]} is not installed (Debian packages spin and gcc)")
        if done.returncode != 0 or not os.path.isdir(directory):
            sys.exit(f"check_model: {' '.join(command)} failed\n{done.stdout}{done.stderr}")
    return os.path.join(directory, "pan")


def run(verifier, environment):
    """Errors, what is violated, states, depth, whether the search went through."""
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run([verifier, f"-m{DEPTH}", "-n"], cwd=directory, env=environment,
                              capture_output=True, text=True, timeout=SECONDS)
    out = done.stdout + done.stderr
    errors = re.search(r"errors: (\d+)", out)
    states = re.search(r"(\d+) states, stored", out)
    depth = re.search(r"depth reached (\d+)", out)
    memory = re.search(r"([\d.]+)\s+total actual memory usage", out)
    if errors is None or states is None or depth is None or memory is None:
        sys.exit(f"check_model: the verifier's output is not understood\n{out}")
    violated = re.search(r"assertion violated \(?(\w+)", out)
    other = re.search(r"^pan:1: (.*)$", out, re.M)
    cut = [word for word in ("max search depth too small", "Search not completed", "out of memory",
                             "memory reached") if word in out]
    return {"errors": int(errors[1]), "states": int(states[1]), "depth": int(depth[1]),
            "memory": float(memory[1]),
            "violated": violated[1] if violated else other[1] if other else "", "cut": cut}


def check_scenarios(verifier, wanted):
    bad = 0
    for name, text, floor in SCENARIOS:
        if wanted and wanted not in name:
            continue
        result = run(verifier, settings(text))
        good = result["errors"] == 0 and not result["cut"] and result["states"] >= floor
        bad += not good
        word = "exhausted" if result["errors"] == 0 and not result["cut"] else "NOT exhausted"
        print(f"{'ok  ' if good else 'FAIL'} {name:36} {word}: {result['states']:7} states, depth "
              f"{result['depth']:3}, errors: {result['errors']}, {result['memory']:.0f} MB  ({text})"
              f"{' ' + result['violated'] if result['violated'] else ''}"
              f"{' ' + ', '.join(result['cut']) if result['cut'] else ''}"
              f"{f' fewer than {floor} states' if result['states'] < floor else ''}", flush=True)
    return bad


def check_faults(verifier, rules):
    bad = 0
    for rule in sorted(set(rules) - set(FAULTS)):
        bad += 1
        print(f"FAIL {rule}: no planted fault is listed for this rule")
    for rule, (text, expected) in FAULTS.items():
        if rule not in rules:
            bad += 1
            print(f"FAIL {rule}: listed as a planted fault, but no rule of the model")
            continue
        result = run(verifier, settings(text, rules[rule]))
        good = result["errors"] > 0 and result["violated"] == expected
        bad += not good
        print(f"{'ok  ' if good else 'FAIL'} without {rule:24} {result['violated'] or 'nothing found'}"
              f"{'' if good else ', expected ' + expected}  ({text})", flush=True)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--scenario", default="", help="only scenarios whose name contains this")
    parser.add_argument("--only", choices=("scenarios", "faults"))
    arguments = parser.parse_args()
    model = os.path.abspath(arguments.model)
    bad = 0
    with tempfile.TemporaryDirectory() as directory:
        verifier = build(model, directory)
        if arguments.only != "faults":
            bad += check_scenarios(verifier, arguments.scenario)
        if arguments.only != "scenarios":
            bad += check_faults(verifier, rules_of(model))
    print(f"{bad} failed" if bad else "all as expected")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
