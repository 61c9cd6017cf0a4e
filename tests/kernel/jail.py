#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Process 1 of the namespaces a guest kernel runs in: the host's files are read-only there.

Started by machine.py under unshare(1) with mount, PID, network, IPC and UTS namespaces of its own:

    jail.py TOP OUT COMMAND…

COMMAND sees TOP at /mnt/top and OUT at /mnt/out. OUT is the one place of the host that can be written,
whatever the guest does: not only the guest's mount is read-only, the host's is too. When this process
dies, so does everything in its PID namespace; it dies with the process that started it.
"""
import ctypes
import os
import struct
import sys

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC = 1, 32, 4096, 16384
MNT_DETACH = 2
SYS_SCHED_SETATTR = 314   # amd64
SLICE_NS = 100_000
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind=None, flags=0, options=None):
    code = [os.fsencode(x) if x is not None else None for x in (source, target, kind)]
    if libc.mount(*code, ctypes.c_ulong(flags), os.fsencode(options) if options else None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {source} on {target}: {os.strerror(error)}")


def mount_points():
    """Every mount point, in the order in which they were mounted."""
    with open("/proc/self/mountinfo") as f:
        fields = [line.split()[4] for line in f]
    return [path.encode().decode("unicode_escape").encode("latin-1").decode() for path in fields]


def read_only(keep):
    for path in mount_points():
        if path in keep or any(path.startswith(k + "/") for k in keep):
            continue
        try:
            mount(None, path, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)
        except OSError:
            # Not reachable by this path any more (mounted over), or not to be had: then not at all.
            if libc.umount2(os.fsencode(path), MNT_DETACH) != 0 and path == "/":
                raise


def short_slices():
    """Asks for short turns of the processor. A user-mode kernel hands over between its processes thousands of
    times a second; beside programs that compute, each hand-over would wait for a whole turn of theirs. Linux
    6.12 and later know it; for others the call changes nothing."""
    libc.syscall(SYS_SCHED_SETATTR, 0, struct.pack("<IIQiIQQQII", 56, 0, 0, 0, 0, SLICE_NS, 0, 0, 0, 0), 0)


def main(argv):
    top, out, command = argv[1], argv[2], argv[3:]
    # Held open: /mnt may hide them in a moment.
    held = {"top": os.open(top, os.O_PATH), "out": os.open(out, os.O_PATH)}
    mount("tmpfs", "/mnt", "tmpfs")
    for name, fd in held.items():
        os.mkdir(f"/mnt/{name}")
        mount(f"/proc/self/fd/{fd}", f"/mnt/{name}", flags=MS_BIND | MS_REC)
    if top.startswith("/mnt/"):
        os.makedirs(top, exist_ok=True)
        mount("/mnt/top", top, flags=MS_BIND)
    # The guest's memory: a file that is gone with this namespace.
    mount("tmpfs", "/dev/shm", "tmpfs", options="mode=1777,size=80%")
    read_only(keep=["/mnt/out", "/dev/shm", "/proc"])
    short_slices()
    os.chdir("/mnt/out")
    child = os.spawnvpe(os.P_NOWAIT, command[0], command,
                        {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/dev/shm", "TMPDIR": "/dev/shm"})
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status) & 0xff


if __name__ == "__main__":
    sys.exit(main(sys.argv))
