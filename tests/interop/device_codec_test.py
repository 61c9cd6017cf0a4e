# SPDX-License-Identifier: Apache-2.0
"""The Python device's arithmetic against the document's worked example and against `cygnet debug`.

DIMs are drawn at random from a seed, most of them then damaged; both sides must come to the same verdict
with the same code. A failure prints its seed.

usage: device_codec_test.py PROGRAM [ARGS…]
"""
import concurrent.futures
import dataclasses
import json
import os
import random
import re
import struct
import subprocess
import sys
import time
import unittest

from cryptography.hazmat.primitives.asymmetric import ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import lying_controller
from pydevice import checks, esp, groups, identity, inner, keymat, proposals
from pydevice import dim as codec
from pydevice.errors import Refused

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = []
DIMS = 400


def verb(*names, **fields):
    done = subprocess.run(PROGRAM + list(names), input=json.dumps(fields).encode(),
                          capture_output=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)


class FixedKeyPair(groups.KeyPair):
    """X25519 with a private value from outside."""

    def __init__(self, private):
        self.group = 31
        self._private = x25519.X25519PrivateKey.from_private_bytes(private)
        self.public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class WorkedExampleTest(unittest.TestCase):
    """Section 10, from its private values to its packet."""

    MESH = bytes(range(16))

    @classmethod
    def setUpClass(cls):
        with open(os.path.join(TOP, "docs", "protocol.md")) as f:
            text = f.read()
        cls.text = text[text.index("## 10. "):text.index("## 11. ")]

    def dim(self, name, seed, private, nonce, words, lanes):
        pair = FixedKeyPair(private)
        dim = codec.Dim(name=name, counter=1 << 32 | 1, nonce=nonce, lanes=lanes, initial_contact=True,
                        proposals=tuple(map(proposals.parse, words)), kes=((31, pair.public),))
        key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
        return dim, pair, codec.sign(codec.encode(dim), key, self.MESH)

    def stands(self, octets):
        """The octets are in the section, broken over lines as they may be."""
        self.assertIn(octets.hex(), re.sub(r"\n(?=[0-9a-f]{8})", "", self.text))

    def test_dims_keys_and_packet_are_the_documents(self):
        first, second = "aes256gcm16-x25519-sha256", "aes128gcm16-x25519-sha256"
        alpha, ours, octets_a = self.dim("alpha.corp", b"\1" * 32, b"\x11" * 32,
                                         bytes(range(0x80, 0xA0)), (first, second), 2)
        beta, _, octets_b = self.dim("beta.corp", b"\2" * 32, b"\x22" * 32, bytes(range(32)),
                                     (second,), 4)
        for octets in (octets_a, octets_b):
            for _, at, body in codec.payloads(octets):
                self.stands(octets[at:at + 4 + len(body)])
        suite, lanes = keymat.derive(alpha, beta, lambda group: ours)
        self.assertEqual(len(lanes), 2)
        for lane in lanes:
            self.stands(lane.spi_in.to_bytes(4, "big"))
            self.stands(lane.spi_out.to_bytes(4, "big"))
            self.stands(lane.key_in[0])
            self.stands(lane.key_out[0])
        address = [identity.mesh_address(self.MESH, n) for n in ("alpha.corp", "beta.corp")]
        for a in address:
            self.stands(a.packed)
        next_header, probe = inner.build(inner.probe(*address, inner.PROBE_REQUEST, bytes(range(1, 9))))
        self.stands(probe)
        sealed = esp.OutboundSa(suite, lanes[0].spi_out, lanes[0].key_out).seal(next_header, probe)
        self.stands(sealed)


# -- random DIMs -----------------------------------------------------------------------------------
TRANSFORM_IDS = {1: (12, 20, 28, 20, 3, 99), 3: (12, 13, 14, 2), 4: (14, 19, 31, 31, 32, 20, 36, 1),
                 5: (0, 1, 1, 7), 2: (5, 6, 7, 4), 241: (2, 3, 4, 9), 242: (1,), 6: (31,), 200: (5,)}


