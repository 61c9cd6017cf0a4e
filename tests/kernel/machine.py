# SPDX-License-Identifier: Apache-2.0
"""A command inside a kernel that is not this machine's: Debian's user-mode Linux, or Debian's kernel under qemu.

    outcome = machine.run("uml", ["ip", "xfrm", "state"], out_directory, seconds=30)

The guest's root is the host's file system, read-only (jail.py); guest.py is its process 1. Several run at
once. When this process ends, by whatever signal, the guest ends.
"""
import dataclasses
import glob
import json
import os
import re
import shutil
import subprocess
import time

import initramfs

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
KERNELS = ("uml", "qemu")
UML = "/usr/bin/linux.uml"
UML_MODULES = "/usr/lib/uml/modules"
# Debian's kernel package unpacked, not installed: `./dev test --kernel` puts it there.
IMAGE = os.path.join(TOP, "build", "kernel", "image")
MEMORY_MB = 1024

MODULES = ["ipv6", "veth", "tun", "esp4", "esp6", "xfrm_user", "gcm", "seqiv", "echainiv", "authenc", "cbc",
           "chacha20poly1305", "sch_netem"]
# What only one of the two kernels has.
MORE_MODULES = {"uml": [], "qemu": ["xfrm_interface", "nf_tables", "nft_masq", "nft_chain_nat"]}
# The kernel says so when it has gone wrong without stopping.
SPLAT = re.compile(rb"^.*(?:BUG: (?!workqueue lockup)|Oops:|general protection fault|KASAN|refcount_t: |"
                   rb"WARNING: CPU: |unregister_netdevice: waiting).*$", re.M)
PANIC = re.compile(rb"Kernel panic - not syncing:.*")


@dataclasses.dataclass
class Outcome:
    """kind: passed, failed (exit code), time (the command), hang (the kernel), panic, splat, dirty
    (it left something), error (it could not be run)."""
    kind: str
    what: str
    seconds: float
    exit: int | None = None
    release: str = ""
    boot_seconds: float | None = None

    @property
    def passed(self):
        return self.kind == "passed"


class MachineError(Exception):
    """Something a reader can act on; shown without a traceback."""


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return b""


def image_release():
    found = sorted(glob.glob(os.path.join(IMAGE, "boot", "vmlinuz-*")))
    if not found:
        raise MachineError(f"no kernel in {IMAGE}: ./dev test --kernel unpacks one there")
    return found[-1].rsplit("vmlinuz-", 1)[1]


def uml_command():
    if not os.path.exists(UML):
        raise MachineError(f"no {UML}: install Debian's user-mode-linux, or run ./dev test --kernel, which does")
    return [UML, f"mem={MEMORY_MB}M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "con=null",
            "con0=null,fd:1", "ssl=null", "uml_dir=/dev/shm/", "init=/mnt/top/tests/kernel/guest.py"]


def qemu_command(out):
    if not shutil.which("qemu-system-x86_64"):
        raise MachineError("no qemu-system-x86_64: install Debian's qemu-system-x86, or run ./dev test --kernel, which does")
    release = image_release()
    with open(os.path.join(out, "initrd"), "wb") as f:
        f.write(initramfs.build(os.path.join(IMAGE, "lib", "modules", release)))

    def share(tag, path, options):
        return ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap{options}",
                "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]

    return ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", str(MEMORY_MB), "-nodefaults", "-no-user-config",
            "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", f"/mnt/top/build/kernel/image/boot/vmlinuz-{release}",
            "-initrd", "/mnt/out/initrd", "-device", "virtio-rng-pci",
            *share("root", "/", ",readonly=on"), *share("out", "/mnt/out", ""),
            "-append", "console=ttyS0 panic=-1 mitigations=off init=/mnt/top/tests/kernel/guest.py"]


