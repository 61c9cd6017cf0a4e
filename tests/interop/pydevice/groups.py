# SPDX-License-Identifier: Apache-2.0
"""Diffie-Hellman groups: values as they stand in KE payloads (3.2), tests of public values (3.4, 5.1)."""
import secrets

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.serialization import (Encoding, NoEncryption, PrivateFormat,
                                                          PublicFormat)

from .errors import Refused


def _pi(bits):
    """floor(pi * 2^bits), by Machin's formula."""
    guard = 64
    one = 1 << (bits + guard)

    def arctan_inverse(x):
        total = term = one // x
        n, sign = 3, -1
        while term:
            term //= x * x
            total += sign * (term // n)
            n, sign = n + 2, -sign
        return total

    return 4 * (4 * arctan_inverse(5) - arctan_inverse(239)) >> guard


def _modp(bits, k):
    """The prime of RFC 3526: 2^n - 2^(n-64) - 1 + 2^64 * (floor(2^(n-130) pi) + k)."""
    return 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (_pi(bits - 130) + k)


MODP = {14: _modp(2048, 124476), 15: _modp(3072, 1690314), 16: _modp(4096, 240904)}
CURVES = {19: (ec.SECP256R1, 32), 20: (ec.SECP384R1, 48), 21: (ec.SECP521R1, 66)}
VALUE_OCTETS = {14: 256, 15: 384, 16: 512, 19: 64, 20: 96, 21: 132, 31: 32, 32: 56}

_P25519 = 2**255 - 19
_P448 = 2**448 - 2**224 - 1
_SMALL_ORDER_25519 = {v.to_bytes(32, "little") for v in (0, 1, _P25519 - 1, _P25519, _P25519 + 1)} | {
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157")}
_SMALL_ORDER_448 = {v.to_bytes(56, "little") for v in (0, 1, _P448 - 1, _P448, _P448 + 1)}


def _ec_public(group, value):
    curve, n = CURVES[group]
    try:  # the library checks that coordinates are below p and that the point is on the curve
        return ec.EllipticCurvePublicNumbers(int.from_bytes(value[:n], "big"),
                                             int.from_bytes(value[n:], "big"), curve()).public_key()
    except ValueError as error:
        raise Refused("public-value", f"group {group}: {error}") from error


def check_public(group, value):
    """RFC 6989: refuses a public value that must not be combined with a private one."""
    if group in MODP:
        if not 1 < int.from_bytes(value, "big") < MODP[group] - 1:
            raise Refused("public-value", f"group {group}: not between 1 and p-1")
    elif group in CURVES:
        _ec_public(group, value)
    elif group == 31:
        if value[:31] + bytes([value[31] & 0x7F]) in _SMALL_ORDER_25519:
            raise Refused("public-value", "X25519: small order")
    elif group == 32:
        if value in _SMALL_ORDER_448:
            raise Refused("public-value", "X448: small order")


class KeyPair:
    """One DH pair; `public` are the octets of a KE payload."""

    def __init__(self, group):
        self.group = group
        if group in MODP:
            # Twice the strength of the largest group (RFC 3526 section 8) is long enough, and quick.
            self._private = secrets.randbits(512) | 1 << 511
            self.public = pow(2, self._private, MODP[group]).to_bytes(VALUE_OCTETS[group], "big")
        elif group in CURVES:
            curve, n = CURVES[group]
            self._private = ec.generate_private_key(curve())
            numbers = self._private.public_key().public_numbers()
            self.public = numbers.x.to_bytes(n, "big") + numbers.y.to_bytes(n, "big")
        else:
            kind = {31: x25519.X25519PrivateKey, 32: x448.X448PrivateKey}[group]
            self._private = kind.generate()
            self.public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def shared(self, value):
        """g^ir with the octets of section 3.2; the value must have passed check_public."""
        if self.group in MODP:
            prime = MODP[self.group]
            return pow(int.from_bytes(value, "big"), self._private, prime).to_bytes(len(value), "big")
        if self.group in CURVES:
            return self._private.exchange(ec.ECDH(), _ec_public(self.group, value))
        kind = {31: x25519.X25519PublicKey, 32: x448.X448PublicKey}[self.group]
        try:
            secret = self._private.exchange(kind.from_public_bytes(value))
        except ValueError as error:  # an all-zero secret
            raise Refused("public-value", f"group {self.group}: {error}") from error
        if not any(secret):
            raise Refused("public-value", f"group {self.group}: the shared secret is zero")
        return secret

    def private_hex(self):
        """For comparing with `cygnet debug derive`."""
        if self.group in MODP:
            return self._private.to_bytes(VALUE_OCTETS[self.group], "big").hex()
        if self.group in CURVES:
            n = CURVES[self.group][1]
            return self._private.private_numbers().private_value.to_bytes(n, "big").hex()
        return self._private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex()
