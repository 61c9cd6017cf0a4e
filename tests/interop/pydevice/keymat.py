# SPDX-License-Identifier: Apache-2.0
"""SPIs and keys of an SA pair, from two DIMs and one private value (docs/protocol.md section 5)."""
import dataclasses
import hashlib
import hmac

from .dim import ENCR, INTEG, KEY_LENGTH, PRF, SN
from .proposals import MAX_LANES, negotiate

HASHES = {5: hashlib.sha256, 6: hashlib.sha384, 7: hashlib.sha512}
INTEG_OCTETS = {12: 32, 13: 48, 14: 64}
MAX_BLOCKS = 255


def prf(hash_, key, data):
    return hmac.new(key, data, hash_).digest()


def prf_plus(hash_, key, seed):
    """RFC 7296 section 2.13, block by block."""
    block = b""
    for n in range(1, MAX_BLOCKS + 1):
        block = prf(hash_, key, block + seed + bytes([n]))
        yield block


def take(blocks, octets):
    out = b""
    while len(out) < octets:
        out += next(blocks)
    return out[:octets]


@dataclasses.dataclass(frozen=True)
class Suite:
    """What the chosen proposal means for ESP."""
    encr: int
    encr_octets: int        # with the salt
    integ: int              # 0: none, an AEAD
    integ_octets: int
    esn: bool
    prf: int

    @classmethod
    def of(cls, proposal):
        encr, integ = proposal.of(ENCR), proposal.of(INTEG)
        bits = dict(encr.attributes).get(0x8000 | KEY_LENGTH, b"\x01\x00")
        salt = 0 if encr.id == 12 else 4
        return cls(encr.id, int.from_bytes(bits, "big") // 8 + salt, integ.id if integ else 0,
                   INTEG_OCTETS[integ.id] if integ else 0, proposal.of(SN).id == 1,
                   proposal.of(PRF).id)

    @property
    def lane_octets(self):
        return 2 * (self.encr_octets + self.integ_octets)


@dataclasses.dataclass(frozen=True)
class Lane:
    """One lane as seen from here."""
    spi_in: int
    spi_out: int
    key_in: tuple           # (encryption, integrity)
    key_out: tuple


def lane_count(local, remote, suite):
    most = MAX_BLOCKS * HASHES[suite.prf]().digest_size // suite.lane_octets
    return min(local.lanes, remote.lanes, MAX_LANES, most)


def spis(hash_, nonces, spn_i, spn_r, lanes):
    """[(SPIi, SPIr)] a lane: reserved values and repetitions in a direction are skipped."""
    blocks = prf_plus(hash_, nonces, b"SPI generation" + bytes([spn_i, spn_r]))
    stream, taken = b"", ([], [])
    for n in range(2 * lanes):
        direction = taken[n % 2]
        while True:
            if len(stream) < 4:
                stream += next(blocks)
            value, stream = int.from_bytes(stream[:4], "big"), stream[4:]
            if value > 255 and value not in direction:
                break
        direction.append(value)
    return list(zip(*taken))


def derive(local, remote, key_pair_of):
    """(Suite, [Lane]) or None without a common proposal. `key_pair_of(group)`: our DH pair."""
    chosen = negotiate(local, remote)
    if chosen is None:
        return None
    proposal, spn_i, spn_r, we_initiate = chosen
    suite = Suite.of(proposal)
    hash_ = HASHES[suite.prf]
    nonces = local.nonce + remote.nonce if we_initiate else remote.nonce + local.nonce
    count = lane_count(local, remote, suite)
    pairs = spis(hash_, nonces, spn_i, spn_r, count)
    g_ir = key_pair_of(proposal.group).shared(remote.value(proposal.group))
    skeyseed = prf(hash_, nonces, g_ir)
    seed = nonces + pairs[0][0].to_bytes(4, "big") + pairs[0][1].to_bytes(4, "big")
    sk_d = take(prf_plus(hash_, skeyseed, seed), hash_().digest_size)
    keymat = take(prf_plus(hash_, sk_d, nonces), count * suite.lane_octets)

    lanes = []
    for spi_i, spi_r in pairs:
        keys = []
        for _ in range(2):
            encr, keymat = keymat[:suite.encr_octets], keymat[suite.encr_octets:]
            integ, keymat = keymat[:suite.integ_octets], keymat[suite.integ_octets:]
            keys.append((encr, integ))
        from_initiator, from_responder = keys
        if we_initiate:  # SPIi is the inbound SPI of the device that gave Ni
            lanes.append(Lane(spi_i, spi_r, from_responder, from_initiator))
        else:
            lanes.append(Lane(spi_r, spi_i, from_initiator, from_responder))
    return suite, lanes
