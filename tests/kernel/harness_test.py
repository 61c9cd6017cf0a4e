#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The harness itself, on this machine's side: what goes wrong in a guest is seen, and nothing stays.

All guests of this file run at once: that several can is a part of what it shows.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree as ET

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import machine  # noqa: E402

KERNELS = os.environ.get("CYGNET_KERNELS", "uml qemu").split()
PLANTED = """
import unittest
class Planted(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self):
        with self.subTest("inner"): self.assertEqual(1, 2)
    @unittest.skip("no reason")
    def test_left_out(self): pass
"""
WRITES = """
for path in /etc/cygnet-guest "$1/cygnet-guest" /usr/bin/cygnet-guest; do
  touch "$path" && echo "wrote $path"
done
mount -o remount,rw / && echo remounted
for path in /etc/cygnet-guest "$1/cygnet-guest"; do
  touch "$path" && echo "wrote $path"
done
echo done
"""
# name: (kernels, seconds, command)
GUESTS = {
    "good": (("uml", "qemu"), 90, ["sh", "-c", "echo to stdout; echo to stderr >&2; ip xfrm state; modprobe -V >/dev/null"]),
    "bad": (("uml", "qemu"), 90, ["sh", "-c", "echo the reason; exit 3"]),
    "crash": (("uml",), 90, ["sh", "-c", "kill -SEGV $$"]),
    "nothing": (("uml",), 90, ["/no/such/program"]),
    "slow": (("uml",), 40, ["sh", "-c", "echo begun; exec sleep 1000"]),
    "panic": (("uml", "qemu"), 90, ["sh", "-c", "echo before; echo c >/proc/sysrq-trigger; sleep 1000"]),
    "splat": (("uml",), 90, ["sh", "-c", "echo '<0>BUG: planted' >/dev/kmsg"]),
    "left": (("uml",), 90, ["sh", "-c", "ip netns add forgotten; setsid sleep 1000 & true"]),
    # What a process in the middle of its execve(2) looks like for longer.
    "nameless": (("uml",), 90, ["bash", "-c", "mkfifo /tmp/f; (exec -a '' cat <>/tmp/f) & until [ -d /proc/$! ] && ! [ \"$(tr -d '\\0' </proc/$!/cmdline)\" ]; do :; done"]),
    "writes": (("uml", "qemu"), 90, ["sh", "-c", WRITES, "sh", machine.TOP]),
    "planted": (("uml",), 90, ["/usr/bin/python3", f"{machine.HERE}/guest_tests.py", "/mnt/out/planted_test.py"]),
    "none": (("uml",), 90, ["/usr/bin/python3", f"{machine.HERE}/guest_tests.py", "/mnt/out/planted_test.py:nowhere"]),
    "hang": (("uml",), 35, ["sh", "-c", "echo begun; sleep 1000"]),
}


