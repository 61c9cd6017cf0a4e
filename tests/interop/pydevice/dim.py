# SPDX-License-Identifier: Apache-2.0
"""The Device Information Message: its one encoding, and its signature (docs/protocol.md 3.1, 3.2)."""
import dataclasses
import re
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import (decode_dss_signature,
                                                             encode_dss_signature)

from .errors import Refused
from .groups import VALUE_OCTETS

SA, KE, IDI, AUTH, NI, NOTIFY = 33, 34, 35, 39, 40, 41
INITIAL_CONTACT, PPK_IDENTITY, REKEY_COUNTER, LANES = 16384, 16436, 41001, 41002
ENCR, PRF, INTEG, GROUP, SN, MODE, REPLAY = 1, 2, 3, 4, 5, 241, 242
TRANSFORM_ORDER = (ENCR, INTEG, GROUP, SN, PRF, MODE, REPLAY)
KEY_LENGTH = 14
AES_CBC, AES_GCM, CHACHA20 = 12, 20, 28
MAX_OCTETS, MAX_PROPOSALS, MAX_KES = 8192, 16, 8
NONCE_OCTETS = 32

AUTH_P256 = bytes.fromhex("300a06082a8648ce3d040302")
AUTH_P384 = bytes.fromhex("300a06082a8648ce3d040303")
AUTH_ED25519 = bytes.fromhex("300506032b6570")

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def form(payload, offset, what):
    return Refused("dim-form", f"{payload} at offset {offset}: {what}")


def is_label(text):
    return _LABEL.fullmatch(text) is not None


def is_full_name(text):
    labels = text.split(".")
    return len(labels) == 2 and all(map(is_label, labels))


@dataclasses.dataclass(frozen=True)
class Transform:
    type: int
    id: int
    attributes: tuple = ()  # (type, octets): short ones have two octets, and the top bit in type


@dataclasses.dataclass(frozen=True)
class Proposal:
    transforms: tuple

    def of(self, kind):
        return next((t for t in self.transforms if t.type == kind), None)

    @property
    def group(self):
        return self.of(GROUP).id


@dataclasses.dataclass(frozen=True)
class Dim:
    name: str
    counter: int                # boot count << 32 | sequence
    proposals: tuple
    kes: tuple                  # (group, value)
    nonce: bytes
    initial_contact: bool = False
    lanes: int = 1
    ppks: tuple = ()
    unknown: tuple = ()         # (type, data), status notifies of a later version
    algorithm: bytes = b""
    signature: bytes = b""
    signed: bytes = b""         # as received: the octets before AUTH

    @property
    def boot_count(self):
        return self.counter >> 32

    def value(self, group):
        return dict(self.kes)[group]


# -- encoding ------------------------------------------------------------------------------------
def _payload(next_type, body):
    return struct.pack(">BBH", next_type, 0, 4 + len(body)) + body


def _attribute(kind, data):
    if kind & 0x8000:
        return struct.pack(">H", kind) + data
    return struct.pack(">HH", kind, len(data)) + data


def encode_sa(proposals):
    out = b""
    for number, proposal in enumerate(proposals, 1):
        body = b""
        for i, t in enumerate(proposal.transforms):
            attributes = b"".join(_attribute(*a) for a in t.attributes)
            more = 3 if i + 1 < len(proposal.transforms) else 0
            body += struct.pack(">BBHBBH", more, 0, 8 + len(attributes), t.type, 0, t.id) + attributes
        more = 2 if number < len(proposals) else 0
        out += struct.pack(">BBHBBBB", more, 0, 8 + len(body), number, 3, 0,
                           len(proposal.transforms)) + body
    return out