class Machine:
    """One boot. start(), then poll() until it returns an Outcome; kill() at any time."""

    def __init__(self, kernel, command, out, seconds, env=None, cwd=TOP):
        if kernel not in KERNELS:
            raise MachineError(f"no kernel named {kernel}: {' or '.join(KERNELS)}")
        self.kernel, self.out, self.seconds = kernel, os.path.abspath(out), seconds
        os.makedirs(self.out, exist_ok=True)
        for name in ("output", "status.json", "console.log", "kernel.log", "junit.xml"):
            if os.path.exists(os.path.join(self.out, name)):
                os.unlink(os.path.join(self.out, name))
        folder = UML_MODULES if kernel == "uml" else os.path.join(IMAGE, "lib", "modules")
        self.request = {"kernel": kernel, "command": list(command), "cwd": cwd, "env": env or {}, "seconds": seconds, "top": TOP,
                        "modules_from": folder, "modules": MODULES + MORE_MODULES[kernel]}
        self.popen = None
        self.shown = 0

    def path(self, name):
        return os.path.join(self.out, name)

    def start(self):
        with open(self.path("request.json"), "w") as f:
            json.dump(self.request, f)
        kernel = uml_command() if self.kernel == "uml" else qemu_command(self.out)
        # setpriv ties it to our thread, unshare its child to itself, and the PID namespace everything to that child.
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork",
                   "--kill-child=KILL", "--mount-proc", "--propagation", "private",
                   "/usr/bin/python3", os.path.join(HERE, "jail.py"), TOP, self.out, *kernel]
        with open(self.path("console.log"), "wb") as console:
            self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                          start_new_session=True)
        self.started = time.monotonic()

    def new_output(self):
        """What the command has written since the last call."""
        try:
            with open(self.path("output"), "rb") as f:
                f.seek(self.shown)
                data = f.read()
        except FileNotFoundError:
            return b""
        self.shown += len(data)
        return data

    def poll(self):
        """None while it runs."""
        ended = self.popen.poll() is not None
        panic = PANIC.search(read(self.path("console.log")))
        late = time.monotonic() - self.started > self.seconds
        if not (ended or panic or late):
            return None
        if not ended:
            # The last lines of a panic, and no more than that.
            if panic:
                try:
                    self.popen.wait(2)
                except subprocess.TimeoutExpired:
                    pass
            self.kill()
        return self.judge(panic, late and not ended)

    def kill(self):
        if self.popen and self.popen.poll() is None:
            self.popen.kill()
        if self.popen:
            self.popen.wait()

    def judge(self, panic, late):
        seconds = time.monotonic() - self.started
        tail = read(self.path("console.log")).decode(errors="replace").strip().splitlines()[-15:]
        if panic:
            return Outcome("panic", "\n".join([panic.group(0).decode(errors="replace"), "its last lines:", *tail]), seconds)
        try:
            status = json.loads(read(self.path("status.json")))
        except ValueError:
            status = None
        if status is None:
            what = (f"the guest's kernel hangs: no end after {self.seconds} s" if late else
                    f"the guest ended without a result (exit code {self.popen.returncode})")
            return Outcome("hang" if late else "error", "\n".join([what + "; its last lines:", *tail]), seconds)
        result = Outcome("passed", "", seconds, status["exit"], status["release"], status.get("booted_s"))
        splat = SPLAT.search(read(self.path("kernel.log")))
        if status["error"]:
            result.kind, result.what = "error", status["error"]
        elif status["exit"] is None:
            result.kind, result.what = "time", "\n".join([f"no end within {self.seconds} s; running were:", *status["left"]])
        elif status["exit"] != 0:
            how = f"exit code {status['exit']}" if status["exit"] > 0 else f"signal {-status['exit']}"
            result.kind, result.what = "failed", how
        elif splat:
            result.kind, result.what = "splat", "the guest's kernel says: " + splat.group(0).decode(errors="replace")
        elif status["left"] or status["namespaces"]:
            result.kind, result.what = "dirty", f"it left behind: {status['left'] + status['namespaces']}"
        return result

    def finish(self, on_output=None):
        """Waits for the end; on_output gets the command's octets as they come."""
        try:
            outcome = None
            while outcome is None:
                outcome = self.poll()
                data = self.new_output() if on_output else b""
                if data:
                    on_output(data)
                if outcome is None:
                    try:
                        self.popen.wait(0.1)
                    except subprocess.TimeoutExpired:
                        pass
            return outcome
        finally:
            self.kill()


def run(kernel, command, out, seconds=120, env=None, cwd=TOP, on_output=None):
    """Boots, runs, ends; returns the Outcome."""
    machine = Machine(kernel, command, out, seconds, env, cwd)
    machine.start()
    return machine.finish(on_output)
