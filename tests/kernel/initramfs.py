# SPDX-License-Identifier: Apache-2.0
"""The initial file system for qemu: a shell, the 9p modules, and the step to the host's root.

Written here in cpio's "newc" form (cpio(5)): thirteen hexadecimal fields, name, content, padded to four.
"""
import os

BUSYBOX = "/bin/busybox"
WANTED = ("virtio_pci", "9pnet_virtio", "9p", "virtio_rng")
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /root
for module in $(/bin/busybox cat /modules); do
  /bin/busybox insmod /lib/$module || echo "initramfs: cannot load $module"
done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=131072 root /root || {
  echo "initramfs: cannot mount the host's root"
  exit 1
}
exec /bin/busybox switch_root /root /mnt/top/tests/kernel/guest.py
"""


def in_order(folder):
    """Files of the wanted modules and what they need, each after what it needs (modules.dep)."""
    needs = {}
    with open(os.path.join(folder, "modules.dep")) as f:
        for line in f:
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
    names = {os.path.basename(path).split(".")[0].replace("-", "_"): path for path in needs}
    with open(os.path.join(folder, "modules.builtin")) as f:
        builtin = {os.path.basename(line.strip()).split(".")[0].replace("-", "_") for line in f}
    ordered = []

    def add(path):
        for need in needs[path]:
            add(need)
        if path not in ordered:
            ordered.append(path)

    for name in WANTED:
        if name not in builtin:
            add(names[name])
    return ordered


class Archive:
    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.inode += 1
        name = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        self.pad()
        self.data += content
        self.pad()

    def pad(self):
        self.data += b"\0" * (-len(self.data) % 4)


def build(modules_folder):
    archive = Archive()
    for name in ("bin", "lib", "dev", "proc"):
        archive.add(name, 0o040755)
    archive.add("dev/console", 0o020600, device=(5, 1))
    with open(BUSYBOX, "rb") as f:
        archive.add("bin/busybox", 0o100755, f.read())
    files = in_order(modules_folder)
    for path in files:
        with open(os.path.join(modules_folder, path), "rb") as f:
            archive.add("lib/" + os.path.basename(path), 0o100644, f.read())
    archive.add("modules", 0o100644, "\n".join(os.path.basename(p) for p in files).encode())
    archive.add("init", 0o100755, INIT.encode())
    archive.add("TRAILER!!!", 0)
    return bytes(archive.data)