def encode(dim):
    """The octets before AUTH."""
    def notify(kind, data=b""):
        return NOTIFY, struct.pack(">BBH", 0, 0, kind) + data

    parts = [(IDI, b"\x02\0\0\0" + dim.name.encode()),
             notify(REKEY_COUNTER, struct.pack(">Q", dim.counter))]
    if dim.initial_contact:
        parts.append(notify(INITIAL_CONTACT))
    if dim.lanes != 1:
        parts.append(notify(LANES, struct.pack(">H", dim.lanes)))
    parts += [notify(PPK_IDENTITY, b"\x02" + ppk) for ppk in dim.ppks]
    parts += [notify(kind, data) for kind, data in dim.unknown]
    parts.append((SA, encode_sa(dim.proposals)))
    parts += [(KE, struct.pack(">HH", group, 0) + value) for group, value in dim.kes]
    parts.append((NI, dim.nonce))
    following = [kind for kind, _ in parts[1:]] + [AUTH]
    return b"".join(_payload(n, body) for n, (_, body) in zip(following, parts))


def signed_octets(before_auth, mesh_id):
    return b"cygnet-dim-v1\0" + mesh_id + bytes([IDI]) + before_auth


def auth_payload(algorithm, signature):
    return _payload(0, b"\x0e\0\0\0" + bytes([len(algorithm)]) + algorithm + signature)


def sign(before_auth, key, mesh_id):
    """The whole DIM, signed by the identity key."""
    message = signed_octets(before_auth, mesh_id)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return before_auth + auth_payload(AUTH_ED25519, key.sign(message))
    p256 = isinstance(key.curve, ec.SECP256R1)
    hash_ = hashes.SHA256() if p256 else hashes.SHA384()
    return before_auth + auth_payload(AUTH_P256 if p256 else AUTH_P384,
                                      key.sign(message, ec.ECDSA(hash_)))


def verify(dim, public_key, mesh_id):
    """Refuses with `signature` unless AUTH is the key's."""
    message = signed_octets(dim.signed, mesh_id)
    try:
        if isinstance(public_key, ed25519.Ed25519PublicKey) and dim.algorithm == AUTH_ED25519:
            return public_key.verify(dim.signature, message)
        for algorithm, curve, hash_ in ((AUTH_P256, ec.SECP256R1, hashes.SHA256()),
                                        (AUTH_P384, ec.SECP384R1, hashes.SHA384())):
            if (dim.algorithm == algorithm and isinstance(public_key, ec.EllipticCurvePublicKey)
                    and isinstance(public_key.curve, curve)):
                return public_key.verify(dim.signature, message, ec.ECDSA(hash_))
    except InvalidSignature as error:
        raise Refused("signature", f"the signature of {dim.name} does not verify") from error
    raise Refused("signature", f"the key of {dim.name} is not of the algorithm AUTH names")


# -- decoding ------------------------------------------------------------------------------------
def payloads(octets):
    """(type, offset, body) of each payload; refuses what is no chain."""
    kind, at, out = IDI, 0, []
    while kind:
        if len(octets) - at < 4:
            raise form(f"payload {kind}", at, "truncated")
        following, flags, length = struct.unpack_from(">BBH", octets, at)
        if flags:
            raise form(f"payload {kind}", at, "critical or reserved bits are set")
        if length < 4 or at + length > len(octets):
            raise form(f"payload {kind}", at, f"length {length} does not fit")
        out.append((kind, at, octets[at + 4:at + length]))
        at += length
        kind = following
    if at != len(octets):
        raise form("AUTH", at, "octets after the last payload")
    return out


def _attributes(data, at):
    out = []
    while data:
        if len(data) < 4:
            raise form("SA", at, "attribute truncated")
        kind, word = struct.unpack_from(">HH", data)
        size = 2 if kind & 0x8000 else word
        start = 2 if kind & 0x8000 else 4
        if start + size > len(data):
            raise form("SA", at, "attribute does not fit")
        out.append((kind, data[start:start + size]))
        data = data[start + size:]
    return tuple(out)


def _transform_rank(kind):
    return TRANSFORM_ORDER.index(kind) if kind in TRANSFORM_ORDER else len(TRANSFORM_ORDER) + kind


