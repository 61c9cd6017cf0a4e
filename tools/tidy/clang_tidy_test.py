#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What clang-tidy found clean is looked at again when anything it depends on changed, and only then."""
import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import clang_tidy

# Stand-ins: the linter complains of the word "bad" in a source or in what it includes (one level), and
# writes down that it was asked; the compiler lists both.
TIDY = r"""#!/bin/sh
if [ "$1" = --version ]; then cat "$(dirname "$0")/version"; exit 0; fi
for unit; do :; done
echo "$unit" >>"$(dirname "$0")/asked"
header=$(sed -n 's/#include "\(.*\)"/\1/p' "$unit")
for f in "$unit" $header; do
  if grep -n bad "$f" >/dev/null; then echo "$f:1:1: error: a bad word [words]"; fail=1; fi
done
exit ${fail-0}
"""
COMPILER = r"""#!/bin/sh
for a; do case $a in *.cpp) unit=$a ;; esac; done
echo "x: $unit \\"
sed -n 's/#include "\(.*\)"/  \1/p' "$unit"
"""


class Incremental(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = pathlib.Path(scratch.name)
        self.said = []
        self.write("version", "14\n")
        self.write(".clang-tidy", "Checks: words\n")
        for name, text in (("tidy", TIDY), ("compiler", COMPILER)):
            self.write(name, text).chmod(0o755)
        self.write("common.h", "int good;\n")
        self.units = [str(self.write("a.cpp", f'#include "{self.top}/common.h"\n')), str(self.write("b.cpp", "int b;\n"))]
        self.flags("-O1")

    def write(self, name, text):
        path = self.top / name
        path.write_text(text)
        return path

    def flags(self, flags):
        self.write("compile_commands.json", json.dumps([
            {"directory": str(self.top), "file": u, "command": f"ccache g++ {flags} -o {u}.o -c {u}"} for u in self.units]))

    def look(self):
        """Exit code, and the sources that were looked at."""
        (self.top / "asked").unlink(missing_ok=True)
        linter = clang_tidy.Linter(self.top, self.top, str(self.top / "tidy"), str(self.top / "compiler"))
        code = clang_tidy.run(linter, self.units, 2, self.said.append)
        asked = self.top / "asked"
        return code, sorted(os.path.basename(u) for u in asked.read_text().split()) if asked.exists() else []

    def test_a_second_look_at_nothing_new_asks_nobody(self):
        self.assertEqual(self.look(), (0, ["a.cpp", "b.cpp"]))
        self.assertEqual(self.look(), (0, []))
        self.assertIn("0 looked at now, 0 with findings", self.said[-1])

    def test_a_header_that_changed_brings_back_those_that_include_it(self):
        self.look()
        self.write("common.h", "int bad;\n")
        self.assertEqual(self.look(), (1, ["a.cpp"]))
        self.assertTrue(any("a bad word" in text for text in self.said))
        self.assertEqual(self.look(), (1, ["a.cpp"]), "what is not clean is looked at until it is")
        self.write("common.h", "int fine;\n")
        self.assertEqual(self.look(), (0, ["a.cpp"]))

    def test_other_flags_checks_or_programs_bring_back_all(self):
        self.look()
        for change in (lambda: self.flags("-O2"), lambda: self.write(".clang-tidy", "Checks: more\n"), lambda: self.write("version", "15\n")):
            change()
            self.assertEqual(self.look(), (0, ["a.cpp", "b.cpp"]))
            self.assertEqual(self.look(), (0, []))

    def test_a_header_that_is_gone_brings_back_the_source(self):
        self.look()
        (self.top / "common.h").unlink()
        self.write("a.cpp", "int a;\n")
        self.assertEqual(self.look(), (0, ["a.cpp"]))

    def test_a_finding_in_a_header_is_told_once(self):
        self.write("b.cpp", f'#include "{self.top}/common.h"\n')
        self.write("common.h", "int bad;\n")
        self.assertEqual(self.look()[0], 1)
        self.assertEqual(sum("a bad word" in text for text in self.said), 1)
        self.assertIn("2 with findings", self.said[-1])

    def test_a_source_that_is_not_compiled_is_a_finding(self):
        self.units.append(str(self.write("c.cpp", "int c;\n")))
        self.assertEqual(self.look()[0], 1)
        self.assertTrue(any("in no compile command" in text for text in self.said))


if __name__ == "__main__":
    unittest.main()
