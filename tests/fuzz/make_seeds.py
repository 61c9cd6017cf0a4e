#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the first inputs of every fuzz target: the worked example of docs/protocol.md, the
documents of docs/policy.md, small JSON bodies, and short pseudo-random strings for targets that
read decisions. Always the same files.

  make_seeds.py REPOSITORY CORPUS
"""

import pathlib
import random
import re
import sys


def example_dim(protocol):
    part = protocol.split("### 10.2 ")[1].split("### 10.3 ")[0]
    block = part.split("```")[1]
    lines = [line for line in block.splitlines() if re.fullmatch(r"[0-9a-f]{8,}", line)]
    return bytes.fromhex("".join(lines))


def policies(text):
    return [block.encode() for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]


def field(tag, octets):
    return bytes([tag << 3 | 2, len(octets)]) + octets


def number(tag, value):
    return bytes([tag << 3] + ([value & 0x7f | 0x80] if value > 0x7f else []) + [value >> 7 if value > 0x7f else value])


def stories(dice):
    """Three devices and a controller (tests/fuzz/lying_devices.h): steps of (device, verb, arguments)."""
    connect, hello, commit, pull, acknowledge = b"\0", b"\3\0\0", b"\5\1", b"\6", b"\x08"

    def publish(sequence):
        return bytes([4, 0, 0, 1, sequence] + [0] * 7) + bytes(dice.randrange(256) for _ in range(32)) + bytes(3)

    def raw(message):
        return b"\2" + len(message).to_bytes(2, "big") + message

    a, b, c = b"\0", b"\1", b"\2"
    both = a + connect + a + hello + b + connect + b + hello
    told = both + a + publish(1) + a + commit + b + pull + b + acknowledge + a + pull
    pairing = field(1, b"b.mesh")
    words = [field(4, field(1, number(1, 256) + field(2, b"") + number(3, 1))),
             field(4, field(2, pairing + number(2, 1) + field(3, b"signature"))),
             field(4, field(3, pairing + field(4, b"up"))), field(4, field(4, pairing)), field(4, field(5, field(1, b"clock"))),
             field(3, pairing), field(3, field(1, b"c.mesh")),
             field(7, field(1, field(1, bytes([10, 0, 0, 1])) + number(2, 4500) + number(3, 1)))]
    return [told, told + b + publish(1) + b + commit + a + pull + a + publish(2) + a + publish(3) + a + commit + a + commit,
            both + a + publish(1) + a + b"\5\0" + a + publish(2) + a + commit + a + pull + b + pull,
            told + b"".join(a + raw(message) for message in words) + a + pull + b + pull,
            told + a + b"\1" + a + connect + a + b"\3\1\0" + a + pull + a + b"\7\x10\0" + a + pull,
            a + connect + a + hello + a + b"\x09\0\0\0" + a + pull + a + b"\x09\3\1\0\0" + a + pull,
            c + connect + c + hello + c + publish(1) + c + commit + both + a + pull + b + pull + c + pull]


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    top, corpus = map(pathlib.Path, sys.argv[1:])
    protocol = (top / "docs/protocol.md").read_text(encoding="utf-8")
    dim = example_dim(protocol)
    derive = re.search(r"cygnet debug derive <<'END'\n(.*?)END", protocol, re.S)[1].encode()
    seeds = {
        "dim_codec": [dim, dim[:-1], dim.replace(b"beta", b"gamm")],
        "ikev2_payloads": [bytes([35]) + dim, bytes([33]) + dim[51:99], bytes([0]) + dim[55:99], b"\x23"],
        "probes": [bytes.fromhex("010100000102030405060708"),
                   bytes.fromhex("0102ffff010203040506070800050002abcd"), b"\x01"],
        "policy_yaml": policies((top / "docs/policy.md").read_text(encoding="utf-8"))[:6] + [b"mesh: [", b""],
        "api_json": [b"{}", b'{"name":"store-1","ttl_s":3600}', b'{"yaml":"mesh: corp\\n","version":7}',
                     b"[1,-2.5e3,null,true,\"\\u00e9\"]", b"[" * 70, b'{"name":1,"reason":'],
        "debug_json": [bytes([0]) + derive,
                       bytes([3]) + b'{"dim":"' + dim.hex().encode() + b'"}', bytes([1]) + b"{}"],
        "stream_messages": [bytes([1, 10, 4, 8, 1, 18, 0]), bytes([2, 8, 1]), bytes([3, 10, 2, 97, 98])],
    }
    dice = random.Random(20240517)
    for target, length in (("negotiation", 120), ("keymat", 190), ("esp_inbound", 90), ("replay_window", 60),
                           ("public_values", 80), ("rekey_events", 300), ("rekey_schedule", 150),
                           ("stream_messages", 60)):
        more = [bytes(dice.randrange(256) for _ in range(length)) for _ in range(16)]
        if target == "stream_messages":
            more = [bytes([4 * (n // 4)]) + text for n, text in enumerate(more)]
            more += [b"\x80" + story for story in stories(random.Random(9))]
        if target == "public_values":  # every group, as it comes and as a good value
            more = [bytes([group, how]) + text for group, text in enumerate(more[:8]) for how in (1, 2, 3)]
        seeds.setdefault(target, []).extend(more)
    # Its own dice: the other targets' files stay what they are.
    netlink = random.Random(25)
    seeds["netlink_messages"] = [bytes([way]) + bytes(netlink.randrange(256) for _ in range(320)) for way in (0, 1, 2, 3) for _ in range(4)]
    for target, inputs in seeds.items():
        directory = corpus / target
        directory.mkdir(parents=True, exist_ok=True)
        for number, octets in enumerate(inputs):
            (directory / f"seed-{number:02}").write_bytes(octets)
        print(f"{target}: {len(inputs)}")


if __name__ == "__main__":
    main()
