#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules a machine can check: who may include whom, calls that are banned, headers, sizes.

Usage: tidy.py [ROOT]; prints one line a finding, with the cure, and exits 1 when there is any.
"""
import os
import re
import subprocess
import sys

# Layer of a path below src/cygnet, the longest prefix first; and what each may include
# (ARCHITECTURE.md, "Who may include whom"). A layer may always include itself.
LAYERS = ["base", "crypto", "proto/rekey", "proto/ids", "proto", "esp", "rt", "wire", "debug",
          "agent/core", "agent/backend/api", "agent/backend", "agent/link", "agent/driver",
          "controller/core", "controller/policy", "controller/store", "controller/session",
          "controller/driver", "controller/api", "sim", "load"]
MAY_INCLUDE = {
    "base": set(),
    "crypto": {"base"},
    "proto/ids": {"base", "crypto"},
    "proto/rekey": {"base", "proto/ids"},
    "proto": {"base", "crypto", "proto/ids"},
    "esp": {"base", "crypto", "proto/ids"},
    "rt": {"base", "crypto"},
    "wire": {"base", "crypto"},
    "debug": {"base", "crypto", "proto", "proto/ids", "esp"},
    "agent/backend/api": {"base", "crypto", "proto", "proto/ids"},
    "agent/core": {"base", "crypto", "proto", "proto/ids", "proto/rekey", "agent/backend/api"},
    "agent/backend": {"base", "crypto", "proto", "proto/ids", "esp", "rt", "agent/backend/api"},
    "agent/link": {"base", "crypto", "proto", "proto/ids", "proto/rekey", "rt", "wire", "agent/core", "agent/backend/api"},
    "agent/driver": {"base", "crypto", "proto", "proto/ids", "proto/rekey", "rt", "wire", "agent/core", "agent/link",
                     "agent/backend/api", "agent/backend"},
    "controller/core": {"base", "crypto", "proto", "proto/ids", "wire", "controller/policy"},
    "controller/policy": {"base", "crypto", "proto", "proto/ids", "controller/core"},
    "controller/store": {"base", "crypto", "proto", "proto/ids", "rt", "controller/core", "controller/policy"},
    "controller/session": {"base", "crypto", "proto", "proto/ids", "rt", "wire", "controller/core", "controller/policy", "controller/store"},
    "controller/api": {"base", "crypto", "proto", "proto/ids", "rt", "controller/core", "controller/policy", "controller/store",
                       "controller/session", "controller/driver"},
    "controller/driver": {"base", "crypto", "proto", "proto/ids", "rt", "wire", "controller/core", "controller/policy",
                          "controller/store", "controller/session", "controller/api"},
    "sim": set(LAYERS) - {"rt", "load"},
    "load": {"base", "crypto", "proto", "proto/ids", "rt", "wire", "agent/backend/api", "agent/core", "agent/link"},
}
PURE = {"base", "crypto", "proto/ids", "proto/rekey", "proto", "esp", "agent/core", "controller/core"}
# Headers of plain values that a lower layer may name although they stand beside an engine: the core
# asks for writes, and these say what a write is.
VALUE_HEADERS = {("controller/core", "cygnet/controller/store/records.h"),
                 ("controller/core", "cygnet/controller/store/write_batch.h")}

# (pattern, where it is banned, message with the replacement)
BANNED = [
    (r"#include <(thread|mutex|atomic|random|iostream|filesystem|condition_variable|future)>", "pure",
     "pure code has no threads, randomness or I/O: take them as arguments"),
    (r"#include <(sys/|netinet/|arpa/|unistd|fcntl|linux/|net/)", "pure", "pure code makes no system calls: do it in a driver"),
    (r"#include <(spdlog|nlohmann|yaml-cpp|boost|sqlite3|google/protobuf)", "pure",
     "heavy or world-facing libraries stay in adapters"),
    (r"_clock::now\(|\bgettimeofday\(|\bclock_gettime\(|\btime\(nullptr\)", "pure", "time is passed in: take a Timestamp"),
    (r"\bgetenv\(", "pure", "configuration is passed in"),
    (r"std::cout|std::cerr|\bprintf\(", "pure", "pure code does not print: return an Error or an event"),
    (r"\brand\(|std::mt19937|std::random_device", "shipped", "use crypto::Random, passed in"),
    (r"sleep_for|\busleep\(|\bsleep\(|nanosleep\(", "src", "wait for an event with a deadline"),
    (r"#include <openssl/", "not-crypto", "OpenSSL headers only in crypto/*.cpp and rt/tls*.cpp"),
    (r"\b(strcpy|strcat|sprintf|gets|alloca)\s*\(", "src", "use std::string or std::span"),
    (r"\bthrow\b", "pure", "return a Result; only an adapter around a throwing library may throw, and catches inside"),
    (r"\bT" + r"ODO\b|\bF" + r"IXME\b|\bX" + r"XX\b|\bH" + r"ACK\b", "all", "finish it, or open an issue and say so there"),
    (r"GTEST_SKIP|\bDISABLED_", "all", "no test is skipped in silence: make it run or fail"),
]
LINES_MAX = 700
TEST_LINES_MAX = 800  # tables of cases are long without being complicated
COLUMNS_MAX = 100


def layer_of(path):
    """Layer of a file below src/cygnet, or None (top of a directory that has only sub-layers)."""
    rest = path[len("src/cygnet/"):]
    best = None
    for layer in LAYERS:
        if rest.startswith(layer + "/") and (best is None or len(layer) > len(best)):
            best = layer
    return best


def is_test(path):
    name = os.path.basename(path)
    return name.endswith("_test.cpp") or "test_support" in name or "/e2e/" in path or path.startswith(("tests/", "tools/"))


def check_includes(path, text, found):
    layer = layer_of(path)
    if layer is None:
        found(path, 1, f"is in no layer; name its directory in tools/tidy/tidy.py and ARCHITECTURE.md")
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'#include "(cygnet/[^"]+)"', line)
        if not match:
            continue
        if match.group(1).endswith(".pb.h"):
            target = "wire"
        else:
            target = layer_of("src/" + match.group(1))
        if target is None:
            found(path, number, f"{match.group(1)} is in no layer")
        elif target != layer and target not in MAY_INCLUDE[layer] and not is_test(path) and (layer, match.group(1)) not in VALUE_HEADERS:
            found(path, number, f"{layer} may not include {target} ({match.group(1)}): move the decision or the type")


def banned_here(where, path):
    if where == "all":
        return path.startswith(("src/", "apps/", "tests/", "tools/", "bench/", "proto/"))
    if where == "shipped":
        return path.startswith(("src/", "apps/")) and not is_test(path)
    if where == "src":
        return path.startswith(("src/", "apps/")) or (is_test(path))
    if where == "pure":
        pure = path.startswith("src/cygnet/") and layer_of(path) in PURE and not is_test(path)
        # The crypto layer is the one pure layer with a source of randomness inside (crypto/random.cpp).
        return pure and not (layer_of(path) == "crypto" and path.endswith(".cpp"))
    if where == "not-crypto":
        name = os.path.basename(path)
        return path.startswith(("src/", "apps/")) and not is_test(path) and not (
            path.startswith("src/cygnet/crypto/") and not path.endswith(".h") or path.startswith("src/cygnet/crypto/openssl_")
            or path.startswith("src/cygnet/rt/tls"))
    raise AssertionError(where)


def strip_comments(text):
    """Comments and string literals blanked, line structure kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def check_file(path, text, found):
    lines = text.splitlines()
    if not lines or not any("SPDX-License-Identifier: Apache-2.0" in line for line in lines[:3]):
        found(path, 1, "has no SPDX line: start the file with SPDX-License-Identifier: Apache-2.0")
    if path.endswith((".h", ".cpp")):
        limit = TEST_LINES_MAX if is_test(path) else LINES_MAX
        if len(lines) > limit:
            found(path, len(lines), f"has {len(lines)} lines, more than {limit}: is it one idea?")
        code = strip_comments(text)
        # The include rules need the quoted names; everything else looks at code only.
        with_includes = "\n".join(a if a.startswith("#include") else b for a, b in zip(lines, code.splitlines() + [""] * len(lines)))
        for pattern, where, cure in BANNED:
            if not banned_here(where, path):
                continue
            subject = text if where == "all" else with_includes
            for match in re.finditer(pattern, subject):
                number = subject.count("\n", 0, match.start()) + 1
                found(path, number, f"'{match.group(0).strip()}' is banned here: {cure}")
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS_MAX and "http" not in line and "//#" not in line:
                found(path, number, f"is wider than {COLUMNS_MAX} columns")
    if path.endswith(".h") and path.startswith("src/"):
        if "#pragma once" not in text:
            found(path, 1, "has no #pragma once")
        if "///" not in text:
            found(path, 1, "is a public header without a word about its purpose (start with a /// paragraph)")
    if path.startswith("src/cygnet/") and path.endswith((".h", ".cpp")):
        check_includes(path, text, found)


def files_of(root):
    out = subprocess.run(["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"],
                         text=True, capture_output=True, check=True).stdout.split("\n")
    wanted = (".h", ".cpp", ".py", ".sh", ".cmake", ".proto", "CMakeLists.txt")
    return [p for p in out if p.endswith(wanted) and os.path.isfile(os.path.join(root, p))]


def check_tree(root, files=None):
    findings = []
    for path in files_of(root) if files is None else files:
        with open(os.path.join(root, path), encoding="utf-8") as f:
            text = f.read()
        check_file(path, text, lambda p, n, m: findings.append(f"{p}:{n}: {m}"))
    return findings


def main(argv):
    root = argv[1] if len(argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    findings = check_tree(root)
    print("\n".join(findings) if findings else "tidy: clean")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
