#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The controller never has a key: its memory and its files are searched for every secret of its devices.

The DH private values are looked for in the agents' memory by their public values (an X25519 private
value is 32 aligned octets whose public value is the one in the device's DIM), which shows at the same
time that the search finds what is there. SKEYSEED, SK_d and KEYMAT follow from them and must contain the
SA keys that the agents of the key-exporting build wrote down.
"""
import base64
import json
import os
import pathlib
import re
import stat
import struct
import sys
import unittest

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from support import BIN, MeshTest

KEYEXPORT_BIN = os.environ.get("CYGNET_KEYEXPORT_BIN", os.path.join(os.path.dirname(os.path.dirname(BIN)), "keyexport", "bin"))
X25519 = 31
PIECE = 16  # half an AES-256 key left behind is a find too
PAGE = os.sysconf("SC_PAGE_SIZE")
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def read_area(mem, begin, end, name):
    try:
        mem.seek(begin)
        data = mem.read(end - begin)
        if len(data) == end - begin:
            return data
    except OSError:
        pass
    pages = []
    for at in range(begin, end, PAGE):
        try:
            mem.seek(at)
            pages.append(mem.read(PAGE))
        except OSError:
            if not name.startswith("/"):  # else mapped behind the end of its file
                raise
    return b"".join(pages)


def memory(pid):
    """[(what, octets)] of everything a process has in memory. Pages of zeros are left out."""
    out = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            area, access, *_, name = (line.split(maxsplit=5) + [""])[:6]
            name = name.strip()
            if access[0] != "r" or name.startswith("[vvar") or name == "[vsyscall]":
                continue
            begin, end = (int(x, 16) for x in area.split("-"))
            data = read_area(mem, begin, end, name)
            pages = [data[at:at + PAGE] for at in range(0, len(data), PAGE)]
            out.append((f"memory {access} {area} {name}", b"".join(p for p in pages if p.count(0) < len(p))))
    return out


def files(process, directory):
    """[(what, octets)] of every file below a directory, and of every other the process has open."""
    paths = {os.path.join(where, name) for where, _, names in os.walk(directory) for name in names}
    paths |= {os.path.realpath(os.path.join(f"/proc/{process.pid}/fd", fd)) for fd in os.listdir(f"/proc/{process.pid}/fd")}
    paths.add(process.log_path)
    return [(path, pathlib.Path(path).read_bytes()) for path in sorted(paths)
            if os.path.exists(path) and stat.S_ISREG(os.stat(path).st_mode)]


def forms(secret):
    """A secret as it may lie about: as it is, backwards (OpenSSL's big numbers), as text."""
    pieces = {secret[:PIECE], secret[-PIECE:]} if len(secret) >= PIECE else set()
    for piece in pieces:
        yield piece
        yield piece[::-1]
        yield piece.hex().encode()
        yield piece.hex().upper().encode()
    for shift in range(3):  # Base64 of a part that begins anywhere in a text
        yield base64.b64encode(secret[shift:shift + 12])


def found(places, secrets):
    """[(name, where)]: which secrets are in which places."""
    wanted = {}
    for name, secret in secrets.items():
        for form in set(forms(secret)):
            wanted.setdefault(int.from_bytes(form[:8], sys.byteorder), []).append((name, form))
    heads, out, seen = set(wanted), set(), {}
    for where, data in places:
        if data in seen:  # libraries, and areas that did not change
            out |= {(name, where) for name, _ in seen[data]}
            continue
        # All eight-octet windows against all beginnings at once; a thousand searches would take minutes.
        near = set()
        for shift in range(min(8, max(0, len(data) - 7))):
            near |= heads.intersection(memoryview(data)[shift:len(data) - (len(data) - shift) % 8].cast("Q"))
        seen[data] = {(name, where) for head in near for name, form in wanted[head] if form in data}
        out |= seen[data]
    return sorted(out)


def private_values(places, publics):
    """{public: private} of the X25519 pairs whose private value lies in these places."""
    out = {}
    for _, data in places:
        for at in range(0, len(data) - 31, 16):
            # Clamped as RFC 7748 says, which one random window in 32 is, and no text or table.
            if data[at] & 7 or data[at + 31] & 0xC0 != 0x40:
                continue
            window = data[at:at + 32]
            if len(set(window)) < 20:
                continue
            public = X25519PrivateKey.from_private_bytes(window).public_key().public_bytes(*RAW)
            if public in publics:
                out[public] = window
    return out


def payload(dim, wanted):
    """The body of a DIM's first payload of a type."""
    kind, at = 35, 0
    while at < len(dim):
        following, _, length = struct.unpack_from(">BBH", dim, at)
        if kind == wanted:
            return dim[at + 4:at + length]
        kind, at = following, at + length
    raise AssertionError(f"no payload {wanted}")


class Search(unittest.TestCase):
    """The search sees every form of a secret, wherever it begins, and nothing else."""

    def test_a_secret_is_found_at_any_offset_and_in_any_form(self):
        secret = os.urandom(32)
        texts = [secret, secret[::-1], secret[:PIECE], secret[-PIECE:], secret.hex().encode(), secret.hex().upper().encode(),
                 base64.b64encode(secret), base64.b64encode(b"k=" + secret), base64.b64encode(b"k" + secret)]
        for text in texts:
            for offset in range(17):
                data = os.urandom(offset) + text + os.urandom(5)
                self.assertEqual(found([("here", data)], {"s": secret}), [("s", "here")], (text, offset))
        for data in (b"", b"1234567", secret[:PIECE - 1] + b"." + secret[PIECE:-1], os.urandom(100000)):
            self.assertEqual(found([("here", data)], {"s": secret}), [])

    def test_a_private_value_is_found_by_its_public_value(self):
        key = X25519PrivateKey.generate()
        raw = bytearray(key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw,
                                          serialization.NoEncryption()))
        raw[0] &= 248
        raw[31] = raw[31] & 127 | 64
        public = key.public_key().public_bytes(*RAW)
        self.assertEqual(private_values([("here", bytes(48) + raw + bytes(16))], {public}), {public: bytes(raw)})
        self.assertEqual(private_values([("here", bytes(48) + raw[:31] + bytes(17))], {public}), {})


