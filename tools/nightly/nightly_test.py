#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The nightly run keeps each step's last result with its own commit, and its page says what is missing."""
import contextlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nightly

HERE = pathlib.Path(__file__).resolve().parent


class Nightly(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = pathlib.Path(scratch.name)
        (self.top / "docs").mkdir()
        (self.top / "src").mkdir()
        self.said = []
        self.night = nightly.Night(self.top, self.said.append)
        self.git("init", "-q")
        self.dev("echo nothing to tell")

    def git(self, *args):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", *who, *args], cwd=self.top, check=True, capture_output=True, text=True).stdout.strip()

    def dev(self, script):
        """A ./dev of one line, committed."""
        path = self.top / "dev"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "--short", "HEAD")

    def run_steps(self, *argv):
        return nightly.main(list(argv), self.night)

    def row(self, name):
        rows = [l for l in self.night.page.read_text().splitlines() if l.startswith(f"| {name} |")]
        self.assertEqual(len(rows), 1)
        return rows[0]

    def test_a_step_is_kept_with_commit_date_and_words_and_the_others_are_said_to_be_missing(self):
        commit = self.dev('echo noise; echo "lines: 97.1% of esp"; echo more noise')
        self.assertEqual(self.run_steps("--only", "coverage"), 0)
        kept = json.loads(self.night.kept.read_text())
        self.assertEqual(list(kept), ["line coverage"])
        result = kept["line coverage"]
        self.assertEqual((result["passed"], result["commit"], result["said"], result["dirty"]), (True, commit, ["lines: 97.1% of esp"], False))
        self.assertRegex(result["date"], r"^\d{4}-\d\d-\d\d \d\d:\d\d UTC$")
        self.assertIn(f"| passed | {commit} |", self.row("line coverage"))
        self.assertIn("97.1%", self.row("line coverage"))
        self.assertIn("not run yet", self.row("demo, 16 devices"))
        self.assertIn(f"1 of {len(nightly.steps())} steps passed", self.night.page.read_text())

    def test_a_later_go_leaves_what_earlier_ones_found(self):
        first = self.dev('echo "PASS in 3 s"')
        self.run_steps("--only", "demo, 5")
        second = self.dev('echo "PASS in 4 s"; touch .')
        self.assertNotEqual(first, second)
        self.run_steps("--only", "demo, 16")
        self.assertIn(first, self.row("demo, 5 devices"))
        self.assertIn(second, self.row("demo, 16 devices"))
        self.run_steps("--only", "demo, 5")
        self.assertIn(second, self.row("demo, 5 devices"))

    def test_a_failed_step_is_told_and_the_next_is_run_all_the_same(self):
        self.dev('case "$*" in *16*) echo "PASS in 5 s" ;; *) echo "FAIL (again with --seed 7)"; exit 3 ;; esac')
        self.assertEqual(self.run_steps("--only", "^demo"), 1)
        self.assertIn("**failed (3)**", self.row("demo, 5 devices"))
        self.assertIn("seed 7", self.row("demo, 5 devices"))
        self.assertIn("passed", self.row("demo, 16 devices"))
        self.assertTrue(any(text.startswith("FAIL demo, 5") for text in self.said))
        self.assertIn("1 of 2 steps failed", self.said[-1])

    def test_a_tree_with_changes_is_not_passed_off_as_the_commit(self):
        (self.top / "src" / "new.cpp").write_text("int a;\n")
        self.run_steps("--only", "demo, 5")
        self.assertIn("and changes", self.row("demo, 5 devices"))

    def test_every_telling_line_of_a_step_stands_on_the_page(self):
        self.dev('echo "1: 16 states"; echo noise; echo "2: 25 states"')
        self.run_steps("--only", "explorer")
        page = self.night.page.read_text()
        for text in ("1: 16 states", "2: 25 states", "./dev explore --thorough"):
            self.assertIn(text, page)
        self.assertIn("2: 25 states", self.row("explorer, every scenario in depth"))

    def test_each_fuzz_target_is_a_step_of_its_own(self):
        self.dev('echo "ok $2: 9 executions"; echo "1 of 1 targets clean: 9 executions"')
        self.run_steps("--only", "fuzz (probes|dim_codec)", "--minutes", "0.5")
        self.assertIn("./dev fuzz probes --minutes 0.5", self.night.page.read_text())
        for target in ("probes", "dim_codec"):
            self.assertIn(f"ok {target}: 9 executions", self.row(f"fuzz {target}"))
        self.assertIn("not run yet", self.row("fuzz rekey_schedule"))

    def test_a_bar_in_what_was_said_does_not_break_the_table(self):
        self.dev('echo "PASS a|b"')
        self.run_steps("--only", "demo, 5")
        self.assertIn("PASS a\\|b", self.row("demo, 5 devices"))

    def test_a_pattern_that_matches_no_step_is_refused(self):
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as said:
            self.run_steps("--only", "no such step")
        self.assertIn("line coverage", said.getvalue())
        self.assertFalse(self.night.kept.exists())

    def test_the_simulators_scenarios_are_all_there(self):
        listed = (HERE.parent.parent / "tests" / "sim" / "CMakeLists.txt").read_text()
        self.assertEqual(nightly.SCENARIOS, re.search(r"foreach\(scenario ([a-z ]+)\)", listed)[1].split())


if __name__ == "__main__":
    unittest.main()
