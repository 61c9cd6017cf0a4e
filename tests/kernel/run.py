#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one command in a guest kernel that has ESP and netem, with this machine's files, read-only.

    tests/kernel/run.py [--kernel uml|qemu] [--seconds N] [--out DIR] COMMAND…

The command's output appears here; the exit code is the command's, or 70 when the guest itself failed.
"""
import argparse
import os
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import machine  # noqa: E402

GUEST_FAILED = 70


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", choices=machine.KERNELS, default="uml")
    parser.add_argument("--seconds", type=int, default=120, help="time limit, boot included (default 120)")
    parser.add_argument("--out", metavar="DIR", help="keep what the guest wrote: output, console.log, kernel.log, status.json")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(argv)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("which command?")
    if os.geteuid() != 0:
        print("run.py: a guest's jail needs namespaces, and those root: run it with sudo", file=sys.stderr)
        return 1
    # SIGTERM unwinds like Ctrl-C; SIGKILL needs nothing from us.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    out = options.out or tempfile.mkdtemp(prefix="cygkernel-")
    try:
        outcome = machine.run(options.kernel, command, out, options.seconds, on_output=show)
    except machine.MachineError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    finally:
        if not options.out:
            shutil.rmtree(out, ignore_errors=True)
    if outcome.kind == "failed":
        return outcome.exit if outcome.exit > 0 else 128 - outcome.exit
    if not outcome.passed:
        print(f"run.py: {outcome.what}", file=sys.stderr)
        return GUEST_FAILED
    return 0


def show(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
