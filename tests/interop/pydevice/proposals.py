# SPDX-License-Identifier: Apache-2.0
"""Proposals in words, and the one both sides choose without a message (docs/protocol.md section 4)."""
import struct

from .dim import ENCR, GROUP, INTEG, KEY_LENGTH, MODE, PRF, SN, Proposal, Transform

CIPHERS = {"aes128gcm16": (20, 128), "aes256gcm16": (20, 256), "chacha20poly1305": (28, None),
           "aes128": (12, 128), "aes256": (12, 256)}
INTEGRITY = {"sha256": 12, "sha384": 13, "sha512": 14}
GROUPS = {"modp2048": 14, "modp3072": 15, "modp4096": 16, "ecp256": 19, "ecp384": 20, "ecp521": 21,
          "x25519": 31, "x448": 32}
PRFS = {"sha256": 5, "sha384": 6, "sha512": 7}
MAX_LANES = 64


def parse(text):
    """`<cipher>[-<integrity>]-<group>-<prf>[-noesn]`; other modes than tunnel are not for this device."""
    words = text.split("-")
    esn = words[-1] != "noesn"
    if not esn:
        words.pop()
    encr, bits = CIPHERS[words[0]]
    key = ((0x8000 | KEY_LENGTH, struct.pack(">H", bits)),) if bits else ()
    transforms = [Transform(ENCR, encr, key)]
    if encr == 12:
        transforms.append(Transform(INTEG, INTEGRITY[words.pop(1)]))
    _, group, prf = words
    return Proposal((*transforms, Transform(GROUP, GROUPS[group]), Transform(SN, int(esn)),
                     Transform(PRF, PRFS[prf])))


def _known():
    """Every proposal there are words for: what this device could use."""
    ciphers = list(CIPHERS)[:3] + [f"{c}-{i}" for c in ("aes128", "aes256") for i in INTEGRITY]
    return {parse(f"{c}-{g}-{p}{s}") for c in ciphers for g in GROUPS for p in PRFS
            for s in ("", "-noesn")}


_KNOWN = _known()


def usable(proposal):
    return proposal in _KNOWN


def form_usable(proposal):
    """Usable as far as the form of a DIM is concerned: the two other modes of the document are known
    values too, so the lengths of their KE values are looked at."""
    transforms = tuple(t for t in proposal.transforms
                       if not (t.type == MODE and t.id in (2, 3, 4) and not t.attributes))
    return Proposal(transforms) in _KNOWN


def negotiate(local, remote):
    """(proposal, SPNi, SPNr, local is the initiator) of two Dims, or None."""
    local_initiates = local.nonce > remote.nonce
    initiator, responder = (local, remote) if local_initiates else (remote, local)
    for spn_r, proposal in enumerate(responder.proposals, 1):
        if usable(proposal) and proposal in initiator.proposals:
            return proposal, initiator.proposals.index(proposal) + 1, spn_r, local_initiates
    return None
