# SPDX-License-Identifier: Apache-2.0
"""A controller for one agent that relays whatever a test wants (docs/protocol.md section 7).

It stands where the real one stood, with its certificate and CA: what a device must expect of a controller
that was taken over, or of a device that lies to one that does not look.
"""
import datetime
import os
import ssl
import socket
import struct
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pydevice import identity


class Authority:
    """A CA: the mesh's own, read from the controller's state, or one made up."""

    def __init__(self, state=None):
        if state:
            with open(os.path.join(state, "identity-ca.key"), "rb") as f:
                self.key = load_pem_private_key(f.read(), None)
            with open(os.path.join(state, "identity-ca.pem"), "rb") as f:
                self.certificate = x509.load_pem_x509_certificate(f.read())
            return
        self.key = identity.new_key()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody's")])
        now = datetime.datetime.utcnow()
        self.certificate = x509.CertificateBuilder(
            name, name, self.key.public_key(), 1, now - datetime.timedelta(1),
            now + datetime.timedelta(9)).add_extension(
                x509.BasicConstraints(True, None), True).sign(self.key, hashes.SHA256())

    def issue(self, public_key, full_name, mesh_id, days=(-1, 9), serial=None):
        """DER of a device's certificate."""
        now = datetime.datetime.utcnow()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, full_name)])
        names = [x509.DNSName(full_name), x509.UniformResourceIdentifier(
            f"cygnet://{mesh_id.hex()}/{full_name.split('.')[0]}")]
        builder = x509.CertificateBuilder(
            self.certificate.subject, name, public_key, serial or x509.random_serial_number(),
            now + datetime.timedelta(days[0]), now + datetime.timedelta(days[1]))
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        hash_ = None if isinstance(self.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(self.key, hash_).public_bytes(Encoding.DER)


class LyingController:
    """Serves one device at a time; a part of the tests' loop."""

    def __init__(self, address, state, welcome, messages, place):
        self.messages = messages
        self.welcome = welcome          # what Hello is answered with; only its times are filled in
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["cygnet/1"])
        context.load_cert_chain(os.path.join(state, "server.pem"), os.path.join(state, "server.key"))
        context.load_verify_locations(os.path.join(state, "identity-ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        self.context = context
        with place():
            self.listener = socket.create_server(address)
        self.listener.setblocking(False)
        self.session = None
        self.shaken = False
        self.incoming = self.outgoing = b""
        self.cursor = None
        self.hello = None
        self.acknowledged = 0
        self.reports = []

    def filenos(self):
        return [self.listener.fileno()] + ([self.session.fileno()] if self.session else [])

    def on_readable(self):
        try:
            raw = self.listener.accept()[0]
            raw.setblocking(False)
            self._end()
            self.session = self.context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            self.shaken, self.incoming, self.outgoing = False, b"", b""
        except BlockingIOError:
            pass
        if self.session is None:
            return
        try:
            if not self.shaken:
                self.session.do_handshake()
                self.shaken = True
            while True:
                data = self.session.recv(65536)
                if not data:
                    return self._end()
                self.incoming += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            return self._end()
        while len(self.incoming) >= 4:
            length, = struct.unpack_from(">I", self.incoming)
            if len(self.incoming) < 4 + length:
                return None
            self._message(self.messages.FromDevice.FromString(self.incoming[4:4 + length]))
            self.incoming = self.incoming[4 + length:]
        return None

    def _message(self, m):
        kind = m.WhichOneof("message")
        if kind == "hello":
            self.hello = m.hello
            self.cursor = self.messages.Cursor(epoch=m.hello.resume.epoch or bytes(16),
                                               position=m.hello.resume.position)
            self.welcome.server_time_ms = int(time.time() * 1000)
            self.welcome.resumed = m.hello.HasField("resume")
            self._send(welcome=self.welcome)
            self.update()
        elif kind == "ack":
            self.acknowledged = m.ack.cursor.position
        elif kind == "report":
            self.reports.append(m.report)

    def _send(self, **member):
        octets = self.messages.FromController(**member).SerializeToString()
        self.outgoing += struct.pack(">I", len(octets)) + octets

    def update(self, *changes, **fields):
        """Relays; the position that an Ack will cover."""
        self.cursor.position += 1
        self._send(update=self.messages.Update(changes=changes, cursor=self.cursor, **fields))
        return self.cursor.position

    def tick(self):
        while self.session and self.shaken and self.outgoing:
            try:
                self.outgoing = self.outgoing[self.session.send(self.outgoing):]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError:
                self._end()

    def _end(self):
        if self.session:
            self.session.close()
        self.session, self.cursor = None, None

    def close(self):
        self._end()
        self.listener.close()
