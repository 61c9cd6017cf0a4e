#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scapy's ESP against ours, both ways and for every suite: Scapy opens what `esp seal` makes and
`esp open` opens what Scapy makes. With extended sequence numbers the AEADs only: Scapy leaves their
high half out of a separate integrity algorithm's ICV (esp_oracle.py covers those suites).

usage: esp_scapy.py PROGRAM [ARGS…]
"""

import json
import logging
import random
import struct
import subprocess
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import AUTH_ALGOS, CRYPT_ALGOS, ESP, SecurityAssociation  # noqa: E402
from scapy.packet import Raw  # noqa: E402

RNG = random.Random(4500)
PROGRAM = []
# Our names, Scapy's names, octets of the keys.
SUITES = [
    ("aes-gcm-16-128", None, "AES-GCM", None, 20, 0),
    ("aes-gcm-16-256", None, "AES-GCM", None, 36, 0),
    ("chacha20-poly1305", None, "CHACHA20-POLY1305", None, 36, 0),
] + [
    (f"aes-cbc-{bits}", integ, "AES-CBC", scapy_integ, bits // 8, key)
    for bits in (128, 256)
    for integ, scapy_integ, key in (("hmac-sha2-256-128", "SHA2-256-128", 32),
                                    ("hmac-sha2-384-192", "SHA2-384-192", 48),
                                    ("hmac-sha2-512-256", "SHA2-512-256", 64))
]


def verb(name, fields):
    done = subprocess.run(PROGRAM + ["esp", name], input=json.dumps(fields).encode(),
                          capture_output=True, timeout=60, check=False)
    answer = json.loads(done.stdout)
    assert done.returncode == 0, (name, fields, answer)
    return answer


def inner_packets():
    """Tunnel-mode payloads of lengths around the block borders, both families."""
    for n in (0, 1, 2, 3, 5, 12, 13, 14, 15, 16, 100, 1371):
        yield 4, IP(src="10.1.0.1", dst="10.2.0.1") / UDP(sport=7, dport=9) / Raw(b"x" * n)
    for n in (0, 3, 16, 1331):
        yield 41, (IPv6(src="2001:db8:1::1", dst="2001:db8:2::1") / UDP(sport=7, dport=9)
                   / Raw(b"y" * n))


def association(spi, suite, encr_key, integ_key, esn, seq):
    """Scapy's SA; it keeps the whole sequence number with ESN."""
    kwargs = {"auth_algo": suite[3], "auth_key": integ_key} if suite[3] else {}
    return SecurityAssociation(
        ESP, spi=spi, crypt_algo=suite[2], crypt_key=encr_key, esn_en=esn, esn=seq >> 32,
        seq_num=seq & 0xFFFFFFFF, tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"), **kwargs)


def one(suite, esn):
    encr, integ = suite[0], suite[1]
    encr_key = RNG.randbytes(suite[4])
    integ_key = RNG.randbytes(suite[5])
    iv_length = 16 if integ else 8
    keys = {"encr": encr, "integ": integ, "encr_key": encr_key.hex(),
            "integ_key": integ_key.hex() if integ else None, "esn": esn}
    checked = 0
    for next_header, inner in inner_packets():
        seq = RNG.randrange(1, 2**32) | (RNG.randrange(1, 2**31) << 32 if esn else 0)
        spi = RNG.randrange(256, 2**32)
        payload = bytes(inner)

        # Ours, opened by Scapy.
        sealed = bytes.fromhex(verb("seal", {
            **keys, "spi": f"{spi:08x}", "seq": seq & 0xFFFFFFFF, "seq_hi": seq >> 32, "iv": RNG.randbytes(iv_length).hex(),
            "next_header": next_header, "payload": payload.hex()})["packet"])
        assert struct.unpack("!II", sealed[:8]) == (spi, seq & 0xFFFFFFFF)
        outer = IP(bytes(IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / Raw(sealed)))
        assert outer.haslayer(ESP)
        opened = association(spi, suite, encr_key, integ_key, esn, seq).decrypt(outer)
        # Scapy fills in no checksum that was there: equal octets prove equal packets.
        assert bytes(opened) == payload, (encr, integ, esn, len(payload))

        # Scapy's, opened by ours.
        packet = association(spi, suite, encr_key, integ_key, esn, seq).encrypt(
            type(inner)(payload))
        esp = bytes(packet[ESP])
        answer = verb("open", {**keys, "seq_hi": seq >> 32, "packet": esp.hex()})
        assert int(answer["spi"], 16) == spi, answer
        assert bytes.fromhex(answer["payload"]) == payload or len(payload) == 0, answer
        assert answer["next_header"] == next_header
        checked += 2
    return checked


def main():
    PROGRAM.extend(sys.argv[1:])
    total = 0
    for suite in SUITES:
        assert suite[2] in CRYPT_ALGOS, f"this Scapy lacks {suite[2]}"
        assert suite[3] is None or suite[3] in AUTH_ALGOS, f"this Scapy lacks {suite[3]}"
        for esn in (False, True) if suite[3] is None else (False,):
            total += one(suite, esn)
    print(f"{total} packets between Scapy and us, {len(SUITES)} suites")


if __name__ == "__main__":
    main()
