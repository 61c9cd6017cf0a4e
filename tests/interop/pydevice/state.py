# SPDX-License-Identifier: Apache-2.0
"""What a device keeps: settings from the controller, state on disk (docs/protocol.md 3.3, 7.6)."""
import base64
import contextlib
import dataclasses
import json
import os

from cryptography.hazmat.primitives.serialization import (Encoding, NoEncryption, PrivateFormat,
                                                          load_pem_private_key)

from . import checks, identity, proposals
from .stream import enrol


@dataclasses.dataclass
class Settings:
    """MeshSettings in this device's units."""
    proposals: tuple = ()
    rekey_s: float = 3600.0
    jitter: float = 0.1
    rekey_packets: int = 0
    hard_ms: int = 86_400_000
    drain_s: float = 10.0
    cap_s: float = 180.0
    lanes: int = 1
    replay_window: int = 1024
    rekeyed: frozenset = frozenset()

    def take(self, m):
        self.proposals = tuple(map(proposals.parse, m.proposals))
        self.rekey_s, self.jitter = m.rekey_every_ms / 1000, m.rekey_jitter_permille / 1000
        self.rekey_packets, self.hard_ms = m.rekey_packets, m.lifetime_hard_ms
        self.drain_s, self.cap_s = m.drain_ms / 1000, m.forget_cap_ms / 1000
        self.lanes, self.replay_window = max(1, m.lanes), m.replay_window
        self.rekeyed = frozenset(m.rekeyed)


class State:
    """What is on disk. Written before it is used: rename over the old file, synced."""

    def __init__(self, directory):
        self.directory = directory
        self.path = os.path.join(directory, "state.json")
        self.key_path = os.path.join(directory, "identity.key")
        self.certificate_path = os.path.join(directory, "identity.pem")
        os.makedirs(directory, exist_ok=True)
        self.values = {"boot_count": 0, "sequence": 0, "known": {}, "trust": [], "revocation_number": 0,
                       "revoked_keys": [], "revoked_serials": [], "time_ms": 0}
        if os.path.exists(self.path):
            with open(self.path) as f:
                self.values.update(json.load(f))
        if os.path.exists(self.key_path):
            with open(self.key_path, "rb") as f:
                self.key = load_pem_private_key(f.read(), None)
        else:
            self.key = None

    def __getitem__(self, name):
        return self.values[name]

    def save(self, **values):
        self.values.update(values)
        self._write(self.path, json.dumps(self.values).encode())

    def _write(self, path, data):
        with open(path + ".new", "wb") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(path + ".new", path)

    def save_key(self, key):
        self.key = key
        self._write(self.key_path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def save_certificate(self, der):
        self._write(self.certificate_path, identity.load(der).public_bytes(Encoding.PEM))

    @property
    def trust(self):
        return [base64.b64decode(t) for t in self.values["trust"]]

    def known(self, name):
        stored = self.values["known"].get(name)
        if stored is None:
            return checks.Known()
        return checks.Known(stored[0], bytes.fromhex(stored[1]), bytes.fromhex(stored[2]))

    def save_known(self, name, known):
        self.values["known"][name] = [known.counter, known.digest.hex(), known.pin.hex()]
        self.save()


def join(directory, text, messages, key_kind="p256", place=contextlib.nullcontext, name=""):
    """Enrols by the operator's line; what came of it is in the state directory."""
    state = State(directory)
    line = identity.JoinLine.parse(text)
    if not line.name:
        line = dataclasses.replace(line, name=name)
    if state.key is None:
        state.save_key(identity.new_key(key_kind))
    with place():
        reply, leaf = enrol(line, state.key, messages)
    state.save_certificate(reply.certificate_der)
    state.save(name=leaf.name, mesh=reply.mesh_name, mesh_id=reply.mesh_id.hex(), host=line.host,
               port=line.port, trust=[base64.b64encode(t).decode() for t in reply.trust_der],
               time_ms=reply.server_time_ms)
    return leaf