class ControllerHasNoKey(MeshTest):
    devices = 3
    # The controller is the product's own; only the agents are of the build that writes keys down.

    def setUp(self):
        super().setUp()
        self.assertTrue(os.path.exists(os.path.join(KEYEXPORT_BIN, "cygnet-agent")), "./dev build keyexport first")
        self.secrets, self.told, self.pairs = {}, {}, {}

    def places(self):
        return memory(self.mesh.controller.pid) + files(self.mesh.controller, self.mesh.controller_state)

    def derive(self, local, remote):
        """What docs/protocol.md section 5 makes of two generations, by a program of its own."""
        question = {"group": X25519, "prf": "hmac-sha2-256", "encr": "aes-gcm-16-256", "integ": None, "lanes": 1, "kdf": "long",
                    "ppk": None, "spn": [1, 1], "local": {k: local[k].hex() for k in ("private", "nonce")},
                    "remote": {k: remote[k].hex() for k in ("public", "nonce")}}
        done = self.lab.run([os.path.join(self.bin_dir, "cygnet"), "debug", "derive"], input=json.dumps(question))
        return json.loads(done.stdout)

    def collect(self):
        """All secrets of the generations that are the newest now."""
        generations = {}
        for item in self.mesh.ctl("GET", "/api/v1/dims")["items"]:
            dim = bytes.fromhex(item["dim"])
            group, = struct.unpack_from(">H", payload(dim, 34))
            self.assertEqual(group, X25519)
            generations[item["name"].split(".")[0]] = {"counter": item["counter"], "public": payload(dim, 34)[4:],
                                                       "nonce": payload(dim, 40)}
        for device in self.mesh.devices:
            own = generations[device.name]
            # Program text is as random and as large as the rest; what a process made is where it may write.
            private = private_values([p for p in memory(device.agent.pid) if "w" in p[0].split()[1]], {own["public"]})
            self.assertIn(own["public"], private, f"the search does not find {device.name}'s own private value in its memory")
            own["private"] = private[own["public"]]
            self.secrets[f"{device.name} {own['counter']} DH private value"] = own["private"]
            self.told[f"{device.name} {own['counter']} nonce"] = own["nonce"]
            self.told[f"{device.name} {own['counter']} DH public value"] = own["public"]
        names = sorted(generations)
        for a in names:
            for b in (n for n in names if n > a):
                pair = f"{a} {generations[a]['counter']} x {b} {generations[b]['counter']}"
                out = self.derive(generations[a], generations[b])
                self.assertEqual(out["keymat"], self.derive(generations[b], generations[a])["keymat"])
                for what in ("g_ir", "skeyseed", "sk_d_prime", "sk_d", "keymat"):
                    self.secrets[f"{pair} {what}"] = bytes.fromhex(out[what])
                lane, = out["lanes"]
                self.pairs.update({lane["spi_i"]: lane["r_to_i"]["encr"], lane["spi_r"]: lane["i_to_r"]["encr"]})

    def exported(self):
        """{SPI: key with salt} as the agents wrote them down."""
        out = {}
        for path in pathlib.Path(self.keys).iterdir():
            for line in path.read_text().splitlines():
                field = re.findall(r'"([^"]*)"', line)
                out[field[3]] = field[5].removeprefix("0x")
        return out

    def test_neither_memory_nor_files_hold_any_secret_of_a_device(self):
        self.keys = os.path.join(self.lab.dir, "keys")
        os.makedirs(self.keys)
        planted = os.urandom(32)
        self.start_controller()
        for device in self.mesh.devices:
            self.mesh.join(device)
        self.mesh.bin = KEYEXPORT_BIN
        for device in self.mesh.devices:
            self.mesh.start_agent(device, ["--key-log", os.path.join(self.keys, device.name)])
        self.mesh.bin = self.bin_dir
        self.await_settled()
        a, b, _ = self.mesh.devices
        for device in self.mesh.devices:  # what signs DIMs
            pem = pathlib.Path(device.state, "identity.key").read_bytes()
            key = serialization.load_pem_private_key(pem, None)
            self.secrets[f"{device.name} identity key"] = key.private_numbers().private_value.to_bytes(32, "big")
        self.collect()
        self.assertEqual(self.ping(a, b.inner4), 3)
        places = self.places()
        for order in ("/api/v1/devices/d1/rekey", "/api/v1/rekey"):
            before = {d["name"]: d["counter"] for d in self.mesh.ctl("GET", "/api/v1/dims")["items"]}
            self.mesh.ctl("POST", order, {})
            self.lab.wait("the new generation", lambda: all(
                d["counter"] != before[d["name"]] for d in self.mesh.ctl("GET", "/api/v1/dims")["items"]
                if order == "/api/v1/rekey" or d["name"].startswith("d1")) and self.mesh.newest_on_newest(), 30, every=0.1)
            self.collect()
            self.assertEqual(self.ping(a, b.inner6), 3)
            places += self.places()
        # One more look at what a restart reads back and what it leaves on disk.
        self.mesh.controller.stop()
        places += [(p, pathlib.Path(p).read_bytes()) for p in map(str, pathlib.Path(self.mesh.controller_state).rglob("*"))
                   if stat.S_ISREG(os.stat(p).st_mode)]
        self.mesh.start_controller()
        self.mesh.await_controller()
        policy = pathlib.Path(self.lab.dir, "mesh.yaml")
        policy.write_text(policy.read_text() + f"# {planted.hex()}\n")
        self.mesh.cygnet("apply", "-f", str(policy))
        self.lab.wait("everybody back", lambda: self.mesh.ctl("GET", "/api/v1/status")["devices"]["attached"] == 3, 30, every=0.1)
        last = self.places()
        places += last

        # The secrets are the ones that the traffic was encrypted with.
        exported = self.exported()
        for spi, key in self.pairs.items():
            self.assertEqual(exported.get("0x" + spi.removeprefix("0x")), key, f"SA {spi}")
        for spi, key in exported.items():
            self.secrets[f"SA {spi} key"] = bytes.fromhex(key)[:-4]  # the last four octets are the salt
        # 3 devices: first contact, d1 anew, all anew; 3 pairs each time (2 when only d1 changes).
        self.assertEqual(len(self.pairs), 2 * (3 + 2 + 3))
        self.assertGreaterEqual(len(exported), len(self.pairs))
        self.assertGreaterEqual(len(self.secrets), 3 + 7 + 5 * 8 + len(self.pairs))

        # The search can find: what the controller was told, and what was planted in it, in memory and on disk.
        self.told["planted"] = planted
        hits = found(places, self.told)
        for name in self.told:
            where = [w for n, w in hits if n == name]
            self.assertTrue([w for w in where if w.startswith("memory")], f"{name} is not found in memory")
            self.assertTrue([w for w in where if not w.startswith("memory")], f"{name} is not found on disk")
        own = {n: s for n, s in self.secrets.items() if n.startswith("d1 ")}
        in_agent = {n for n, _ in found(memory(a.agent.pid), own)}
        self.assertTrue([n for n in in_agent if n.endswith("DH private value")], "d1's own secrets are not found in its memory")
        keys_in_agent = {n for n, _ in found(memory(a.agent.pid), {n: s for n, s in self.secrets.items() if n.startswith("SA ")})}
        self.assertTrue(keys_in_agent, "d1's SA keys are not found in its memory")
        # Nothing of theirs is there.
        self.assertEqual(found(places, self.secrets), [])
        print(f"{len(self.secrets)} secrets looked for in {sum(len(d) for _, d in places)} octets of memory and files in "
              f"{len(places)} pieces: none found; {len(self.told)} control values found; in d1's own memory: {sorted(in_agent)}, "
              f"{len(keys_in_agent)} SA keys")


if __name__ == "__main__":
    unittest.main(verbosity=2)
