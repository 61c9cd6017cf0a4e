# SPDX-License-Identifier: Apache-2.0
"""Network namespaces and processes that clean up after themselves.

A Lab owns what it makes: namespaces, processes, a scratch directory. close() ends the processes by
pid, deletes the namespaces (and with them every device, address, route and rule inside) and removes
the scratch directory; it runs on every way out, also on Ctrl-C.
"""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


class LabError(Exception):
    """Something a reader can act on; its text is shown without a traceback."""


def attended(name, run, failed=lambda error: None, *, clean):
    """run() as the whole of a program that makes a lab; the program's exit code.

    Whatever ends it (SIGTERM and Ctrl-C too), clean() runs, and nothing interrupts that: half a mesh
    must not stay behind. failed(error) adds what is known when a LabError ended it.
    """
    if os.geteuid() != 0:
        print(f"{name}: making network namespaces needs root; run it with sudo", file=sys.stderr)
        return 1

    def ended(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, ended)
    try:
        return run()
    except LabError as error:
        print(f"{name}: {error}", file=sys.stderr)
        failed(error)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        clean()


class Process:
    def __init__(self, name, popen, log_path):
        self.name = name
        self.popen = popen
        self.log_path = log_path
        self.started_ns = time.monotonic_ns()

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def send(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout=10):
        """Ends the process; kills it when it does not go by itself within the timeout."""
        self.send(number)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait(5)

    def tail(self, lines=15):
        with open(self.log_path, errors="replace") as f:
            return "".join(f.readlines()[-lines:])


class Lab:
    def __init__(self, prefix):
        self.prefix = f"{prefix}{os.getpid()}"
        self.dir = tempfile.mkdtemp(prefix=f"{prefix}-")
        os.chmod(self.dir, 0o755)
        self.namespaces = []
        self.processes = []
        self.links = 0

    # -- namespaces ----------------------------------------------------------------------------
    def namespace(self, name):
        full = f"{self.prefix}-{name}"
        self.run(["ip", "netns", "add", full])
        self.namespaces.append(full)
        self.ip(full, "link", "set", "lo", "up")
        for key in ("net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter"):
            self.sysctl(full, key, 0)
        return full

    def sysctl(self, ns, key, value):
        self.run(["ip", "netns", "exec", ns, "sysctl", "-qw", f"{key}={value}"])

    def ip(self, ns, *args):
        return self.run(["ip", "-n", ns, *map(str, args)])

    def veth(self, ns_a, name_a, addresses_a, ns_b, name_b, addresses_b):
        self.links += 1
        a, b = f"cv{os.getpid() % 100000}a{self.links}", f"cv{os.getpid() % 100000}b{self.links}"
        self.run(["ip", "link", "add", a, "type", "veth", "peer", "name", b])
        for ns, old, new, addresses in ((ns_a, a, name_a, addresses_a), (ns_b, b, name_b, addresses_b)):
            self.run(["ip", "link", "set", old, "netns", ns, "name", new])
            for address in addresses:
                self.ip(ns, "addr", "add", address, "dev", new, *(["nodad"] if ":" in address else []))
            # A virtual cable carries datagrams that were never cut apart; a wire does not, and a
            # capture is to show what a wire would.
            self.run(["ip", "netns", "exec", ns, "ethtool", "-K", new, "tx-udp-segmentation", "off"])
            self.ip(ns, "link", "set", new, "txqueuelen", "10000", "up")

    # -- processes -----------------------------------------------------------------------------
    def run(self, command, check=True, **kw):
        done = subprocess.run(command, text=True, capture_output=True, **kw)
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(command)} failed ({done.returncode}): {(done.stderr or done.stdout).strip()}")
        return done

    def start(self, name, command, ns=None, env=None, pass_fds=()):
        log_path = os.path.join(self.dir, f"{name}.log")
        full = (["ip", "netns", "exec", ns] if ns else []) + command
        with open(log_path, "ab") as log:
            popen = subprocess.Popen(full, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                     start_new_session=True, env={**os.environ, **(env or {})}, pass_fds=pass_fds)
        process = Process(name, popen, log_path)
        self.processes.append(process)
        return process

    # -- waiting -------------------------------------------------------------------------------
    def wait(self, what, condition, timeout, every=0.05, watch=()):
        """Polls until condition() is truthy; says what was awaited when it does not come."""
        deadline = time.monotonic() + timeout
        last_error = None
        while True:
            try:
                value = condition()
                if value:
                    return value
            except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
                last_error = error
            for process in watch:
                if not process.alive():
                    raise LabError(f"{process.name} ended while waiting for {what}:\n{process.tail()}")
            if time.monotonic() > deadline:
                raise LabError(f"waited {timeout} s for {what}" + (f" (last: {last_error!r})" if last_error else ""))
            time.sleep(every)

    def close(self):
        for process in reversed(self.processes):
            process.send(signal.SIGTERM)
        for process in reversed(self.processes):
            process.stop(timeout=5)
            # A wrapper may have left its child behind; each process began a session of its own.
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for ns in reversed(self.namespaces):
            subprocess.run(["ip", "netns", "del", ns], capture_output=True)
        self.namespaces = []
        shutil.rmtree(self.dir, ignore_errors=True)


class UnixHttp(http.client.HTTPConnection):
    def __init__(self, path, timeout=5):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def api(socket_path, method, path, body=None, timeout=5):
    """One request on a daemon's local interface; raises ValueError with the problem's text."""
    connection = UnixHttp(socket_path, timeout)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 400:
            raise ValueError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text) if text else {}
    finally:
        connection.close()
