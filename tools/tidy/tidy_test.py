#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of tidy.py finds the fault it is for, and leaves good code alone."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


def findings(path, body, spdx=True):
    out = []
    tidy.check_file(path, (SPDX if spdx else "") + body, lambda p, n, m: out.append(m))
    return out


class Tidy(unittest.TestCase):
    def test_good_code_passes(self):
        self.assertEqual(findings("src/cygnet/proto/dim/x.cpp", '#include "cygnet/base/bytes.h"\nint f() { return 1; }\n'), [])

    def test_upward_include_is_found(self):
        self.assertIn("base may not include proto", findings("src/cygnet/base/x.cpp", '#include "cygnet/proto/dim/dim.h"\n')[0])

    def test_rekey_may_not_see_crypto(self):
        self.assertTrue(findings("src/cygnet/proto/rekey/x.cpp", '#include "cygnet/crypto/dh.h"\n'))

    def test_agent_and_controller_are_strangers(self):
        self.assertTrue(findings("src/cygnet/agent/core/x.cpp", '#include "cygnet/controller/core/y.h"\n'))

    def test_thread_in_pure_code_is_found(self):
        self.assertIn("banned", findings("src/cygnet/esp/x.cpp", "#include <thread>\n")[0])

    def test_clock_in_pure_code_is_found_but_not_in_a_comment(self):
        self.assertTrue(findings("src/cygnet/esp/x.cpp", "auto t = std::chrono::steady_clock::now();\n"))
        self.assertEqual(findings("src/cygnet/esp/x.cpp", "// never steady_clock::now() here\n"), [])

    def test_openssl_outside_crypto_is_found(self):
        self.assertTrue(findings("src/cygnet/agent/driver/x.cpp", "#include <openssl/evp.h>\n"))
        self.assertEqual(findings("src/cygnet/crypto/x.cpp", "#include <openssl/evp.h>\n"), [])

    def test_sleep_is_found_in_tests(self):
        self.assertTrue(findings("tests/e2e/x_test.cpp", "std::this_thread::sleep_for(1s);\n"))

    def test_missing_spdx_is_found(self):
        self.assertIn("SPDX", findings("src/cygnet/base/x.cpp", "int a;\n", spdx=False)[0])

    def test_unfinished_business_is_found(self):
        self.assertTrue(findings("src/cygnet/base/x.cpp", "// T" + "ODO later\n"))

    def test_long_file_is_found(self):
        self.assertTrue(any("one idea" in m for m in findings("src/cygnet/base/x.cpp", "int a;\n" * 701)))

    def test_header_without_purpose_is_found(self):
        self.assertTrue(any("purpose" in m for m in findings("src/cygnet/base/x.h", "#pragma once\nint a;\n")))

    def test_unknown_layer_is_found(self):
        self.assertTrue(any("no layer" in m for m in findings("src/cygnet/strange/x.cpp", "int a;\n")))


if __name__ == "__main__":
    unittest.main()
