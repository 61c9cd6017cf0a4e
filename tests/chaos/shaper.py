#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A bad line in user space: loses, delays, reorders and duplicates what is routed into its TUN device.

Runs in the router's namespace. Every packet read from the device is written back to it, later, twice
or not at all; the kernel then forwards it as if it had just come in. On SIGTERM it writes what it did
as JSON: {"seen", "delayed", "duplicated", "dropped": [[monotonic ns, source octet, target octet,
UDP payload length or 0]]} where the octets are the third ones of the underlay's addresses.
"""
import argparse
import fcntl
import heapq
import json
import os
import random
import select
import signal
import struct
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def open_tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--name", default="shape0")
    p.add_argument("--loss", type=float, default=0.0)
    p.add_argument("--reorder", type=float, default=0.0, help="share of packets that are held back")
    p.add_argument("--delay-ms", type=float, default=30.0, help="… for up to this long")
    p.add_argument("--duplicate", type=float, default=0.0)
    p.add_argument("--seed", type=int, required=True)
    p.add_argument("--report", required=True)
    o = p.parse_args()
    rng = random.Random(o.seed)
    fd = open_tun(o.name)
    print("ready", flush=True)
    stop = []
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    held, number = [], 0
    done = {"seen": 0, "delayed": 0, "duplicated": 0, "dropped": []}

    def put(packet):
        try:
            os.write(fd, packet)
        except OSError:  # the device goes down with the test
            pass

    while not stop:
        timeout = max(0.0, held[0][0] - time.monotonic()) if held else None
        ready, _, _ = select.select([fd, wake_read], [], [], timeout)
        while held and held[0][0] <= time.monotonic():
            put(heapq.heappop(held)[2])
        if fd not in ready:
            continue
        for _ in range(64):
            try:
                packet = os.read(fd, 65536)
            except BlockingIOError:
                break
            done["seen"] += 1
            number += 1
            if packet[0] >> 4 == 4 and rng.random() < o.loss:
                header = (packet[0] & 15) * 4
                length = struct.unpack_from(">H", packet, header + 4)[0] - 8 if packet[9] == 17 else 0
                done["dropped"].append([time.monotonic_ns(), packet[14], packet[18], length])
                continue
            if rng.random() < o.duplicate:
                done["duplicated"] += 1
                put(packet)
            if rng.random() < o.reorder:
                done["delayed"] += 1
                heapq.heappush(held, (time.monotonic() + rng.uniform(0.002, o.delay_ms / 1000), number, packet))
            else:
                put(packet)
    with open(o.report, "w") as f:
        json.dump(done, f)


if __name__ == "__main__":
    main()
