#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel cases: which tests run in which guest, several guests at a time, one verdict.

    tests/kernel/suite.py [--bin DIR] [--results DIR] [--jobs N] [--kernel uml|qemu] [REGEX]

Results: one directory a case with all the guest wrote, and kernel.xml with every test. A case without
results, or with a test skipped, has failed.
"""
import argparse
import concurrent.futures
import os
import re
import signal
import sys
import time
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import machine  # noqa: E402

HERE = machine.HERE
E2E = os.path.join(machine.TOP, "tests", "e2e")


class Case:
    def __init__(self, name, kernels, seconds, *files):
        self.name, self.kernels, self.seconds, self.files = name, kernels, seconds, files


UML, QEMU, BOTH = ("uml",), ("qemu",), ("uml", "qemu")
# The longest first: they set the time of the whole.
CASES = [
    Case("demo_kernel", BOTH, 600, f"{HERE}/demo_test.py:kernel_everywhere"),
    Case("demo_mixed", BOTH, 600, f"{HERE}/demo_test.py:mixed"),
    Case("data_plane", UML, 500, f"{HERE}/data_plane_test.py"),
    Case("restart", UML, 300, f"{HERE}/restart_test.py"),
    Case("netem", UML, 300, f"{HERE}/netem_test.py"),
    Case("xfrm", UML, 400, f"{HERE}/xfrm_backend_test.py"),
    Case("mesh", UML, 300, f"{E2E}/mesh_test.py:MeshComesUp"),
    Case("mesh", QEMU, 300, f"{E2E}/mesh_test.py"),
    Case("rekey", UML, 300, f"{HERE}/rekey_test.py"),
    Case("on_demand", UML, 300, f"{HERE}/on_demand_kernel_test.py"),
    Case("facts", BOTH, 300, f"{HERE}/facts_test.py"),
]


class Runner:
    def __init__(self, options):
        self.options = options
        self.machines = []
        self.stopping = False

    def run_case(self, case, kernel):
        out = os.path.join(self.options.results, f"{case.name}.{kernel}")
        command = ["/usr/bin/python3", os.path.join(HERE, "guest_tests.py"), *case.files]
        guest = machine.Machine(kernel, command, out, case.seconds, env={"CYGNET_BIN": self.options.bin})
        self.machines.append(guest)
        if self.stopping:
            return None
        # The thread that started a guest outlives it: the guest would end with it.
        guest.start()
        outcome = guest.finish()
        rows = self.rows(os.path.join(out, "junit.xml"))
        if outcome.passed and not rows:
            outcome.kind, outcome.what = "error", "no test ran"
        return case, kernel, outcome, rows, guest

    @staticmethod
    def rows(path):
        try:
            return list(ET.parse(path).getroot())
        except (OSError, ET.ParseError):
            return []

    def stop(self, number, frame):
        self.stopping = True
        for guest in self.machines:
            guest.kill()
        raise KeyboardInterrupt


def report(case, kernel, outcome, rows, guest, started):
    failed = [r for r in rows if r.find("failure") is not None]
    print(f"[{time.monotonic() - started:6.1f}] {'ok  ' if outcome.passed else 'FAIL'} {case.name} on {kernel} "
          f"{outcome.release}: {len(rows) - len(failed)} of {len(rows)} tests, {outcome.seconds:.1f} s", flush=True)
    if outcome.passed:
        return
    print(f"  {outcome.kind}: {outcome.what}")
    print("  its output:")
    for line in machine.read(guest.path("output")).decode(errors="replace").splitlines()[-80:]:
        print(f"  | {line}")
    print(f"  all of it: {guest.out}", flush=True)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=os.path.join(machine.TOP, "build", "ci", "bin"))
    parser.add_argument("--results", default=os.path.join(machine.TOP, "build", "kernel", "results"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--kernel", choices=machine.KERNELS)
    parser.add_argument("regex", nargs="?", default="")
    options = parser.parse_args(argv)
    if os.geteuid() != 0:
        print("suite.py: the guests' jails need namespaces, and those root: run it with sudo", file=sys.stderr)
        return 1
    chosen = [(case, kernel) for case in CASES for kernel in case.kernels
              if options.kernel in (None, kernel) and re.search(options.regex, f"{case.name}.{kernel}")]
    if not chosen:
        print(f"suite.py: no case matches {options.regex!r}", file=sys.stderr)
        return 2
    os.makedirs(options.results, exist_ok=True)
    runner = Runner(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, runner.stop)
    started = time.monotonic()
    total, bad = ET.Element("testsuites"), 0
    try:
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            waiting = [pool.submit(runner.run_case, case, kernel) for case, kernel in chosen]
            for done in concurrent.futures.as_completed(waiting):
                case, kernel, outcome, rows, guest = done.result()
                report(case, kernel, outcome, rows, guest, started)
                bad += not outcome.passed
                suite = ET.SubElement(total, "testsuite", name=f"kernel.{case.name}.{kernel}", tests=str(len(rows)))
                suite.extend(rows)
                if not outcome.passed:
                    whole = ET.SubElement(suite, "testcase", classname=f"kernel.{case.name}", name=kernel)
                    ET.SubElement(whole, "failure").text = outcome.what
    except machine.MachineError as error:
        print(f"suite.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("suite.py: interrupted; every guest has ended", file=sys.stderr)
        return 130
    ET.ElementTree(total).write(os.path.join(options.results, "kernel.xml"), encoding="utf-8", xml_declaration=True)
    print(f"{len(chosen) - bad} of {len(chosen)} kernel cases passed in {time.monotonic() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