def descendants(pid):
    """Every process below one, by /proc."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as f:
                parents.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(name))
        except OSError:
            continue
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        threading.Event().wait(0.05)


class Guests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="cygharness-")
        cls.addClassCleanup(shutil.rmtree, cls.dir, ignore_errors=True)
        cls.outcomes, cls.pids, threads = {}, {}, []
        # Half of them only wait most of the time.
        slots = threading.Semaphore(2 * max(2, os.cpu_count()))
        for name, (kernels, seconds, command) in GUESTS.items():
            for kernel in kernels:
                if kernel in KERNELS:
                    threads.append(threading.Thread(target=cls.one, args=(slots, name, kernel, seconds, command)))
                    threads[-1].start()
        for thread in threads:
            thread.join()
        for (name, kernel), (outcome, _, _) in sorted(cls.outcomes.items()):
            print(f"{name} on {kernel}: {outcome.kind} after {outcome.seconds:.1f} s", file=sys.stderr)

    @classmethod
    def one(cls, slots, name, kernel, seconds, command):
        with slots:
            out = os.path.join(cls.dir, f"{name}.{kernel}")
            guest = machine.Machine(kernel, command, out, seconds)
            with open(guest.path("planted_test.py"), "w") as f:
                f.write(PLANTED)
            guest.start()
            wait("the guest's first output", lambda: machine.read(guest.path("output")) or guest.popen.poll() is not None, seconds)
            cls.pids[name, kernel] = descendants(guest.popen.pid)
            if name == "hang":
                # The whole guest stands still: not even its process 1 can notice the time.
                for pid in cls.pids[name, kernel]:
                    os.kill(pid, signal.SIGSTOP)
            outcome = guest.finish()
            cls.outcomes[name, kernel] = (outcome, machine.read(guest.path("output")).decode(errors="replace"), guest)

    def each(self, name):
        for kernel in GUESTS[name][0]:
            if kernel in KERNELS:
                outcome, output, _ = self.outcomes[name, kernel]
                yield outcome, output

    def test_a_good_command_passes_and_its_output_is_here(self):
        for outcome, output in self.each("good"):
            self.assertEqual((outcome.kind, outcome.what), ("passed", ""))
            self.assertEqual(output, "to stdout\nto stderr\n")

    def test_a_failing_command_is_a_failure_with_its_output(self):
        for outcome, output in self.each("bad"):
            self.assertEqual((outcome.kind, outcome.exit), ("failed", 3), outcome.what)
            self.assertEqual(output, "the reason\n")

    def test_a_command_that_dies_of_a_signal_is_a_failure(self):
        for outcome, _ in self.each("crash"):
            self.assertEqual((outcome.kind, outcome.exit), ("failed", -signal.SIGSEGV), outcome.what)

    def test_a_command_that_is_not_there_is_an_error(self):
        for outcome, _ in self.each("nothing"):
            self.assertEqual(outcome.kind, "error")
            self.assertIn("/no/such/program", outcome.what)

    def test_a_command_over_its_time_is_named(self):
        for outcome, output in self.each("slow"):
            self.assertEqual(outcome.kind, "time", outcome.what)
            self.assertIn("sleep 1000", outcome.what)
            self.assertEqual(output, "begun\n")

    def test_a_panic_is_told_with_the_kernels_last_words(self):
        for outcome, output in self.each("panic"):
            self.assertEqual(outcome.kind, "panic", outcome.what)
            self.assertIn("sysrq triggered crash", outcome.what)
            self.assertEqual(output, "before\n")

    def test_a_complaint_of_the_kernel_fails_a_command_that_passed(self):
        for outcome, _ in self.each("splat"):
            self.assertEqual(outcome.kind, "splat")
            self.assertIn("BUG: planted", outcome.what)

    def test_what_a_command_leaves_behind_fails_it(self):
        for outcome, _ in self.each("left"):
            self.assertEqual(outcome.kind, "dirty", outcome.what)
            self.assertIn("sleep 1000", outcome.what)
            self.assertIn("forgotten", outcome.what)

    def test_what_is_left_behind_without_a_command_line_counts_too(self):
        for outcome, _ in self.each("nameless"):
            self.assertEqual(outcome.kind, "dirty", outcome.what)
            self.assertIn("without a command line", outcome.what)

    def test_a_guest_can_write_to_no_file_of_this_machine(self):
        for outcome, output in self.each("writes"):
            self.assertEqual(outcome.kind, "passed", outcome.what)
            self.assertNotIn("wrote", output)
            self.assertIn("done", output)
        for path in ("/etc", machine.TOP, "/usr/bin"):
            self.assertFalse(os.path.exists(os.path.join(path, "cygnet-guest")), path)

    def test_a_guest_that_stands_still_is_ended_and_called_hanging(self):
        for outcome, output in self.each("hang"):
            self.assertEqual((outcome.kind, output), ("hang", "begun\n"))

    def test_failures_and_skipped_tests_inside_are_failures(self):
        for outcome, _ in self.each("planted"):
            self.assertEqual((outcome.kind, outcome.exit), ("failed", 1), outcome.what)
        _, _, guest = self.outcomes["planted", "uml"]
        rows = {case.get("name"): case.find("failure") for case in ET.parse(guest.path("junit.xml")).getroot()}
        self.assertEqual({name for name, failure in rows.items() if failure is not None}, {"test_bad", "test_left_out"})
        self.assertIn("1 != 2", rows["test_bad"].text)
        self.assertIn("no reason", rows["test_left_out"].text)

    def test_a_pattern_that_picks_no_test_is_an_error(self):
        for outcome, output in self.each("none"):
            self.assertEqual(outcome.kind, "failed")
            self.assertIn("no test in", output)

    def test_no_process_of_any_guest_is_left(self):
        self.assertTrue(any(self.pids.values()))
        left = [pid for pids in self.pids.values() for pid in pids if alive(pid)]
        self.assertEqual(left, [])

    def test_a_guest_ends_with_the_program_that_started_it_even_by_sigkill(self):
        out = os.path.join(self.dir, "orphan")
        program = subprocess.Popen([os.path.join(machine.HERE, "run.py"), "--kernel", KERNELS[0], "--out", out, "--seconds", "300",
                                    "--", "sh", "-c", "echo begun; sleep 1000"], stdout=subprocess.DEVNULL)
        self.addCleanup(program.kill)
        wait("the guest's first output", lambda: machine.read(os.path.join(out, "output")), 60)
        below = descendants(program.pid)
        self.assertGreater(len(below), 3)
        program.kill()
        program.wait()
        wait("the end of the guest", lambda: not any(alive(pid) for pid in below), 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
