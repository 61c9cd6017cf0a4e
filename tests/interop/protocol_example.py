#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What docs/protocol.md repeats of the code, held against it: the worked example, computed by the
debugging verbs from its inputs, and the definitions of the device stream's messages.

usage: protocol_example.py PROTOCOL_MD DEVICE_PROTO PROGRAM [ARGS…]
           every value and the definitions must stand in the document
       protocol_example.py --rewrite PROTOCOL_MD DEVICE_PROTO
           puts the definitions into it
       protocol_example.py --print PROGRAM [ARGS…]
           prints the values of the example
"""

import hashlib
import json
import pathlib
import struct
import subprocess
import sys

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import (Encoding, NoEncryption, PrivateFormat,
                                                          PublicFormat)

MESH = bytes(range(16))
DEVICES = {
    "alpha": {"seed": b"\x01" * 32, "private": b"\x11" * 32, "nonce": bytes(range(0x80, 0xA0)),
              "lanes": 2, "ciphers": [256, 128]},
    "beta": {"seed": b"\x02" * 32, "private": b"\x22" * 32, "nonce": bytes(range(0x00, 0x20)),
             "lanes": 4, "ciphers": [128]},
}
COOKIE = bytes(range(1, 9))
PROGRAM = []


def verb(*names, **fields):
    done = subprocess.run(PROGRAM + list(names), input=json.dumps(fields).encode(),
                          capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def identity_pem(device):
    key = ed25519.Ed25519PrivateKey.from_private_bytes(device["seed"])
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public(device):
    key = x25519.X25519PrivateKey.from_private_bytes(device["private"])
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def dim(name):
    device = DEVICES[name]
    proposals = [{"number": index + 1, "transforms": [
        {"type": 1, "id": 20, "key_length": bits}, {"type": 4, "id": 31}, {"type": 5, "id": 1},
        {"type": 2, "id": 5}]} for index, bits in enumerate(device["ciphers"])]
    parts = [(35, {"id_type": 2, "id": f"{name}.corp"}),
             (41, {"notify_type": 41001, "boot_count": 1, "sequence": 1}),
             (41, {"notify_type": 16384}), (41, {"notify_type": 41002, "lanes": device["lanes"]}),
             (33, {"proposals": proposals}), (34, {"group": 31, "value": public(device).hex()}),
             (40, {"nonce": device["nonce"].hex()})]
    made = verb("dim", "encode", mesh_id=MESH.hex(), key=identity_pem(device),
                payloads=[{"type": kind, "fields": fields} for kind, fields in parts])
    return bytes.fromhex(made["dim"])


def mesh_address(name):
    return (b"\xfd" + hashlib.sha256(b"cygnet-mesh" + MESH).digest()[:5] + b"\0\0" +
            hashlib.sha256(b"cygnet-dev" + MESH + f"{name}.corp".encode()).digest()[:8])


def ones_sum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def probe_packet(source, destination):
    probe = b"\x01\x01\0\0" + COOKIE
    udp = struct.pack(">HHHH", 4501, 4501, 8 + len(probe), 0) + probe
    pseudo = source + destination + struct.pack(">II", len(udp), 17)
    udp = udp[:6] + struct.pack(">H", ones_sum(pseudo + udp)) + udp[8:]
    return struct.pack(">IHBB", 6 << 28, len(udp), 17, 64) + source + destination + udp


def values():
    out = {}
    dims = {}
    for name in DEVICES:
        dims[name] = dim(name)
        out[f"{name} X25519 public"] = public(DEVICES[name]).hex()
        out[f"{name} mesh address"] = mesh_address(name).hex()
        for part in verb("dim", "decode", dim=dims[name].hex())["payloads"]:
            octets = dims[name][part["offset"]:part["offset"] + part["length"]]
            out[f"{name} DIM offset {part['offset']} {part['name']}"] = octets.hex()
    alpha, beta = DEVICES["alpha"], DEVICES["beta"]
    keys = verb("derive", group=31, prf="hmac-sha2-256", encr="aes-gcm-16-128", integ=None, lanes=2,
                kdf="long", ppk=None, spn=[2, 1],
                local={"private": alpha["private"].hex(), "nonce": alpha["nonce"].hex()},
                remote={"public": public(beta).hex(), "nonce": beta["nonce"].hex()})
    assert keys["role"] == "initiator"
    for name in ("g_ir", "skeyseed", "sk_d", "keymat"):
        out[name] = keys[name]
    for index, lane in enumerate(keys["lanes"]):
        out[f"SPIi[{index}]"], out[f"SPIr[{index}]"] = lane["spi_i"], lane["spi_r"]
        out[f"lane {index} i to r"] = lane["i_to_r"]["encr"]
        out[f"lane {index} r to i"] = lane["r_to_i"]["encr"]
    inner = probe_packet(mesh_address("alpha"), mesh_address("beta"))
    out["inner packet"] = inner.hex()
    lane = keys["lanes"][0]
    packet = verb("esp", "seal", encr="aes-gcm-16-128", integ=None,
                  encr_key=lane["i_to_r"]["encr"], integ_key=None, esn=True, seq_hi=0,
                  spi=lane["spi_r"], seq=1, iv="0000000000000001", next_header=41,
                  payload=inner.hex())["packet"]
    out["ESP packet"] = packet
    return out


def definitions(proto):
    """The .proto file as the document shows it: from `syntax` on."""
    text = pathlib.Path(proto).read_text(encoding="utf-8")
    return "```proto\n" + text[text.index("syntax"):].rstrip("\n") + "\n```"


def rewrite(document, proto):
    path = pathlib.Path(document)
    text = path.read_text(encoding="utf-8")
    start = text.index("```proto\n")
    end = text.index("\n```", start) + len("\n```")
    path.write_text(text[:start] + definitions(proto) + text[end:], encoding="utf-8")
    return 0


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--rewrite":
        return rewrite(*sys.argv[2:])
    printing = sys.argv[1:2] == ["--print"]
    if len(sys.argv) < (3 if printing else 4):
        sys.exit(__doc__)
    PROGRAM.extend(sys.argv[2 if printing else 3:])
    found = values()
    if printing:
        for name, value in found.items():
            print(f"{name}\n{value}")
        return 0
    document = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    text = "".join(document.split())
    missing = [name for name, value in found.items() if value not in text]
    for name in missing:
        print(f"{name} is not in the document: {found[name]}")
    if definitions(sys.argv[2]) not in document:
        missing.append("definitions")
        print(f"section 12 is not {sys.argv[2]}; run this with --rewrite")
    # A comparison that cannot fail proves nothing.
    if "00" + found["keymat"] in text:
        missing.append("planted")
    print(f"{len(found)} values, {len(missing)} missing")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