class Draw:
    """Everything about one case, from its seed."""

    def __init__(self, seed, pairs, mesh_id):
        self.random = random.Random(seed)
        self.pairs = pairs
        self.mesh_id = mesh_id

    def wildly(self, probability):
        return self.wild and self.random.random() < probability

    def known(self):
        r = self.random
        cipher = r.choice(["aes128gcm16", "aes256gcm16", "chacha20poly1305", "aes128-sha256",
                           "aes256-sha384", "aes256-sha512"])
        group = r.choice(["x25519", "x25519", "x448", "ecp256", "ecp384", "ecp521", "modp2048"])
        text = f"{cipher}-{group}-{r.choice(['sha256', 'sha384', 'sha512'])}"
        return proposals.parse(text + r.choice(["", "", "-noesn"]))

    def later(self):
        """Well formed, of a version to come: one value that is not known, or a transform more."""
        r = self.random
        by_type = {t.type: t for t in self.known().transforms}
        kind = r.choice([1, 4, 5, 2, 241, 242, 6, 200])
        if kind == 1:
            by_type = {k: t for k, t in by_type.items() if k != 3}
        by_type[kind] = codec.Transform(kind, r.choice({1: (3, 99), 4: (36, 1), 5: (7,), 2: (4, 8),
                                                        241: (2, 3, 4, 9)}.get(kind, (5, 31))))
        kind = r.choice(list(by_type))
        if r.random() < .3:
            extra = r.choice([(0x8000 | 77, b"ab"), (78, b""), (79, b"abc")])
            by_type[kind] = dataclasses.replace(by_type[kind],
                                                attributes=(*by_type[kind].attributes, extra))
        order = (1, 3, 4, 5, 2, 241, 242, 6, 200)
        return codec.Proposal(tuple(by_type[k] for k in order if k in by_type))

    def any_proposal(self):
        r = self.random
        transforms = []
        for kind in (1, 3, 4, 5, 2, 241, 242, 6, 200):
            if r.random() < {1: .97, 3: .3, 4: .97, 5: .97, 2: .97}.get(kind, .1):
                ident = r.choice(TRANSFORM_IDS[kind])
                attributes = []
                if kind == 1 and ident in (12, 20) and r.random() < .95 or r.random() < .03:
                    attributes.append((0x8000 | 14, struct.pack(">H", r.choice([128, 256, 192]))))
                if r.random() < .03:
                    attributes.insert(r.randrange(2), r.choice([
                        (14, b"\1\0"), (0x8000 | 14, b"\1\0"), (14, b"\0\0\1\0"), (0, b"x")]))
                transforms.append(codec.Transform(kind, ident, tuple(attributes)))
        if r.random() < .05:
            r.shuffle(transforms)
        return codec.Proposal(tuple(transforms))

    def value(self, group):
        r = self.random
        if group not in self.pairs:
            return r.randbytes(r.randrange(64))
        value = self.pairs[group].public
        if r.random() < .06:
            return r.choice([bytes(len(value)), b"\xff" * len(value), b"\1" + bytes(len(value) - 1),
                             bytes(len(value) - 1) + b"\1"])
        return r.choice([value[:-1], value + b"\0", b""]) if self.wildly(.06) else value

    def dim(self):
        r = self.random
        self.wild = r.random() < .4
        offered = [self.any_proposal() if self.wildly(.3) else self.later() if r.random() < .3
                   else self.known() for _ in range(r.choice([1, 1, 2, 2, 3, 4, 6]))]
        if not self.wildly(.1):
            offered = list(dict.fromkeys(offered))
        if self.wildly(.05):
            offered = offered * 17
        kes = [(g, self.value(g)) for g in dict.fromkeys(p.of(4).id for p in offered if p.of(4))]
        if self.wildly(.1):
            r.shuffle(kes)
        if self.wildly(.1):
            kes = kes[1:] if r.random() < .5 else kes + [(r.choice([31, 19, 77]), r.randbytes(32))]
        unknown = [(r.choice([16385, 16500, 16500, 40000, 50000]), r.randbytes(r.randrange(5)))
                   for _ in range(r.choice([0, 0, 0, 1, 2]))]
        if not self.wildly(.2):
            unknown.sort(key=lambda u: u[0])
        if self.wildly(.1):
            unknown.append((r.choice([14, 16383, 16384, 41001, 41002, 16436]), b"\2x"))
        ppks = r.sample([b"a", b"bb", b"ccc"], r.choice([0, 0, 0, 1, 2]))
        if self.wildly(.1):
            ppks += [r.choice([b"a", b"d", b""]), b"e"]
        name = "alpha.demo"
        if self.wildly(.1):
            name = r.choice(["A.demo", "a..b", "x", "-a.demo", "a.b.c", "a" * 64 + ".demo", "a_b.demo"])
        elif r.random() < .05:
            name = r.choice(["a" * 63 + ".demo", "0-9.demo"])
        return codec.Dim(
            name=name, counter=r.choice([1, 0, 5]) << 32 | (0 if self.wildly(.05) else
                                                            r.choice([1, 2, 2**32 - 1])),
            proposals=tuple(offered), kes=tuple(kes),
            nonce=r.randbytes(r.choice([16, 31, 33, 0]) if self.wildly(.05) else 32),
            initial_contact=r.random() < .3, ppks=tuple(ppks), unknown=tuple(unknown),
            lanes=0 if self.wildly(.05) else r.choice([1, 1, 2, 64, 65535]))

    def damage(self, octets):
        """Structure or single octets; what a codec must look at."""
        r = self.random
        kind = r.randrange(9)
        if kind == 0:
            return octets[:r.randrange(len(octets))]
        if kind == 1:
            return octets + r.randbytes(r.randrange(1, 5))
        if kind in (2, 3, 4):
            out = bytearray(octets)
            out[r.randrange(len(out))] ^= 1 << r.randrange(8)
            return bytes(out)
        if kind == 5:
            at = r.randrange(len(octets))
            return octets[:at] + r.randbytes(1) + octets[at:]
        try:
            parts = codec.payloads(octets + codec._payload(0, b""))
        except Refused:
            return octets[:-1]
        parts = [(k, body) for k, _, body in parts[:-1]]
        i, j = r.randrange(len(parts)), r.randrange(len(parts))
        if kind == 6:
            parts[i], parts[j] = parts[j], parts[i]
        elif kind == 7:
            parts.insert(i, parts[j])
        else:
            del parts[i]
        following = [k for k, _ in parts[1:]] + [codec.AUTH]
        return b"".join(codec._payload(n, body) for n, (_, body) in zip(following, parts))


