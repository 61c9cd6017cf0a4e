# SPDX-License-Identifier: Apache-2.0
"""What a receiver asks of a peer's DIM, in order (docs/protocol.md 3.3, 3.4)."""
import dataclasses
import hashlib

from . import dim as codec
from . import groups, identity
from .errors import Refused
from .proposals import form_usable, negotiate, usable


@dataclasses.dataclass
class Known:
    """What outlives a removal of the peer: the last accepted DIM's counter and digest, and the pin."""
    counter: int = 0
    digest: bytes = b""
    pin: bytes = b""


@dataclasses.dataclass
class View:
    """What else the receiver knows."""
    mesh_id: bytes
    trust: list
    now_ms: int
    revoked_keys: set = dataclasses.field(default_factory=set)
    revoked_serials: set = dataclasses.field(default_factory=set)
    may_change_key: bool = False
    nonces: dict = dataclasses.field(default_factory=dict)  # nonce -> (device, counter)
    own: object = None


SAME, NEW = "same", "new"


def digest_of(dim):
    return hashlib.sha256(dim.signed).digest()


def check(octets, certificate, device, known, view):
    """(verdict, Dim, Leaf or None) of what a PeerChange about `device` carries; or Refused, and then
    nothing has changed. A failed negotiation is no refusal and left to the caller."""
    dim = codec.decode(octets, form_usable)
    digest = digest_of(dim)
    if dim.counter < known.counter:
        raise Refused("stale-dim", f"{dim.counter:#x} after {known.counter:#x}")
    equivocates = dim.counter == known.counter and digest != known.digest
    if dim.counter == known.counter and not equivocates:
        if identity.spki_sha256(identity.load(certificate).public_key()) == known.pin:
            return SAME, dim, None
    elif known.counter and dim.initial_contact and dim.boot_count <= known.counter >> 32:
        raise Refused("initial-contact", "INITIAL_CONTACT without a higher boot count")
    if dim.name != device:
        raise Refused("pad", f"the DIM is of {dim.name}, not {device}")
    leaf = identity.check_device(certificate, view.trust, view.now_ms)
    if (leaf.name, leaf.mesh_id) != (dim.name, view.mesh_id):
        raise Refused("certificate-identity", f"{leaf.name} is not {dim.name} of this mesh")
    if leaf.pin in view.revoked_keys or leaf.serial in view.revoked_serials:
        raise Refused("revoked", f"the key of {dim.name} was revoked")
    if known.pin and leaf.pin != known.pin and not view.may_change_key:
        raise Refused("peer-key-changed", f"{dim.name} has another key than before")
    codec.verify(dim, leaf.public_key, view.mesh_id)
    if equivocates:  # proved only now: somebody else's octets prove nothing
        raise Refused("equivocation", f"counter {dim.counter:#x} with other content")
    if view.nonces.get(dim.nonce, (dim.name, dim.counter)) != (dim.name, dim.counter):
        raise Refused("nonce-reused", f"held from {view.nonces[dim.nonce]}")
    for group in {p.group for p in dim.proposals if usable(p)}:
        groups.check_public(group, dim.value(group))
    return (SAME if dim.counter == known.counter else NEW), dim, leaf


def no_proposal(own, dim):
    return negotiate(own, dim) is None
