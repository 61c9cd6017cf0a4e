#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The runner of the fuzz targets, with targets that are shell scripts: a break is told with all that
is needed to see it again, a slow machine is not taken for a slow input, and what is kept stays small."""
import base64
import contextlib
import io
import json
import os
import pathlib
import re
import shlex
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fuzz

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
CLEAN = 'echo "#9 DONE cov: 321 ft: 4 corp: 3/9b"; echo "stat::number_of_executed_units: 5000"; echo "stat::new_units_added: 3"'


class Fuzz(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.places = fuzz.Places(scratch.name)

    def target(self, name, script, kept=("seed",)):
        """A target that is a script; $prefix is where artifacts go, $merge is set when it shall merge."""
        directory = self.places.kept(name)
        directory.mkdir(parents=True)
        for word in kept:
            (directory / word).write_text(word)
        binary = self.places.binary(name)
        binary.parent.mkdir(parents=True, exist_ok=True)
        binary.write_text('#!/bin/sh\nfor a; do case $a in -artifact_prefix=*) prefix=${a#*=} ;; -merge=1) merge=1 ;; '
                          '-dict=*) dict=${a#*=} ;; -*) ;; *) one=${two-}; two=$a ;; esac; done\n' + script + "\n")
        binary.chmod(0o755)

    def run_all(self, *more):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            args = fuzz.parse(["--all", "--seconds", "1", *more], self.places)
            code = fuzz.run(args, self.places)
        return code, out.getvalue(), err.getvalue()

    def test_each_target_gets_a_line_and_all_of_them_a_sum(self):
        self.target("alpha", CLEAN)
        self.target("beta", CLEAN)
        results = self.places.root / "results.json"
        code, out, err = self.run_all("--json", str(results))
        self.assertEqual((code, err), (0, ""))
        for name in ("alpha", "beta"):
            self.assertRegex(out, rf"(?m)^ok {name}: 5,000 executions, 3 new inputs, .* 321 edges$")
        self.assertIn("2 of 2 targets clean: 10,000 executions, 6 new inputs", out)
        self.assertEqual([r["executed"] for r in json.loads(results.read_text())], [5000, 5000])

    def test_a_break_fails_the_run_and_the_other_targets_are_run_all_the_same(self):
        self.target("alpha", 'printf bug >"${prefix}crash-1"; echo "x.cpp:7: does not hold: a == b"; exit 77')
        self.target("beta", CLEAN)
        code, out, err = self.run_all()
        self.assertEqual(code, 1)
        self.assertIn("FAIL alpha", out)
        self.assertIn("ok beta", out)
        self.assertIn("1 of 2 targets clean", out)
        self.assertIn("alpha broke: does not hold: a == b", err)
        for command in ("build/fuzz/bin/fuzz_alpha build/fuzz-crashes/alpha/crash-1",
                        "build/ci/bin/cygnet-fuzz-replay alpha build/fuzz-crashes/alpha/crash-1"):
            self.assertIn(command, err)
        # The input itself stands there, for whoever has only the words.
        written = re.search(r"base64 -d >(\S+) <<<(\S+)", err)
        self.assertEqual((written[1], base64.b64decode(written[2])), ("build/fuzz-crashes/alpha/crash-1", b"bug"))

    def test_an_old_artifact_is_not_taken_for_this_runs(self):
        self.places.crashes("alpha").mkdir(parents=True)
        (self.places.crashes("alpha") / "crash-old").write_text("old")
        self.target("alpha", "echo out of luck; exit 1")
        code, _, err = self.run_all()
        self.assertEqual(code, 1)
        self.assertIn("alpha broke: out of luck", err)
        self.assertNotIn("crash-old", err)
        self.assertIn("it left no input", err)

    def test_a_timeout_that_does_not_happen_again_was_the_machine(self):
        told = shlex.quote(str(self.places.root / "told"))
        self.target("alpha", f'if [ -z "$prefix" ]; then exit 0; fi\nif [ -e {told} ]; then {CLEAN}; exit 0; fi\n'
                             f'touch {told}; printf slow >"${{prefix}}timeout-1"; echo "stat::number_of_executed_units: 11"; exit 70')
        code, out, err = self.run_all()
        self.assertEqual((code, err), (0, ""))
        self.assertFalse((self.places.crashes("alpha") / "timeout-1").exists())
        self.assertIn("ok alpha: 5,011 executions", out)  # both parts are counted

    def test_a_timeout_that_happens_again_is_a_break(self):
        self.target("alpha", 'if [ -z "$prefix" ]; then exit 70; fi\nprintf slow >"${prefix}timeout-1"; '
                             'echo "ERROR: libFuzzer: timeout after 25 seconds"; exit 70')
        code, _, err = self.run_all()
        self.assertEqual(code, 1)
        self.assertIn("alpha broke: ERROR: libFuzzer: timeout", err)
        self.assertIn("timeout-1", err)

    def test_the_dice_begin_where_they_are_told_to(self):
        self.target("alpha", 'echo "all: $*"')
        for arguments, begun in ((["--seed", "7"], True), ([], False)):
            self.run_all(*arguments)
            self.assertEqual("-seed=7 " in (self.places.crashes("alpha") / "log").read_text(), begun, arguments)

    def test_a_dictionary_is_given_where_there_is_one(self):
        self.places.dictionaries.mkdir(parents=True)
        (self.places.dictionaries / "alpha.dict").write_text('"word"\n')
        for name in ("alpha", "beta"):
            self.target(name, 'echo "dictionary: ${dict-none}"')
        self.run_all()
        self.assertIn("alpha.dict", (self.places.crashes("alpha") / "log").read_text())
        self.assertIn("dictionary: none", (self.places.crashes("beta") / "log").read_text())

    def test_keep_takes_the_smallest_new_inputs_while_there_is_room(self):
        # Its merge takes everything of the second directory that the first lacks.
        self.target("alpha", f'if [ -n "${{merge-}}" ]; then cp -n "$two"/* "$one"/; else {CLEAN}; fi', kept=("seed",))
        found = self.places.found("alpha")
        found.mkdir(parents=True)
        for name, size in (("a", 900), ("b", 20), ("c", 30), ("d", fuzz.KEEP_MAX)):
            (found / name).write_bytes(name.encode() * size)
        code, out, _ = self.run_all("--keep")
        self.assertEqual(code, 0)
        self.assertEqual(sorted(p.name for p in self.places.kept("alpha").iterdir()), ["a", "b", "c", "seed"])
        self.assertIn("kept alpha: 3 of 4 inputs", out)

    def test_nothing_is_kept_of_a_target_that_broke(self):
        self.target("alpha", 'if [ -n "${merge-}" ]; then cp -n "$two"/* "$one"/; exit 0; fi; exit 1')
        self.places.found("alpha").mkdir(parents=True)
        (self.places.found("alpha") / "new").write_text("new")
        self.run_all("--keep")
        self.assertEqual([p.name for p in self.places.kept("alpha").iterdir()], ["seed"])

    def test_an_unknown_target_is_refused_with_those_there_are(self):
        self.target("alpha", CLEAN)
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()) as said:
            fuzz.parse(["omega"], self.places)
        self.assertIn("unknown target omega; the targets are alpha", said.getvalue())

    def test_every_target_is_described_built_and_has_a_corpus(self):
        described = re.findall(r"^\| `([a-z0-9_]+)` \|", (TOP / "docs/fuzzing.md").read_text(), re.M)
        built = re.findall(r"^fuzz_target\(([a-z0-9_]+) ", (TOP / "tests/fuzz/CMakeLists.txt").read_text(), re.M)
        there = fuzz.Places(TOP).targets()
        self.assertEqual(sorted(described), there)
        self.assertEqual(sorted(built), there)
        for dictionary in (TOP / "tests/fuzz/dictionaries").iterdir():
            self.assertIn(dictionary.stem, there)


if __name__ == "__main__":
    unittest.main()