def _transforms(data, count, at):
    out = []
    while data:
        if len(data) < 8:
            raise form("SA", at, "transform truncated")
        more, zero, length, kind, zero2, ident = struct.unpack_from(">BBHBBH", data)
        if zero or zero2 or length < 8 or length > len(data):
            raise form("SA", at, "transform header")
        if more != (3 if length < len(data) else 0):
            raise form("SA", at, "transform: more or last is wrong")
        t = Transform(kind, ident, _attributes(data[8:length], at))
        if out and _transform_rank(kind) <= _transform_rank(out[-1].type):
            raise form("SA", at, "transforms out of order, or two of a type")
        keys = [i for i, (a, _) in enumerate(t.attributes) if a & 0x7FFF == KEY_LENGTH]
        if kind == ENCR:
            if keys and (keys != [0] or not t.attributes[0][0] & 0x8000):
                raise form("SA", at, "Key Length comes once, first and in its short form")
            if ident in (AES_CBC, AES_GCM, CHACHA20) and bool(keys) == (ident == CHACHA20):
                raise form("SA", at, "AES has a Key Length, ChaCha20 has none")
        elif keys and kind in TRANSFORM_ORDER:
            raise form("SA", at, "Key Length is ENCR's")
        out.append(t)
        data = data[length:]
    if len(out) != count:
        raise form("SA", at, "number of transforms")
    kinds = {t.type: t for t in out}
    for kind in (ENCR, GROUP, SN, PRF):
        if kind not in kinds:
            raise form("SA", at, f"no transform of type {kind}")
    if kinds[ENCR].id in (AES_CBC, AES_GCM, CHACHA20) and (
            (INTEG in kinds) != (kinds[ENCR].id == AES_CBC)):
        raise form("SA", at, "INTEG stands with AES-CBC and with no AEAD")
    if kinds[GROUP].id == 0:
        raise form("SA", at, "group NONE")
    if MODE in kinds and kinds[MODE].id == 1:
        raise form("SA", at, "tunnel mode is never encoded")
    return tuple(out)


def decode_sa(body, at):
    out = []
    while body:
        if len(body) < 8:
            raise form("SA", at, "proposal truncated")
        more, zero, length, number, protocol, spi_size, count = struct.unpack_from(">BBHBBBB", body)
        if zero or length < 8 or length > len(body):
            raise form("SA", at, "proposal header")
        if more != (2 if length < len(body) else 0):
            raise form("SA", at, "proposal: more or last is wrong")
        if number != len(out) + 1 or protocol != 3 or spi_size != 0:
            raise form("SA", at, "proposal number, protocol or SPI size")
        out.append(Proposal(_transforms(body[8:length], count, at)))
        body = body[length:]
    if not 1 <= len(out) <= MAX_PROPOSALS:
        raise form("SA", at, f"{len(out)} proposals")
    if len(set(out)) != len(out):
        raise form("SA", at, "two proposals are the same")
    return tuple(out)


def _auth(body, at):
    if len(body) < 5 or body[:4] != b"\x0e\0\0\0":
        raise form("AUTH", at, "method or reserved octets")
    algorithm, signature = body[5:5 + body[4]], body[5 + body[4]:]
    if algorithm not in (AUTH_P256, AUTH_P384, AUTH_ED25519):
        raise form("AUTH", at, "algorithm")
    if algorithm == AUTH_ED25519:
        if len(signature) != 64:
            raise form("AUTH", at, "an Ed25519 signature has 64 octets")
    else:
        try:
            strict = encode_dss_signature(*decode_dss_signature(signature)) == signature
        except ValueError:
            strict = False
        if not strict:
            raise form("AUTH", at, "the ECDSA signature is not strict DER")
    return algorithm, signature


