#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recomputes `cygnet debug derive` from the formulas of docs/protocol.md section 5.

Nothing of Cygnet is used: HMAC is Python's, X25519, X448 and ECP are python3-cryptography's, MODP is
Python's pow(). Compared octet by octet, from both ends in turn: with X25519 every combination of
PRF, cipher, lanes, KDF, PPK and proposal numbers, with each other group every PRF and cipher while
the rest takes turns (with --all every combination for every group, some minutes); then every
refusal by its code.

usage: derive_oracle.py [--all] PROGRAM [ARGS…]      PROGRAM ARGS… derive  must be the verb
"""

import concurrent.futures
import hashlib
import hmac
import itertools
import json
import random
import subprocess
import sys

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RNG = random.Random(20260501)

PRFS = {"hmac-sha2-256": hashlib.sha256, "hmac-sha2-384": hashlib.sha384,
        "hmac-sha2-512": hashlib.sha512}
# name -> (octets of the cipher's key with salt, octets of the integrity key)
AEADS = {("aes-gcm-16-128", None): (20, 0), ("aes-gcm-16-256", None): (36, 0),
         ("chacha20-poly1305", None): (36, 0)}
INTEGS = {"hmac-sha2-256-128": 32, "hmac-sha2-384-192": 48, "hmac-sha2-512-256": 64}
SUITES = dict(AEADS)
SUITES.update({(f"aes-cbc-{bits}", integ): (bits // 8, length)
               for bits in (128, 256) for integ, length in INTEGS.items()})


# ---- RFC 3526 primes, from their definition: p = 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) pi) + c)
def pi_times_power_of_two(bits):
    """floor(2^bits * pi) by Machin's formula with guard bits."""
    guard = 64
    one = 1 << (bits + guard)

    def arctan_inverse(x):
        term, total, n, sign = one // x, 0, 1, 1
        while term:
            total += sign * (term // n)
            term //= x * x
            n += 2
            sign = -sign
        return total

    return 4 * (4 * arctan_inverse(5) - arctan_inverse(239)) >> guard


def modp(n, c):
    return 2**n - 2**(n - 64) - 1 + 2**64 * (pi_times_power_of_two(n - 130) + c)


MODP = {14: (2048, modp(2048, 124476)), 15: (3072, modp(3072, 1690314)),
        16: (4096, modp(4096, 240904))}
CURVES = {19: (ec.SECP256R1(), 32), 20: (ec.SECP384R1(), 48), 21: (ec.SECP521R1(), 66)}
GROUPS = [14, 15, 16, 19, 20, 21, 31, 32]


class Party:
    """A private value, its public value and a nonce."""

    def __init__(self, group, nonce):
        self.group, self.nonce = group, nonce
        if group in MODP:
            size = MODP[group][0] // 8
            prime = MODP[group][1]
            self.scalar = RNG.randrange(2**500, (prime - 1) // 2)
            self.private = self.scalar.to_bytes(size, "big")
            self.public = pow(2, self.scalar, prime).to_bytes(size, "big")
        elif group in CURVES:
            curve, size = CURVES[group]
            self.scalar = RNG.randrange(1, 2**(curve.key_size - 1))  # below any of the orders
            self.private = self.scalar.to_bytes(size, "big")
            self.key = ec.derive_private_key(self.scalar, curve)
            numbers = self.key.public_key().public_numbers()
            self.public = numbers.x.to_bytes(size, "big") + numbers.y.to_bytes(size, "big")
        else:
            module = x25519 if group == 31 else x448
            size = 32 if group == 31 else 56
            self.private = RNG.randbytes(size)
            kind = module.X25519PrivateKey if group == 31 else module.X448PrivateKey
            self.key = kind.from_private_bytes(self.private)
            self.public = self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

        self.secrets = {}

    def shared(self, other):
        if other.public not in self.secrets:
            self.secrets[other.public] = self.agree(other)
        return self.secrets[other.public]

    def agree(self, other):
        if self.group in MODP:
            size, prime = MODP[self.group][0] // 8, MODP[self.group][1]
            return pow(int.from_bytes(other.public, "big"), self.scalar, prime).to_bytes(size, "big")
        if self.group in CURVES:
            return self.key.exchange(ec.ECDH(), other.key.public_key())
        return self.key.exchange(other.key.public_key())


# ---- the formulas

def prf(name, key, data):
    return hmac.new(key, data, PRFS[name]).digest()


def prf_plus(name, key, seed, length):
    out, block, n = b"", b"", 1
    while len(out) < length:
        assert n <= 255
        block = prf(name, key, block + seed + bytes([n]))
        out += block
        n += 1
    return out[:length]


def spis(name, ni, nr, spn, lanes):
    seed = b"SPI generation" + (bytes(spn) if spn else b"")
    # Room for several skipped values.
    stream = prf_plus(name, ni + nr, seed, 8 * lanes + 64)
    at, taken, out = 0, {"i": set(), "r": set()}, []
    for _ in range(lanes):
        pair = {}
        for direction in "ir":
            while True:
                assert at + 4 <= len(stream)
                value = int.from_bytes(stream[at:at + 4], "big")
                at += 4
                if value > 255 and value not in taken[direction]:
                    break
            taken[direction].add(value)
            pair[direction] = value
        out.append((pair["i"].to_bytes(4, "big"), pair["r"].to_bytes(4, "big")))
    return out


def derive(local, remote, name, suite, lanes, kdf, ppk, spn):
    initiator = local.nonce > remote.nonce
    ni, nr = (local.nonce, remote.nonce) if initiator else (remote.nonce, local.nonce)
    pairs = spis(name, ni, nr, spn, lanes)
    g_ir = local.shared(remote)
    size = PRFS[name]().digest_size
    encr, integ = SUITES[suite]
    length = lanes * 2 * (encr + integ)
    skeyseed = prf(name, ni + nr, g_ir)
    long_seed = ni + nr + pairs[0][0] + pairs[0][1]
    sk_d_prime = sk_d = None
    if kdf == "short":
        keymat = prf_plus(name, skeyseed, long_seed, length)
    else:
        sk_d_prime = prf_plus(name, skeyseed, long_seed, size)
        sk_d = prf_plus(name, ppk, sk_d_prime, size) if ppk else sk_d_prime
        keymat = prf_plus(name, sk_d, ni + nr, length)
    at, out = 0, []

    def cut(n):
        nonlocal at
        at += n
        return keymat[at - n:at].hex()

    for spi_i, spi_r in pairs:
        lane = {"spi_i": spi_i.hex(), "spi_r": spi_r.hex()}
        for direction in ("i_to_r", "r_to_i"):
            lane[direction] = {"encr": cut(encr), "integ": cut(integ) if integ else None}
        out.append(lane)
    return {"role": "initiator" if initiator else "responder", "local_public": local.public.hex(),
            "g_ir": g_ir.hex(), "skeyseed": skeyseed.hex(),
            "sk_d_prime": sk_d_prime.hex() if sk_d_prime else None,
            "sk_d": sk_d.hex() if sk_d else None, "keymat": keymat.hex(), "lanes": out}


# ---- the program under test

PROGRAM = []


def run(text):
    done = subprocess.run(PROGRAM + ["derive"], input=text.encode(), capture_output=True,
                          timeout=60, check=False)
    assert done.stdout.count(b"\n") == 1 and done.stdout.endswith(b"\n"), done
    return done.returncode, json.loads(done.stdout)


def question(local, remote, name, suite, lanes, kdf, ppk, spn):
    return {"group": local.group, "prf": name, "encr": suite[0], "integ": suite[1], "lanes": lanes,
            "kdf": kdf, "ppk": ppk.hex() if ppk else None, "spn": spn,
            "local": {"private": local.private.hex(), "nonce": local.nonce.hex()},
            "remote": {"public": remote.public.hex(), "nonce": remote.nonce.hex()}}


def lanes_max(name, suite):
    return min(64, 255 * PRFS[name]().digest_size // (2 * sum(SUITES[suite])))


def nonce_pair(kind):
    base = RNG.randbytes(32)
    return {"equal length": (base, RNG.randbytes(32)), "prefix": (base, base[:16]),
            "shortest": (base[:16], RNG.randbytes(16)),
            "longest": (RNG.randbytes(256), RNG.randbytes(256)),
            "mixed": (RNG.randbytes(17), RNG.randbytes(255))}[kind]


def combinations(everything):
    kinds = itertools.cycle(["equal length", "prefix", "shortest", "longest", "mixed"])
    for group in GROUPS:
        parties = {}
        for kind in ("equal length", "prefix", "shortest", "longest", "mixed"):
            a, b = nonce_pair(kind)
            parties[kind] = (Party(group, a), Party(group, b))
        ends = itertools.cycle([False, True])
        variants = list(itertools.product(
            (None, [1, 1], [3, 16]),
            (("long", None), ("long", RNG.randbytes(32)), ("short", None)), (1, 3, "most")))
        turns = itertools.cycle(variants)
        for name, suite in itertools.product(PRFS, SUITES):
            for spn, (kdf, ppk), lanes in (variants if everything or group == 31
                                           else [next(turns)]):
                local, remote = parties[next(kinds)]
                if next(ends):
                    local, remote = remote, local
                yield (local, remote, name, suite,
                       lanes_max(name, suite) if lanes == "most" else lanes, kdf, ppk, spn)


def compare(case):
    code, got = run(json.dumps(question(*case)))
    want = derive(*case)
    if code == 0 and got == want:
        return None
    return f"{case[0].group} {case[2:]}\n  want {want}\n  got  {code} {got}"


def refusals():
    a, b = Party(31, RNG.randbytes(32)), Party(31, RNG.randbytes(32))
    base = question(a, b, "hmac-sha2-256", ("aes-gcm-16-256", None), 1, "long", None, [1, 1])

    def changed(**fields):
        out = json.loads(json.dumps(base))
        for path, value in fields.items():
            *outer, last = path.split("__")
            place = out
            for part in outer:
                place = place[part]
            if value is KeyError:
                del place[last]
            else:
                place[last] = value
        return json.dumps(out)

    p = MODP[14][1]
    modp_ends = [Party(14, RNG.randbytes(32)) for _ in range(2)]
    ecp_ends = [Party(19, RNG.randbytes(32)) for _ in range(2)]

    def public(ends, value):
        q = question(*ends, "hmac-sha2-256", ("aes-gcm-16-256", None), 1, "long", None, None)
        q["remote"]["public"] = value.hex()
        return json.dumps(q)

    off_curve = bytearray(ecp_ends[1].public)
    off_curve[-1] ^= 1
    yield from [
        ("public-value", changed(remote__public="00" * 32)),
        ("public-value", changed(remote__public="01" + "00" * 31)),
        ("public-value", changed(remote__public="00" * 31)),
        ("public-value", public(ecp_ends, bytes(off_curve))),
        ("public-value", public(ecp_ends, b"\x04" + ecp_ends[1].public)),
        ("public-value", public(ecp_ends, b"\xff" * 64)),
        ("public-value", public(modp_ends, bytes(256))),
        ("public-value", public(modp_ends, (1).to_bytes(256, "big"))),
        ("public-value", public(modp_ends, (p - 1).to_bytes(256, "big"))),
        ("public-value", public(modp_ends, p.to_bytes(256, "big"))),
        ("public-value", public(modp_ends, modp_ends[1].public[1:])),
        ("private-value", changed(local__private="00" * 31)),
        ("nonce", changed(local__nonce="ab" * 15)),
        ("nonce", changed(remote__nonce="ab" * 257)),
        ("nonce", changed(remote__nonce="")),
        ("equal-nonces", changed(remote__nonce=a.nonce.hex())),
        ("unknown-name", changed(group=22)),
        ("unknown-name", changed(prf="hmac-sha1")),
        ("unknown-name", changed(encr="aes-gcm-16-192")),
        ("unknown-name", changed(encr="aes-cbc-128", integ="hmac-sha1-96")),
        ("unknown-name", changed(kdf="medium")),
        ("suite", changed(encr="aes-cbc-128")),
        ("suite", changed(integ="hmac-sha2-256-128")),
        ("lanes", changed(lanes=0)),
        ("lanes", changed(lanes=65)),
        ("lanes", changed(lanes=-1)),
        ("lanes", changed(encr="aes-cbc-256", integ="hmac-sha2-512-256", lanes=43)),
        ("ppk", changed(kdf="short", ppk="00" * 32)),
        ("ppk", changed(ppk="")),
        ("spn", changed(spn=[1])),
        ("spn", changed(spn=[1, 256])),
        ("spn", changed(spn=["1", "1"])),
        ("hex", changed(local__nonce="0g" * 16)),
        ("hex", changed(local__nonce="0" * 33)),
        ("wrong-type", changed(prf=5)),
        ("wrong-type", changed(group="31")),
        ("wrong-type", changed(lanes=1.5)),
        ("wrong-type", changed(spn=1)),
        ("wrong-type", changed(local="x")),
        ("wrong-type", changed(local__private=None)),
        ("missing-field", changed(group=KeyError)),
        ("missing-field", changed(encr=KeyError)),
        ("missing-field", changed(local=KeyError)),
        ("missing-field", changed(local__private=KeyError)),
        ("missing-field", changed(remote__public=KeyError)),
        ("unknown-field", changed(ppks="00")),
        ("unknown-field", changed(remote__privat="00")),
        ("json", ""),
        ("json", "[]"),
        ("json", "{"),
        ("json", json.dumps(base) + "{}"),
        ("json", '{"group":31,' + json.dumps(base)[1:]),
    ]


def check_refusal(case):
    want, text = case
    code, got = run(text)
    if code == 2 and set(got) == {"error"} and got["error"]["code"] == want \
            and got["error"]["message"]:
        return None
    return f"want {want}, got {code} {got} for {text[:200]}"


def main():
    everything = sys.argv[1:2] == ["--all"]
    PROGRAM.extend(sys.argv[2 if everything else 1:])
    if not PROGRAM:
        sys.exit(__doc__)
    failures = []
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        cases = list(combinations(everything))
        failures += [f for f in pool.map(compare, cases) if f]
        bad = list(refusals())
        failures += [f for f in pool.map(check_refusal, bad) if f]
    # A comparison that cannot fail proves nothing: one wrong octet must be seen.
    planted = question(*cases[0])
    planted["local"]["nonce"] = "00" + planted["local"]["nonce"][2:]
    if run(json.dumps(planted))[1] == derive(*cases[0]):
        failures.append("a planted wrong octet was not noticed")
    for failure in failures[:20]:
        print(failure)
    print(f"{len(cases)} derivations and {len(bad)} refusals compared, {len(failures)} differ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
