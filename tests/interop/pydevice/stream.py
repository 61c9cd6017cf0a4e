# SPDX-License-Identifier: Apache-2.0
"""TLS, framing and messages between device and controller (docs/protocol.md 2.4, 7.1, 12)."""
import hashlib
import importlib
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

from . import identity
from .errors import Refused

MAX_MESSAGE = 1 << 20


def compile_messages(document):
    """The module protoc makes of the definitions in section 12 of the document itself."""
    with open(document) as f:
        definitions = re.search(r"```proto\n(.*?)```", f.read(), re.S).group(1)
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "cygnet_device.proto"), "w") as f:
            f.write(definitions)
        subprocess.run(["protoc", f"-I{directory}", f"--python_out={directory}",
                        "cygnet_device.proto"], check=True)
        sys.path.insert(0, directory)
        try:
            return importlib.import_module("cygnet_device_pb2")
        finally:
            sys.path.remove(directory)


def frame(message):
    octets = message.SerializeToString()
    return struct.pack(">I", len(octets)) + octets


def _receive(sock, octets):
    data = b""
    while len(data) < octets:
        more = sock.recv(octets - len(data))
        if not more:
            raise ConnectionError("the stream ended")
        data += more
    return data


def _sent_chain(tls):
    """Certificates the server sent, as DER. ssl has no public call for it before Python 3.13."""
    import _ssl
    return [c.public_bytes(_ssl.ENCODING_DER) for c in tls._sslobj.get_unverified_chain()]


def enrol(line, key, messages, timeout=10):
    """Joins by a parsed JoinLine; the EnrolReply after its checks, or Refused with the reply's code."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["cygnet-join/1"])
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is trusted yet but the fingerprint, checked below
    with socket.create_connection((line.host, line.port), timeout) as raw, \
            context.wrap_socket(raw, server_hostname=f"controller.cygnet.{line.mesh}") as tls:
        if tls.selected_alpn_protocol() != "cygnet-join/1":
            raise Refused("certificate-chain", "the server does not speak cygnet-join/1")
        chain = _sent_chain(tls)
        trust = [c for c in chain if hashlib.sha256(c).digest() == line.fingerprint]
        identity.check_controller(identity.load(chain[0]), trust, line.mesh, time.time() * 1000)
        csr = identity.request(key, f"{line.name}.{line.mesh}" if line.name else "")
        tls.sendall(frame(messages.EnrolRequest(token=line.token, device_name=line.name,
                                                csr_der=csr, version_min=1, version_max=1)))
        length, = struct.unpack(">I", _receive(tls, 4))
        reply = messages.EnrolReply.FromString(_receive(tls, length))
    if reply.outcome != messages.EnrolReply.ISSUED:
        raise Refused(reply.refusal.code or "queued", reply.refusal.message)
    if line.fingerprint not in [hashlib.sha256(c).digest() for c in reply.trust_der]:
        raise Refused("certificate-chain", "the trust bundle lacks the CA of the join line")
    leaf = identity.check_device(reply.certificate_der, list(reply.trust_der), time.time() * 1000)
    if leaf.pin != identity.spki_sha256(key.public_key()) or leaf.mesh_id != reply.mesh_id:
        raise Refused("certificate-identity", "the certificate is not for this key and mesh")
    return reply, leaf


class Stream:
    """The device stream once TLS stands. Never blocks: poll it, and feed() when it is readable."""

    def __init__(self, host, port, mesh, trust, certificate_file, key_file, messages, timeout=5):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks chain and name
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["cygnet/1"])
        context.load_verify_locations(cadata=b"".join(trust))
        context.load_cert_chain(certificate_file, key_file)
        raw = socket.create_connection((host, port), timeout)
        try:
            self.tls = context.wrap_socket(raw, server_hostname=f"controller.cygnet.{mesh}")
            if self.tls.selected_alpn_protocol() != "cygnet/1":
                raise ConnectionError("the controller does not speak cygnet/1")
        except BaseException:
            raw.close()
            raise
        self.controller_address = self.tls.getpeername()[0]
        self.tls.setblocking(False)
        self.messages = messages
        self.incoming = b""
        self.outgoing = b""

    def fileno(self):
        return self.tls.fileno()

    def send(self, **member):
        self.outgoing += frame(self.messages.FromDevice(**member))
        self.flush()

    def flush(self):
        while self.outgoing:
            try:
                self.outgoing = self.outgoing[self.tls.send(self.outgoing):]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return

    def feed(self):
        """The messages that are whole now. Raises OSError at the end of the stream."""
        ended = None
        try:
            while True:
                data = self.tls.recv(65536)
                if not data:
                    ended = ConnectionError("the controller closed the stream")
                    break
                self.incoming += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            ended = error
        out = []
        while len(self.incoming) >= 4:
            length, = struct.unpack_from(">I", self.incoming)
            if length > MAX_MESSAGE:
                raise ConnectionError(f"a message of {length} octets")
            if len(self.incoming) < 4 + length:
                break
            out.append(self.messages.FromController.FromString(self.incoming[4:4 + length]))
            self.incoming = self.incoming[4 + length:]
        if ended and not out:
            raise ended
        return out

    def close(self):
        self.tls.close()
