# SPDX-License-Identifier: Apache-2.0
"""ESP packets from the SPI on: sealing, opening, ESN, the replay window (docs/protocol.md section 8)."""
import hashlib
import hmac
import secrets
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

HMACS = {12: (hashlib.sha256, 16), 13: (hashlib.sha384, 24), 14: (hashlib.sha512, 32)}
IPV4, IPV6, DUMMY = 4, 41, 59


class Dropped(Exception):
    """A packet that is not taken, by its name in docs/drops.md."""


class Cryptor:
    """One direction's algorithm and keys; knows nothing of windows."""

    def __init__(self, suite, key):
        self.suite = suite
        encr_key, self.integ_key = key
        self.aead = suite.integ == 0
        if self.aead:
            self.key, self.salt = encr_key[:-4], encr_key[-4:]
            self.cipher = (AESGCM if suite.encr == 20 else ChaCha20Poly1305)(self.key)
            self.block, self.iv_octets, self.icv_octets = 4, 8, 16
        else:
            self.key = encr_key
            self.block, self.iv_octets = 16, 16
            self.hash, self.icv_octets = HMACS[suite.integ]

    def _aad(self, header, high):
        return header[:4] + struct.pack(">I", high) + header[4:] if self.suite.esn else header

    def _icv(self, packet, high):
        data = packet + (struct.pack(">I", high) if self.suite.esn else b"")
        return hmac.new(self.integ_key, data, self.hash).digest()[:self.icv_octets]

    def seal(self, spi, seq, next_header, payload):
        pad = -(len(payload) + 2) % self.block
        inner = payload + bytes(range(1, pad + 1)) + bytes([pad, next_header])
        header, high = struct.pack(">II", spi, seq & 0xFFFFFFFF), seq >> 32
        if self.aead:
            iv = struct.pack(">Q", seq)
            return header + iv + self.cipher.encrypt(self.salt + iv, inner, self._aad(header, high))
        iv = secrets.token_bytes(16)
        encryptor = Cipher(algorithms.AES(self.key), modes.CBC(iv)).encryptor()
        packet = header + iv + encryptor.update(inner) + encryptor.finalize()
        return packet + self._icv(packet, high)

    def decrypt(self, packet, high):
        """What was encrypted, once the ICV has verified; or Dropped."""
        body = len(packet) - 8 - self.iv_octets - self.icv_octets
        if body < self.block:
            raise Dropped("too-short")
        if body % self.block:
            raise Dropped("length")
        header, iv = packet[:8], packet[8:8 + self.iv_octets]
        if self.aead:
            try:
                inner = self.cipher.decrypt(self.salt + iv, packet[16:], self._aad(header, high))
            except InvalidTag as error:
                raise Dropped("icv") from error
        else:
            covered, icv = packet[:-self.icv_octets], packet[-self.icv_octets:]
            if not hmac.compare_digest(icv, self._icv(covered, high)):
                raise Dropped("icv")
            decryptor = Cipher(algorithms.AES(self.key), modes.CBC(iv)).decryptor()
            inner = decryptor.update(covered[24:]) + decryptor.finalize()
        return inner

    @staticmethod
    def unpad(inner):
        """(next header, payload with any TFC padding), or Dropped."""
        pad, next_header = inner[-2], inner[-1]
        if pad + 2 > len(inner) or inner[-2 - pad:-2] != bytes(range(1, pad + 1)):
            raise Dropped("padding")
        return next_header, inner[:-2 - pad]


class OutboundSa:
    def __init__(self, suite, spi, key):
        self.cryptor = Cryptor(suite, key)
        self.spi = spi
        self.seq = 0
        self.limit = (1 << 64) - 1 if suite.esn else (1 << 32) - 1

    def seal(self, next_header, payload):
        if self.seq >= self.limit:
            raise Dropped("seq-overflow")
        self.seq += 1  # the first packet has number 1; the number is the AEAD's IV too
        return self.cryptor.seal(self.spi, self.seq, next_header, payload)


class InboundSa:
    """Opens, and keeps the replay window: `top` is the highest number seen, bit n of `seen` is top - n."""

    def __init__(self, suite, spi, key, window):
        self.cryptor = Cryptor(suite, key)
        self.spi = spi
        self.window = window
        self.top = 0
        self.seen = 1

    def _number(self, low):
        """RFC 4303 appendix A2: the number with these low 32 bits that the window suggests."""
        if not self.cryptor.suite.esn:
            return low
        high, top_low = self.top >> 32, self.top & 0xFFFFFFFF
        bottom = top_low - self.window + 1
        if bottom >= 0:
            return (high + (low < bottom)) << 32 | low
        # The window reaches into the previous half.
        return (high - (low >= bottom % (1 << 32))) << 32 | low

    def verify(self, packet):
        """The decrypted octets of a packet that is evidence (6.5): the window has moved."""
        if len(packet) < 8:
            raise Dropped("too-short")
        number = self._number(int.from_bytes(packet[4:8], "big"))
        behind = self.top - number
        if number <= 0 or behind >= self.window:
            raise Dropped("replay")
        if behind >= 0 and self.seen >> behind & 1:
            raise Dropped("replay")
        inner = self.cryptor.decrypt(packet, number >> 32)
        if behind >= 0:
            self.seen |= 1 << behind
        else:
            kept = self.seen << -behind if -behind < self.window else 0
            self.seen = (kept | 1) & ((1 << self.window) - 1)
            self.top = number
        return inner

    def open(self, packet):
        return self.cryptor.unpad(self.verify(packet))