def _notifies(parts):
    """Takes the leading notifies off `parts`, in their one order."""
    fields = {"unknown": [], "ppks": []}
    stage = 0
    while parts and parts[0][0] == NOTIFY:
        _, at, body = parts.pop(0)
        if len(body) < 4 or body[:2] != b"\0\0":
            raise form("Notify", at, "protocol or SPI size")
        kind, data = int.from_bytes(body[2:4], "big"), body[4:]
        rank = {REKEY_COUNTER: 1, INITIAL_CONTACT: 2, LANES: 3, PPK_IDENTITY: 4}.get(kind, 5)
        if kind < 16384:
            raise form("Notify", at, f"type {kind} is an error")
        if rank < stage or (rank == stage and rank < 4):
            raise form("Notify", at, f"type {kind} out of order")
        if stage == 0 and rank != 1:
            raise form("Notify", at, "REKEY_COUNTER is missing")
        stage = rank
        if rank == 1:
            if len(data) != 8 or not int.from_bytes(data[4:], "big"):
                raise form("REKEY_COUNTER", at, "length, or sequence 0")
            fields["counter"] = int.from_bytes(data, "big")
        elif rank == 2:
            if data:
                raise form("INITIAL_CONTACT", at, "has data")
            fields["initial_contact"] = True
        elif rank == 3:
            if len(data) != 2 or int.from_bytes(data, "big") < 2:
                raise form("LANES", at, "length, 0, or 1")
            fields["lanes"] = int.from_bytes(data, "big")
        elif rank == 4:
            if len(data) < 2 or data[0] != 2 or data[1:] in fields["ppks"] or len(fields["ppks"]) == 2:
                raise form("PPK_IDENTITY", at, "form, repeated, or a third")
            fields["ppks"].append(data[1:])
        else:
            if fields["unknown"] and fields["unknown"][-1][0] > kind:
                raise form("Notify", at, "unknown ones are not ascending")
            fields["unknown"].append((kind, data))
    if "counter" not in fields:
        raise form("Notify", parts[0][1] if parts else 0, "REKEY_COUNTER is missing")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def decode(octets, usable):
    """A Dim, or Refused. `usable` says of a proposal whether this receiver could use it."""
    if len(octets) > MAX_OCTETS:
        raise Refused("dim-size", f"{len(octets)} octets, more than {MAX_OCTETS}")
    parts = payloads(octets)

    def take(kind, what):
        if not parts or parts[0][0] != kind:
            at = parts[0][1] if parts else len(octets)
            raise form(what, at, "is missing here")
        return parts.pop(0)

    _, at, body = take(IDI, "IDi")
    try:
        name = body[4:].decode("ascii")
    except UnicodeDecodeError as error:
        raise form("IDi", at, "name") from error
    if body[:4] != b"\x02\0\0\0" or not is_full_name(name):
        raise form("IDi", at, "type, reserved octets or name")
    fields = _notifies(parts)
    _, at, body = take(SA, "SA")
    proposals = decode_sa(body, at)
    needed = {p.group for p in proposals if usable(p)}
    kes = []
    while parts and parts[0][0] == KE:
        _, at, body = parts.pop(0)
        if len(body) < 4 or body[2:4] != b"\0\0":
            raise form("KE", at, "header")
        kes.append((int.from_bytes(body[:2], "big"), body[4:]))
        if kes[-1][0] in needed and len(body) - 4 != VALUE_OCTETS[kes[-1][0]]:
            raise form("KE", at, "length of the value")
    if len(kes) > MAX_KES or [g for g, _ in kes] != list(dict.fromkeys(p.group for p in proposals)):
        raise form("KE", at, "one for each group, in order of first use")
    _, at, nonce = take(NI, "Ni")
    if len(nonce) != NONCE_OCTETS:
        raise form("Ni", at, f"{len(nonce)} octets")
    _, at, body = take(AUTH, "AUTH")
    algorithm, signature = _auth(body, at)
    if parts:
        raise form("AUTH", at, "is not the last payload")
    return Dim(name=name, proposals=proposals, kes=tuple(kes), nonce=nonce, algorithm=algorithm,
               signature=signature, signed=octets[:at], **fields)
