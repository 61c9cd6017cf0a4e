#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs unittest files inside a guest, writes what happened as JUnit XML, and lets nothing be skipped.

    guest_tests.py FILE[:PATTERN]… [--junit FILE]

PATTERN picks tests by a part of their name; a pattern that picks none is an error.
"""
import argparse
import importlib.util
import os
import sys
import time
import unittest
import xml.etree.ElementTree as ET

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]


class Result(unittest.TextTestResult):
    """Keeps (test, seconds, problem or None) in order."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.rows = []
        self.problem = None

    def startTest(self, test):
        super().startTest(test)
        self.problem, self.began = None, time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.rows.append((test.id(), time.monotonic() - self.began, self.problem))

    def note(self, test, error):
        self.problem = (self.problem or "") + self._exc_info_to_string(error, test)

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.problem = f"skipped: {reason}"
        self.failures.append((test, self.problem))


def load(argument):
    """The tests of one file as a flat list."""
    path, _, pattern = argument.partition(":")
    name = os.path.basename(path).removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    found = list(flatten(unittest.defaultTestLoader.loadTestsFromModule(module)))
    found = [t for t in found if pattern in t.id()]
    if not found:
        raise SystemExit(f"guest_tests.py: no test in {path} has '{pattern}' in its name")
    return found


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def junit(rows, kernel):
    root = ET.Element("testsuite", name=f"kernel.{kernel}", tests=str(len(rows)),
                      failures=str(sum(1 for _, _, problem in rows if problem)), skipped="0")
    for name, seconds, problem in rows:
        group, _, test = name.rpartition(".")
        case = ET.SubElement(root, "testcase", classname=f"{kernel}.{group}", name=test, time=f"{seconds:.3f}")
        if problem:
            ET.SubElement(case, "failure").text = problem
    return ET.ElementTree(root)


def main(argv):
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--junit", default="/mnt/out/junit.xml")
    options = parser.parse_args(argv)
    suite = unittest.TestSuite(test for argument in options.files for test in load(argument))
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result, stream=sys.stdout).run(suite)
    junit(result.rows, os.environ.get("CYGNET_KERNEL", "here")).write(options.junit, encoding="utf-8", xml_declaration=True)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
