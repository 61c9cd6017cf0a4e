#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seals and opens ESP packets by RFC 4303, 4106, 7634, 3602 and 4868 with python3-cryptography, and
holds the verbs `esp seal` and `esp open` against that: every suite, with and without extended
sequence numbers, every payload length over two blocks; then every drop by its name.

usage: esp_oracle.py PROGRAM [ARGS…]
"""

import hashlib
import hmac
import json
import random
import struct
import subprocess
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

RNG = random.Random(4303)
AEADS = {"aes-gcm-16-128": (AESGCM, 16), "aes-gcm-16-256": (AESGCM, 32),
         "chacha20-poly1305": (ChaCha20Poly1305, 32)}
INTEGS = {"hmac-sha2-256-128": (hashlib.sha256, 32, 16), "hmac-sha2-384-192": (hashlib.sha384, 48, 24),
          "hmac-sha2-512-256": (hashlib.sha512, 64, 32)}
SUITES = [(name, None) for name in AEADS] + [
    (f"aes-cbc-{bits}", integ) for bits in (128, 256) for integ in INTEGS]
PROGRAM = []
FAILURES = []


def verb(name, fields):
    done = subprocess.run(PROGRAM + ["esp", name], input=json.dumps(fields).encode(),
                          capture_output=True, timeout=60, check=False)
    assert done.stdout.count(b"\n") == 1, done
    return done.returncode, json.loads(done.stdout)


def seal(case, payload, trailer=None):
    """@param trailer  instead of minimal padding, pad length and next header"""
    suite, esn = case["suite"], case["esn"]
    block = 4 if suite[1] is None else 16
    count = -(len(payload) + 2) % block
    if trailer is None:
        trailer = bytes(range(1, count + 1)) + bytes([count, case["next_header"]])
    text = payload + trailer
    head = struct.pack(">II", case["spi"], case["seq"])
    if suite[1] is None:
        kind, _ = AEADS[suite[0]]
        aad = struct.pack(">III", case["spi"], case["seq_hi"], case["seq"]) if esn else head
        key, salt = case["encr_key"][:-4], case["encr_key"][-4:]
        return head + case["iv"] + kind(key).encrypt(salt + case["iv"], text, aad)
    cipher = Cipher(algorithms.AES(case["encr_key"]), modes.CBC(case["iv"])).encryptor()
    body = head + case["iv"] + cipher.update(text) + cipher.finalize()
    digest, _, length = INTEGS[suite[1]]
    tail = struct.pack(">I", case["seq_hi"]) if esn else b""
    return body + hmac.new(case["integ_key"], body + tail, digest).digest()[:length]


def new_case(suite, esn):
    aead = suite[1] is None
    key = AEADS[suite[0]][1] + 4 if aead else int(suite[0][-3:]) // 8
    return {"suite": suite, "esn": esn, "seq_hi": RNG.getrandbits(32) if esn else 0,
            "encr_key": RNG.randbytes(key),
            "integ_key": b"" if aead else RNG.randbytes(INTEGS[suite[1]][1]),
            "spi": RNG.randrange(256, 2**32), "seq": RNG.randrange(1, 2**32),
            "iv": RNG.randbytes(8 if aead else 16), "next_header": RNG.choice([4, 41, 59])}


def common(case):
    return {"encr": case["suite"][0], "integ": case["suite"][1], "encr_key": case["encr_key"].hex(),
            "integ_key": case["integ_key"].hex() or None, "esn": case["esn"],
            "seq_hi": case["seq_hi"]}


def expect(what, condition, detail):
    if not condition:
        FAILURES.append(f"{what}: {detail}")


def opened(case, packet):
    return verb("open", {**common(case), "packet": packet.hex()})


def compare(case, length):
    payload = RNG.randbytes(length)
    packet = seal(case, payload)
    where = f"{case['suite']} esn {case['esn']} length {length}"
    code, got = verb("seal", {**common(case), "spi": f"{case['spi']:08x}", "seq": case["seq"],
                              "iv": case["iv"].hex(), "next_header": case["next_header"],
                              "payload": payload.hex()})
    expect(f"seal {where}", code == 0 and got == {"packet": packet.hex()}, got)
    code, got = opened(case, packet)
    want = {"spi": f"{case['spi']:08x}", "seq": case["seq"], "next_header": case["next_header"],
            "pad_length": -(length + 2) % (4 if case["suite"][1] is None else 16),
            "payload": payload.hex()}
    expect(f"open {where}", code == 0 and got == want, got)


def expect_drop(what, name, answer):
    code, got = answer
    expect(what, code == 2 and got["error"]["code"] == name and got["error"]["message"], got)


def drops(case):
    packet = seal(case, RNG.randbytes(40))
    icv = 16 if case["suite"][1] is None else INTEGS[case["suite"][1]][2]
    for at in (0, 4, 8, 20, len(packet) - icv, len(packet) - 1):
        wrong = bytearray(packet)
        wrong[at] ^= 0x20
        expect_drop(f"octet {at} changed", "icv", opened(case, bytes(wrong)))
    if case["esn"]:
        expect_drop("another high half", "icv",
                    opened({**case, "seq_hi": case["seq_hi"] ^ 1}, packet))
    expect_drop("a longer packet than its own", "icv" if case["suite"][1] is None else "length",
                opened(case, packet + b"\0\0\0\0"))
    expect_drop("an odd length", "length", opened(case, packet[:-1]))
    expect_drop("nothing", "too-short", opened(case, b""))
    expect_drop("a header", "too-short", opened(case, packet[:8]))
    block = 4 if case["suite"][1] is None else 16
    expect_drop("padding of other octets", "padding",
                opened(case, seal(case, bytes(block - 4), b"\x01\x03\x02\x04")))
    expect_drop("padding beyond the payload", "padding",
                opened(case, seal(case, bytes(block - 2), b"\xff\x04")))


def refusals():
    case = new_case(("aes-gcm-16-256", None), False)
    cbc = new_case(("aes-cbc-128", "hmac-sha2-256-128"), False)
    base = {**common(case), "spi": "00001000", "seq": 1, "iv": "00" * 8, "next_header": 4,
            "payload": "00"}
    for code, changes in [
            ("key-length", {"encr_key": "00" * 32}), ("iv-length", {"iv": "00" * 16}),
            ("spi", {"spi": "000000ff"}), ("spi", {"spi": 0}), ("range", {"spi": "0000"}),
            ("range", {"seq": 2**32}), ("range", {"next_header": 256}),
            ("range", {"seq_hi": 1}), ("seq-overflow", {"seq": 0}),
            ("wrong-type", {"payload": 7}), ("wrong-type", {"esn": 1}),
            ("unknown-field", {"sequence": 1}), ("unknown-name", {"encr": "null"})]:
        expect_drop(str(changes), code, verb("seal", {**base, **changes}))
    expect_drop("no integrity key", "missing-field",
                verb("open", {**common(cbc), "integ_key": None, "packet": ""}))
    expect_drop("no packet", "missing-field", verb("open", common(case)))
    expect("SPI as a number", verb("seal", {**base, "spi": 4096}) == verb("seal", base), "")


def main():
    PROGRAM.extend(sys.argv[1:])
    if not PROGRAM:
        sys.exit(__doc__)
    packets = 0
    for suite in SUITES:
        for esn in (False, True):
            case = new_case(suite, esn)
            for length in range(0, 33):
                compare(case, length)
                packets += 1
            compare(case, 1400)
            drops(case)
    refusals()
    for failure in FAILURES[:20]:
        print(failure)
    print(f"{packets + 2 * len(SUITES)} packets compared both ways, {len(FAILURES)} differences")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
