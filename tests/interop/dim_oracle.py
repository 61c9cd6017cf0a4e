#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes, reads and signs DIMs by docs/protocol.md section 3 alone, and holds the verbs
`dim decode`, `dim encode` and `dim check` against that. A DIM also goes behind an IKE header, where
tshark must dissect it without a complaint.

usage: dim_oracle.py PROGRAM [ARGS…]
"""

import datetime
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import (Encoding, NoEncryption, PrivateFormat,
                                                          PublicFormat)
from cryptography.x509.oid import NameOID

RNG = random.Random(3)
MESH = bytes.fromhex("00112233445566778899aabbccddeeff")
NOW = datetime.datetime(2026, 5, 1)
NOW_MS = int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp() * 1000)
PROGRAM = []
FAILURES = []


def verb(*names, **fields):
    done = subprocess.run(PROGRAM + list(names), input=json.dumps(fields).encode(),
                          capture_output=True, timeout=60, check=False)
    assert done.stdout.count(b"\n") == 1, done
    return done.returncode, json.loads(done.stdout)


def expect(what, condition, detail=""):
    if not condition:
        FAILURES.append(f"{what}: {detail}")


# ---- a DIM from the specification

def transform(kind, number, key_bits=None):
    attribute = struct.pack(">HH", 0x800E, key_bits) if key_bits else b""
    return kind, number, attribute


def sa(proposals):
    out = b""
    for index, transforms in enumerate(proposals):
        body = b""
        for place, (kind, number, attribute) in enumerate(transforms):
            last = place + 1 == len(transforms)
            body += struct.pack(">BBHBBH", 0 if last else 3, 0, 8 + len(attribute), kind, 0,
                                number) + attribute
        out += struct.pack(">BBHBBBB", 0 if index + 1 == len(proposals) else 2, 0, 8 + len(body),
                           index + 1, 3, 0, len(transforms)) + body
    return out


def notify(number, data=b""):
    return 41, struct.pack(">BBH", 0, 0, number) + data


def chain(payloads, after):
    out = b""
    for index, (_, body) in enumerate(payloads):
        following = payloads[index + 1][0] if index + 1 < len(payloads) else after
        out += struct.pack(">BBH", following, 0, 4 + len(body)) + body
    return out


GCM = [transform(1, 20, 256), transform(4, 31), transform(5, 1), transform(2, 5)]
CBC = [transform(1, 12, 128), transform(3, 12), transform(4, 19), transform(5, 0), transform(2, 6),
       transform(241, 2)]
LATER = [transform(1, 20, 128), transform(4, 36), transform(5, 1), transform(2, 5), transform(6, 36)]


def payloads(name="alpha.mesh", boot=2, sequence=9, initial=True, lanes=4):
    key = x25519.X25519PrivateKey.from_private_bytes(RNG.randbytes(32)).public_key()
    point = ec.derive_private_key(RNG.randrange(1, 2**255), ec.SECP256R1()).public_key()
    point = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    out = [(35, b"\x02\0\0\0" + name.encode()), notify(41001, struct.pack(">II", boot, sequence))]
    if initial:
        out.append(notify(16384))
    if lanes != 1:
        out.append(notify(41002, struct.pack(">H", lanes)))
    return out + [
        notify(16436, b"\x02ppk-one"), notify(16436, b"\x02ppk-two"),
        notify(16500, b"\x01\x02\x03"), notify(50000),
        (33, sa([GCM, CBC, LATER])),
        (34, struct.pack(">HH", 31, 0) + key.public_bytes(Encoding.Raw, PublicFormat.Raw)),
        (34, struct.pack(">HH", 19, 0) + point),
        (34, struct.pack(">HH", 36, 0) + RNG.randbytes(50)),
        (40, RNG.randbytes(32))]


ALGORITHMS = {"p256": bytes.fromhex("300a06082a8648ce3d040302"),
              "p384": bytes.fromhex("300a06082a8648ce3d040303"),
              "ed25519": bytes.fromhex("300506032b6570")}
HASHES = {"p256": hashes.SHA256(), "p384": hashes.SHA384()}


def new_key(kind):
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if kind == "p256" else ec.SECP384R1())


def signed_input(before):
    return b"cygnet-dim-v1\0" + MESH + b"\x23" + before


def sign(kind, key, parts):
    before = chain(parts, 39)
    if kind == "ed25519":
        value = key.sign(signed_input(before))
    else:
        value = key.sign(signed_input(before), ec.ECDSA(HASHES[kind]))
    algorithm = ALGORITHMS[kind]
    body = b"\x0e\0\0\0" + bytes([len(algorithm)]) + algorithm + value
    return before + struct.pack(">BBH", 0, 0, 4 + len(body)) + body


def verify(kind, public, octets):
    """Finds AUTH by walking the chain, as any receiver would."""
    kind_of, at = 35, 0
    while kind_of != 39:
        kind_of, length = octets[at], struct.unpack(">H", octets[at + 2:at + 4])[0]
        at += length
    body = octets[at + 4:]
    expect("AUTH header", body[:4] == b"\x0e\0\0\0" and octets[at] == 0)
    algorithm, value = body[5:5 + body[4]], body[5 + body[4]:]
    expect("AUTH algorithm", algorithm == ALGORITHMS[kind], algorithm.hex())
    if kind == "ed25519":
        public.verify(value, signed_input(octets[:at]))
    else:
        public.verify(value, signed_input(octets[:at]), ec.ECDSA(HASHES[kind]))
    return octets[:at]


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def certificate(subject_key, issuer_key, kind, ca=False, dns="alpha.mesh", mesh=MESH, hours=24):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA" if ca else dns)])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA")])
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(issuer)
               .public_key(subject_key.public_key()).serial_number(RNG.getrandbits(64) + 1)
               .not_valid_before(NOW - datetime.timedelta(hours=48))
               .not_valid_after(NOW + datetime.timedelta(hours=hours))
               .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True))
    if ca:
        builder = builder.add_extension(
            x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
    else:
        uri = f"cygnet://{mesh.hex()}/{dns.split('.')[0]}"
        builder = builder.add_extension(x509.SubjectAlternativeName(
            [x509.DNSName(dns), x509.UniformResourceIdentifier(uri)]), False)
        builder = builder.add_extension(
            x509.KeyUsage(True, False, False, False, False, False, False, False, False), True)
    return builder.sign(issuer_key, None if kind == "ed25519" else HASHES[kind])


# ---- what is compared

def compare_codec(kind):
    key = new_key(kind)
    parts = payloads()
    octets = sign(kind, key, parts)
    code, decoded = verb("dim", "decode", dim=octets.hex())
    expect(f"{kind}: decode", code == 0, decoded)
    if code != 0:
        return
    at = 0
    for entry, (number, body) in zip(decoded["payloads"], parts):
        expect("payload place", (entry["offset"], entry["type"], entry["length"]) ==
               (at, number, 4 + len(body)), entry)
        at += 4 + len(body)
    fields = [entry["fields"] for entry in decoded["payloads"]]
    expect("IDi", fields[0]["id"] == "alpha.mesh" and fields[0]["id_type"] == 2, fields[0])
    expect("counter", (fields[1]["boot_count"], fields[1]["sequence"]) == (2, 9), fields[1])
    expect("lanes", fields[3]["lanes"] == 4, fields[3])
    expect("PPK", bytes.fromhex(fields[4]["ppk_id"]) == b"ppk-one", fields[4])
    expect("proposals", [p["policy"] for p in fields[8]["proposals"]] ==
           ["aes256gcm16-x25519-sha256", "aes128-sha256-ecp256-sha384-noesn-transport", None],
           fields[8])
    expect("KE", fields[9]["value"] == parts[9][1][4:].hex(), fields[9])
    expect("Ni", fields[12]["nonce"] == parts[12][1].hex(), fields[12])

    code, same = verb("dim", "encode", **decoded)
    expect("encode without a key gives the same octets", code == 0 and
           bytes.fromhex(same["dim"]) == octets, same)
    code, again = verb("dim", "encode", **decoded, key=pem(key), mesh_id=MESH.hex())
    expect("encode", code == 0, again)
    before = verify(kind, key.public_key(), bytes.fromhex(again["dim"]))
    expect("encode gives the same octets before AUTH", before == chain(parts, 39))


def outcomes(answer):
    return {check["name"]: check["outcome"] for check in answer["checks"]}


def compare_checks(kind):
    ca_key, key = new_key(kind), new_key(kind)
    ca = certificate(ca_key, ca_key, kind, ca=True)
    leaf = certificate(key, ca_key, kind)
    parts = payloads()
    octets = sign(kind, key, parts)
    der = leaf.public_bytes(Encoding.DER).hex()
    as_pem = leaf.public_bytes(Encoding.PEM).decode()
    trust = [ca.public_bytes(Encoding.PEM).decode()]
    good = {"dim": octets.hex(), "certificate": der, "trust": trust, "mesh_id": MESH.hex(),
            "now_ms": NOW_MS}

    def check(**changes):
        return verb("dim", "check", **{**good, **changes})

    for form in (der, as_pem):
        code, answer = check(certificate=form)
        expect(f"{kind}: check", code == 0 and answer["verdict"] == "accepted", answer)
        ran = outcomes(answer)
        expect("names of the checks", list(ran) == [
            "form", "counter", "pad", "chain", "revocation", "pin", "auth", "nonce",
            "public-values", "negotiation"], ran)
        for name in ("form", "chain", "auth", "public-values"):
            expect(f"{name} passes", ran[name] == "passed", ran)
    code, answer = check(trust=[ca.public_bytes(Encoding.DER).hex()])
    expect("trust as DER", code == 0, answer)

    stranger = new_key(kind)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    pin = digest.finalize().hex()
    stale = sign(kind, key, payloads(sequence=10))
    twin = sign(kind, key, payloads())
    rebooted = payloads(boot=2, sequence=10, initial=True)
    zero = list(parts)
    zero[9] = (34, struct.pack(">HH", 31, 0) + bytes(32))
    local = sign(kind, key, payloads(name="beta.mesh"))
    cases = [
        ("form", "dim-form", {"dim": (octets + b"\0").hex()}),
        ("chain", "certificate-chain", {"certificate": certificate(key, stranger, kind).
                                        public_bytes(Encoding.DER).hex()}),
        ("chain", "certificate-expired", {"certificate": certificate(key, ca_key, kind, hours=-1).
                                          public_bytes(Encoding.DER).hex()}),
        ("chain", "certificate-identity", {"certificate": certificate(
            key, ca_key, kind, dns="beta.mesh").public_bytes(Encoding.DER).hex()}),
        ("chain", "certificate-identity", {"certificate": certificate(
            key, ca_key, kind, mesh=bytes(16)).public_bytes(Encoding.DER).hex()}),
        ("auth", "signature", {"dim": sign(kind, stranger, parts).hex()}),
        ("counter", "stale-dim", {"previous": stale.hex()}),
        ("counter", "equivocation", {"previous": twin.hex()}),
        ("counter", "initial-contact", {"previous": octets.hex(),
                                        "dim": sign(kind, key, rebooted).hex()}),
        ("pad", "pad", {"allowed": ["gamma.mesh"]}),
        ("revocation", "revoked", {"revoked": [pin]}),
        ("pin", "peer-key-changed", {"pin": "00" * 32}),
        ("nonce", "nonce-reused", {"held": [sign(kind, key, [(35, b"\x02\0\0\0beta.mesh")] +
                                                parts[1:]).hex()]}),
        ("public-values", "public-value", {"dim": sign(kind, key, zero).hex()}),
    ]
    for name, error, changes in cases:
        code, answer = check(**changes)
        expect(f"{kind}: {name} {error}", code == 2 and outcomes(answer)[name] == "failed" and
               answer["error"]["code"] == error, answer)
    code, answer = check(previous=octets.hex(), pin=pin)
    expect("same", code == 0 and answer["verdict"] == "same", answer)
    code, answer = check(local=local.hex(), pin=pin, revoked=[], allowed=["alpha.mesh"],
                         previous=sign(kind, key, payloads(boot=1)).hex(), held=[])
    expect("all ten pass", code == 0 and set(outcomes(answer).values()) == {"passed"} and
           answer["initial_contact"] is True and
           answer["agreement"]["policy"] == "aes256gcm16-x25519-sha256", answer)


def compare_tshark():
    key = new_key("p256")
    octets = sign("p256", key, payloads())
    ike = bytes(range(1, 17)) + struct.pack(">BBBBII", 35, 0x20, 35, 0x08, 0, 28 + len(octets))
    udp = struct.pack(">HHHH", 500, 500, 8 + len(ike) + len(octets), 0) + ike + octets
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
                     bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])) + udp
    capture = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    capture += struct.pack("<IIII", 0, 0, len(ip), len(ip)) + ip
    with tempfile.NamedTemporaryFile(suffix=".pcap", delete=False) as file:
        file.write(capture)
    try:
        done = subprocess.run(["tshark", "-V", "-r", file.name], capture_output=True, text=True,
                              timeout=120, check=False)
    finally:
        os.unlink(file.name)
    text = done.stdout
    for part in ("Payload: Identification - Initiator (35)", "Payload: Notify (41)",
                 "Payload: Security Association (33)", "Payload: Key Exchange (34)",
                 "Payload: Nonce (40)", "Payload: Authentication (39)", "alpha.mesh",
                 "INITIAL_CONTACT"):
        expect("tshark", part in text, f"{part} is missing in\n{text}\n{done.stderr}")
    for complaint in ("Malformed", "Expert Info (Error", "Expert Info (Warning"):
        expect("tshark", complaint not in text, f"{complaint} in\n{text}")


def main():
    PROGRAM.extend(sys.argv[1:])
    if not PROGRAM:
        sys.exit(__doc__)
    for kind in ALGORITHMS:
        compare_codec(kind)
        compare_checks(kind)
    compare_tshark()
    for failure in FAILURES:
        print(failure)
    print(f"{len(FAILURES)} differences")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
