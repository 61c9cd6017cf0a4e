# SPDX-License-Identifier: Apache-2.0
"""A cygnetd of its own on loopback, with a policy under which simulated devices hear each other."""
import json
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "demo"))
from lab import LabError, api  # noqa: E402

LIMITS = """limits:
  joins_per_minute: 1000000
  messages_per_minute: 1000000
  publishes_per_minute: 1000000
"""


def name_of(number):
    return f"s{number:05}"


def policy(devices, group):
    """Everybody hears everybody of their own group of so many neighbours by number; 0: of all."""
    group = group or devices
    lines = ["mesh: load", "devices:"]
    lines += [f"  - {{name: {name_of(i)}, labels: {{group: g{i // group}}}}}" for i in range(devices)]
    lines.append("rules:")
    lines += [f"  - {{from: group=g{g}, to: group=g{g}}}" for g in range((devices + group - 1) // group)]
    return "\n".join(lines) + "\n"


def free_port():
    """A TCP port of loopback that nobody holds just now."""
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        return tcp.getsockname()[1]


class Controller:
    """Gone at close(), with its directory unless that was given: then the fleet is there for the next time."""

    def __init__(self, bin_dir, directory=None):
        self.bin = bin_dir
        self.kept = directory is not None
        if directory:
            os.makedirs(directory, exist_ok=True)
        self.dir = directory or tempfile.mkdtemp(prefix="cygload-")
        self.socket = os.path.join(self.dir, "cygnetd.sock")
        self.config = os.path.join(self.dir, "cygnetd.yaml")
        self.process = self.log = None
        self.address = f"127.0.0.1:{free_port()}"

    def command(self, program, *args, check=True):
        done = subprocess.run([os.path.join(self.bin, program), *map(str, args)], text=True, capture_output=True)
        if check and done.returncode != 0:
            raise LabError(f"{program} {' '.join(map(str, args))}: {done.stderr or done.stdout}")
        return done

    def cygnet(self, *args):
        return self.command("cygnet", "--socket", self.socket, "-o", "json", *args)

    def start(self, limits=LIMITS, log="warning"):
        state = os.path.join(self.dir, "state")
        if not os.path.exists(state):
            self.command("cygnetd", "init", "--state", state, "--mesh", "load", "--listen", self.address)
        pathlib.Path(self.config).write_text(f"state: {state}\napi:\n  socket: {self.socket}\nlog:\n  level: {log}\n{limits}")
        # As many open files as may be: one a session.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.log = open(os.path.join(self.dir, "cygnetd.log"), "ab")
        self.process = subprocess.Popen(
            [os.path.join(self.bin, "cygnetd"), "run", "--config", self.config, "--listen", self.address,
             "--advertise", self.address],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard)))
        deadline = time.monotonic() + 120  # a store of ten thousand devices, on a busy machine
        while True:
            try:
                api(self.socket, "GET", "/healthz")
                break
            except (OSError, ValueError) as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise LabError(f"cygnetd did not start: {error}\n{self.tail()}") from error
                time.sleep(0.05)

    def tail(self):
        with open(os.path.join(self.dir, "cygnetd.log"), errors="replace") as f:
            return "".join(f.readlines()[-20:])

    @property
    def pid(self):
        return self.process.pid

    def join_line(self, uses=1):
        made = json.loads(self.cygnet("token", "create", "--label", "fleet=sim", "--uses", str(uses)).stdout)
        return made["join_line"].split()[-1]

    def apply(self, devices, group):
        path = os.path.join(self.dir, "mesh.yaml")
        pathlib.Path(path).write_text(policy(devices, group))
        self.command("cygnet", "--socket", self.socket, "apply", "-f", path)

    def swarm(self, devices, group, *args, check=True, timeout=600):
        """Runs cygnet-sim swarm-live against this controller; its figures as a dictionary."""
        out = os.path.join(self.dir, "swarm.json")
        if os.path.exists(out):
            os.unlink(out)
        identities = os.path.join(self.dir, "fleet.pem")
        done = subprocess.run(
            [os.path.join(self.bin, "cygnet-sim"), "swarm-live", "--devices", str(devices), "--group", str(group),
             "--controller", self.address, "--controller-pid", str(self.pid), "--identities", identities,
             "--json", out, *map(str, args)], text=True, capture_output=True, timeout=timeout)
        figures = json.loads(pathlib.Path(out).read_text()) if os.path.exists(out) else None
        if check and done.returncode != 0:
            raise LabError(f"cygnet-sim swarm-live ended with {done.returncode}:\n{done.stdout}{done.stderr}{self.tail()}")
        return done, figures

    def enrol(self, devices, timeout=900):
        return self.swarm(devices, 0, "--enrol-only", "--join", self.join_line(uses=devices), timeout=timeout)

    def counters(self):
        return api(self.socket, "GET", "/api/v1/status")["counters"]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        if self.log:
            self.log.close()
        self.process = self.log = None

    def close(self):
        self.stop()
        if not self.kept:
            shutil.rmtree(self.dir, ignore_errors=True)
