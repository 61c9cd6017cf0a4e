# SPDX-License-Identifier: Apache-2.0
"""The kernel's data plane, by the backend's own tests: they need a kernel with ESP and so run here.

What they print of SA installs (a second, and system calls an SA) is shown.
"""
import os
import re
import subprocess
import unittest
import xml.etree.ElementTree as ET

BIN = os.environ["CYGNET_BIN"]


class XfrmBackend(unittest.TestCase):
    def test_every_one_of_its_own_tests_runs_and_passes(self):
        results = os.path.join(os.environ.get("TMPDIR", "/tmp"), "xfrm_kernel_test.xml")
        done = subprocess.run([os.path.join(BIN, "xfrm_kernel_test"), f"--gtest_output=xml:{results}"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        tests = ET.parse(results).getroot().findall(".//testcase") if os.path.exists(results) else []
        # A failed test shows its namespaces after what it expected: both matter.
        first = max(0, done.stdout.find("Failure") - 500)
        self.assertEqual(done.returncode, 0, f"{done.stdout[first:first + 3000]}\n[…]\n{done.stdout[-6000:]}")
        self.assertGreaterEqual(len(tests), 38, "tests of the backend are missing")
        for test in tests:
            self.assertEqual((test.get("status"), test.get("result")), ("run", "completed"), test.get("name"))
        rates = re.findall(r"^.*SAs/s.*$", done.stdout, re.M)
        self.assertEqual(len(rates), 2, "no install rates were printed")
        print(f"{len(tests)} tests passed")
        print("\n".join(rates))


if __name__ == "__main__":
    unittest.main()