class DifferentialTest(unittest.TestCase):
    MESH = bytes(range(16, 32))

    @classmethod
    def setUpClass(cls):
        cls.authority = lying_controller.Authority()
        cls.keys = {k: identity.new_key(k) for k in ("p256", "p384", "ed25519")}
        cls.certificates = {k: cls.authority.issue(key.public_key(), "alpha.demo", cls.MESH)
                            for k, key in cls.keys.items()}
        cls.trust = [cls.authority.certificate.public_bytes(Encoding.DER)]
        cls.pairs = {g: groups.KeyPair(g) for g in (14, 19, 20, 21, 31, 32)}
        cls.now_ms = int(time.time() * 1000)

    def case(self, seed):
        """(octets, kind of key)"""
        draw = Draw(seed, self.pairs, self.MESH)
        kind = draw.random.choice(sorted(self.keys))
        body = codec.encode(draw.dim())
        fate = draw.random.random()
        if fate < .25:
            body = draw.damage(body)            # signed as it is
        octets = codec.sign(body, self.keys[kind], self.MESH)
        if fate > .85:
            octets = draw.damage(octets)        # after signing
        return octets, kind

    def ours(self, octets, kind):
        view = checks.View(self.MESH, self.trust, self.now_ms)
        try:
            return checks.check(octets, self.certificates[kind], "alpha.demo", checks.Known(), view)[0]
        except Refused as refusal:
            return refusal.code

    def compare(self, seed):
        octets, kind = self.case(seed)
        mine = self.ours(octets, kind)
        code, answer = verb("dim", "check", dim=octets.hex(), certificate=self.certificates[kind].hex(),
                            trust=[t.hex() for t in self.trust], mesh_id=self.MESH.hex(),
                            now_ms=self.now_ms, allowed=["alpha.demo"])
        theirs = answer.get("error", {}).get("code", {"accepted": "new"}.get(answer["verdict"]))
        if mine != theirs:
            try:
                reason = codec.decode(octets, proposals.form_usable).proposals
            except Refused as refusal:
                reason = refusal
            return f"seed {seed}", mine, theirs, str(reason), str(answer.get("error"))
        if seed % 3:
            return mine
        code, decoded = verb("dim", "decode", dim=octets.hex())
        if (code == 0) != (mine not in ("dim-form", "dim-size")):
            return f"seed {seed}", mine, "decode", str(decoded)
        if code == 0:
            code, again = verb("dim", "encode", **decoded)
            if code or again["dim"] != octets.hex():
                return f"seed {seed}", mine, "encode", str(again)
        return mine

    def test_both_come_to_the_same_verdict_on_random_and_damaged_dims(self):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            found = list(pool.map(self.compare, range(DIMS)))
        wrong = [f for f in found if not isinstance(f, str)]
        self.assertFalse(wrong, "\n".join([f"{len(wrong)} of {DIMS}", *map(str, wrong[:20])]))
        counts = {f: found.count(f) for f in found}
        print(f"{DIMS} DIMs: {counts}")
        for code in ("new", "dim-form", "public-value", "signature"):
            self.assertGreater(counts.get(code, 0), 5, counts)

    def test_both_negotiate_the_same_and_derive_the_same_keys(self):
        agreed = 0
        for seed in range(40):
            draw = Draw(1000 + seed, self.pairs, self.MESH)
            r = draw.random
            words = [f"{c}-{g}-{p}{e}" for c in ("aes128gcm16", "chacha20poly1305", "aes256-sha384")
                     for g in ("x25519", "ecp256", "modp2048", "x448") for p in ("sha256", "sha512")
                     for e in ("", "-noesn")]
            ends = []
            for name in ("alpha.demo", "beta.demo"):
                offered = tuple(map(proposals.parse, r.sample(words, 8)))
                pairs = {g: groups.KeyPair(g) for g in dict.fromkeys(p.group for p in offered)}
                dim = codec.Dim(name=name, counter=1 << 32 | 1, proposals=offered, nonce=r.randbytes(32),
                                kes=tuple((g, p.public) for g, p in pairs.items()),
                                lanes=r.choice([1, 2, 7, 64]))
                ends.append((dim, pairs, codec.sign(codec.encode(dim), self.keys["p256"], self.MESH)))
            (local, mine, own_octets), (remote, _, _) = ends
            _, answer = verb("dim", "check", dim=ends[1][2].hex(), mesh_id=self.MESH.hex(),
                             certificate=self.authority.issue(self.keys["p256"].public_key(),
                                                              "beta.demo", self.MESH).hex(),
                             trust=[t.hex() for t in self.trust], now_ms=self.now_ms,
                             local=own_octets.hex())
            derived = keymat.derive(local, remote, mine.__getitem__)
            self.assertEqual(bool(answer.get("agreement")), derived is not None, (seed, answer))
            if derived is None:
                continue
            agreed += 1
            suite, lanes = derived
            proposal, spn_i, spn_r, we_initiate = proposals.negotiate(local, remote)
            # Named by the words of the derivation's verb.
            encr = {12: "aes-cbc", 20: "aes-gcm-16", 28: "chacha20-poly1305"}[suite.encr]
            bits = 8 * (suite.encr_octets - (0 if suite.integ else 4))
            _, theirs = verb(
                "derive", group=proposal.group, kdf="long", ppk=None, lanes=len(lanes),
                prf={5: "hmac-sha2-256", 6: "hmac-sha2-384", 7: "hmac-sha2-512"}[suite.prf],
                encr=encr if suite.encr == 28 else f"{encr}-{bits}",
                integ={0: None, 13: "hmac-sha2-384-192"}[suite.integ], spn=[spn_i, spn_r],
                local={"private": mine[proposal.group].private_hex(), "nonce": local.nonce.hex()},
                remote={"public": remote.value(proposal.group).hex(), "nonce": remote.nonce.hex()})
            self.assertEqual(theirs.get("role"), "initiator" if we_initiate else "responder", theirs)
            self.assertEqual(len(theirs["lanes"]), len(lanes))
            for lane, other in zip(lanes, theirs["lanes"]):
                text = json.dumps(other)
                for value in (f"{lane.spi_in:08x}", f"{lane.spi_out:08x}", *(
                        k.hex() for k in lane.key_in + lane.key_out)):
                    self.assertIn(value, text, seed)
        self.assertGreater(agreed, 20)


