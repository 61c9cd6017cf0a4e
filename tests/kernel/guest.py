#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Process 1 inside a guest kernel: mounts, modules, one command, its result, power off.

The root is the host's, read-only; /run, /tmp, /var/tmp and /dev are the guest's own. /mnt/out is shared
with the host: request.json comes in; output, kernel.log and status.json go out.
"""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from jail import MS_BIND, MS_RDONLY, libc, mount  # noqa: E402

OUT = "/mnt/out"
MODULES = "/run/modules"
RB_POWER_OFF = 0x4321fedc
# Our own end comes before the host's: it can still say which processes were there.
MARGIN_S = 5
PF_KTHREAD = 0x00200000  # linux/sched.h


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def file_systems(top):
    mount("proc", "/proc", "proc")
    mount("sysfs", "/sys", "sysfs")
    mount("tmpfs", "/run", "tmpfs", options="mode=755")
    os.mkdir("/run/host")
    mount("/", "/run/host", flags=MS_BIND)
    for path in ("/tmp", "/var/tmp"):
        if os.path.isdir(path):
            mount("tmpfs", path, "tmpfs", options="mode=1777")
    with open("/proc/mounts") as f:
        # The kernel may have mounted it before us.
        if not any(line.split()[1:3] == ["/dev", "devtmpfs"] for line in f):
            mount("devtmpfs", "/dev", "devtmpfs", options="mode=755")
    for name in ("pts", "shm"):
        os.makedirs(f"/dev/{name}", exist_ok=True)
    mount("devpts", "/dev/pts", "devpts", options="mode=600,ptmxmode=666")
    mount("tmpfs", "/dev/shm", "tmpfs", options="mode=1777")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
                         ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")):
        if not os.path.lexists(f"/dev/{name}"):
            os.symlink(target, f"/dev/{name}")
    # A checkout below a directory that has just been covered appears there again.
    if not os.path.exists(os.path.join(top, "tests", "kernel", "guest.py")):
        os.makedirs(top, exist_ok=True)
        mount("/run/host/mnt/top", top, flags=MS_BIND | MS_RDONLY)


def shared_directory():
    if os.path.isdir("/sys/module/virtio_pci"):
        mount("out", OUT, "9p", options="trans=virtio,version=9p2000.L,cache=none,msize=131072")
    else:
        mount("none", OUT, "hostfs", options=OUT)


def load_modules(folder, wanted):
    """Returns what could not be loaded, as modprobe says it."""
    release = os.uname().release
    os.makedirs(f"{MODULES}/lib/modules")
    os.symlink(os.path.join(folder, release), f"{MODULES}/lib/modules/{release}")
    # What the kernel asks for by itself (algorithms, queueing disciplines) comes from there too.
    write("/run/modprobe", f'#!/bin/sh\nexec /sbin/modprobe -d {MODULES} "$@"\n')
    os.chmod("/run/modprobe", 0o755)
    write("/proc/sys/kernel/modprobe", "/run/modprobe")
    done = subprocess.run(["/run/modprobe", "-a", *wanted], text=True, capture_output=True)
    return "" if done.returncode == 0 else (done.stderr or done.stdout or f"modprobe: exit {done.returncode}").strip()


def is_of_user_space(pid):
    """Neither a thread of the kernel nor a process that has ended (proc(5), stat: state and flags)."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return fields[0] not in "ZX" and not int(fields[6]) & PF_KTHREAD


def command_line(pid):
    """Empty only of a process that was started without one: during an execve(2) it reads empty for a moment."""
    deadline = time.monotonic() + 1
    while True:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            line = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
        if line or time.monotonic() > deadline or not is_of_user_space(pid):
            return line
        os.sched_yield()


def processes():
    """Every process of user space but this one: (pid, command line)."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            if is_of_user_space(name):
                found.append((int(name), command_line(name) or f"process {name}, without a command line"))
        except OSError:  # it has ended meanwhile
            continue
    return found


def run(request, status):
    """The command, within its time; everything it left running is listed, then killed."""
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
           "PYTHONUNBUFFERED": "1", "CYGNET_KERNEL": request["kernel"], **request["env"]}
    output = os.open(f"{OUT}/output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    # The host counts from before the boot.
    deadline = time.monotonic() + request["seconds"] - MARGIN_S - time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        child = subprocess.Popen(request["command"], cwd=request["cwd"], env=env, stdin=subprocess.DEVNULL,
                                 stdout=output, stderr=output, start_new_session=True)
    except OSError as error:
        status["error"] = f"cannot run {request['command'][0]}: {error.strerror}"
        return
    signal.set_wakeup_fd(-1)
    ended = None
    while ended is None and time.monotonic() < deadline:
        # Orphans come to process 1; SIGALRM ends the wait at the deadline.
        signal.setitimer(signal.ITIMER_REAL, max(0.01, deadline - time.monotonic()))
        try:
            pid, code = os.waitpid(-1, 0)
        except (InterruptedError, TimeoutError):
            continue
        if pid == child.pid:
            ended = os.waitstatus_to_exitcode(code)
    signal.setitimer(signal.ITIMER_REAL, 0)
    status["exit"] = ended
    status["left"] = [line for _, line in processes()]
    status["namespaces"] = sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else []
    for pid, _ in processes():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def alarm(number, frame):
    raise TimeoutError


def main():
    with open(f"{OUT}/request.json") as f:
        request = json.load(f)
    status = {"release": os.uname().release, "exit": None, "error": "", "left": [], "namespaces": []}
    try:
        file_systems(request["top"])
        shared_directory()
        status["error"] = load_modules(request["modules_from"], request["modules"])
        if not status["error"]:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            status["booted_s"] = time.clock_gettime(time.CLOCK_BOOTTIME)
            signal.signal(signal.SIGALRM, alarm)
            run(request, status)
    except Exception as error:  # noqa: BLE001  a process 1 that raises is a kernel that panics
        status["error"] = f"{type(error).__name__}: {error}"
    with open(f"{OUT}/kernel.log", "wb") as f:
        f.write(subprocess.run(["dmesg"], capture_output=True).stdout)
    write(f"{OUT}/status.json.part", json.dumps(status))
    os.rename(f"{OUT}/status.json.part", f"{OUT}/status.json")
    os.sync()
    libc.reboot(RB_POWER_OFF)


if __name__ == "__main__":
    main()