class EspTest(unittest.TestCase):
    """Every algorithm with and without ESN, lengths around the blocks; what one seals the other opens."""

    def test_esp_of_every_suite_both_ways(self):
        r = random.Random(5)
        suites = [("aes-gcm-16-128", 20, 20, None, 0, 0), ("aes-gcm-16-256", 20, 36, None, 0, 0),
                  ("chacha20-poly1305", 28, 36, None, 0, 0)]
        suites += [(f"aes-cbc-{bits}", 12, bits // 8, name, integ, size) for bits in (128, 256)
                   for name, integ, size in (("hmac-sha2-256-128", 12, 32),
                                             ("hmac-sha2-384-192", 13, 48),
                                             ("hmac-sha2-512-256", 14, 64))]
        for encr, encr_id, key_octets, integ, integ_id, integ_octets in suites:
            for esn in (True, False):
                suite = keymat.Suite(encr_id, key_octets, integ_id, integ_octets, esn, 5)
                key = r.randbytes(key_octets), r.randbytes(integ_octets)
                named = {"encr": encr, "integ": integ, "encr_key": key[0].hex(),
                         "integ_key": key[1].hex() if integ else None, "esn": esn}
                cryptor = esp.Cryptor(suite, key)
                for length in (0, 2, 13, 14, 1400):
                    payload, spi = r.randbytes(length), r.randrange(256, 2**32)
                    seq = r.randrange(1, 2**32) | (r.randrange(2**31) << 32 if esn else 0)
                    sealed = cryptor.seal(spi, seq, 41, payload)
                    code, opened = verb("esp", "open", **named, seq_hi=seq >> 32, packet=sealed.hex())
                    self.assertEqual((code, opened.get("payload")), (0, payload.hex()), opened)
                    _, made = verb("esp", "seal", **named, spi=f"{spi:08x}", seq=seq & 0xFFFFFFFF,
                                   seq_hi=seq >> 32, iv=r.randbytes(cryptor.iv_octets).hex(),
                                   next_header=4, payload=payload.hex())
                    packet = bytes.fromhex(made["packet"])
                    self.assertEqual(cryptor.unpad(cryptor.decrypt(packet, seq >> 32)), (4, payload))
                    self.assertEqual(len(packet), len(sealed))
                damaged = bytearray(sealed)
                damaged[r.randrange(len(damaged))] ^= 1 << r.randrange(8)
                code, answer = verb("esp", "open", **named, seq_hi=seq >> 32, packet=damaged.hex())
                self.assertEqual(answer.get("error", {}).get("code"), "icv", answer)
                with self.assertRaisesRegex(esp.Dropped, "icv"):
                    cryptor.decrypt(bytes(damaged), seq >> 32)

    def test_the_window_finds_the_high_half_and_takes_every_number_once(self):
        r = random.Random(6)
        suite = keymat.Suite(20, 20, 0, 0, True, 5)
        key = r.randbytes(20), b""
        cryptor = esp.Cryptor(suite, key)
        inbound = esp.InboundSa(suite, 300, key, 64)
        inbound.top, inbound.seen = 2**32 - 40, 1
        taken = {inbound.top}
        for _ in range(400):
            number = max(1, inbound.top + r.randrange(-80, 24))
            packet = cryptor.seal(300, number, 41, b"x")
            fresh = number not in taken and number > inbound.top - 64 and number > 2**32 - 40 - 64
            try:
                inbound.open(packet)
                self.assertTrue(fresh, number)
                taken.add(number)
            except esp.Dropped:
                self.assertFalse(fresh, number)
        self.assertGreater(inbound.top, 2**32)


if __name__ == "__main__":
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    PROGRAM.extend(sys.argv[1:split])
    unittest.main(argv=sys.argv[:1] + sys.argv[split + 1:])
