# SPDX-License-Identifier: Apache-2.0
"""Names, keys, certificates and the join line (docs/protocol.md section 2)."""
import dataclasses
import datetime
import hashlib
import ipaddress
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from .dim import is_full_name
from .errors import Refused


def mesh_address(mesh_id, full_name):
    """The one IPv6 address inside the tunnels that every device has (2.3)."""
    mesh = hashlib.sha256(b"cygnet-mesh" + mesh_id).digest()[:5]
    device = hashlib.sha256(b"cygnet-dev" + mesh_id + full_name.encode()).digest()[:8]
    return ipaddress.IPv6Address(b"\xfd" + mesh + b"\0\0" + device)


@dataclasses.dataclass(frozen=True)
class JoinLine:
    host: str
    port: int
    mesh: str
    name: str               # empty: the token's
    token: str
    fingerprint: bytes      # SHA-256 of the CA's certificate

    @classmethod
    def parse(cls, text):
        head, mesh, name, token, fingerprint = text.removeprefix("cyg1:").split("/")
        host, _, port = head.rpartition(":")
        return cls(host, int(port), mesh, "" if name == "-" else name, token,
                   bytes.fromhex(fingerprint))


def new_key(kind="p256"):
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if kind == "p384" else ec.SECP256R1())


def _hash_of(key):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    return hashes.SHA384() if isinstance(key.curve, ec.SECP384R1) else hashes.SHA256()


def request(key, full_name):
    """PKCS #10; its names are a wish, and left out by a device that knows none."""
    name = [x509.NameAttribute(NameOID.COMMON_NAME, full_name)] if full_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(name))
    if full_name:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(full_name)]), False)
    return builder.sign(key, _hash_of(key)).public_bytes(Encoding.DER)


def spki_sha256(public_key):
    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()


def _signed_by(certificate, anchor):
    if certificate.issuer != anchor.subject:
        return False
    key = anchor.public_key()
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(certificate.signature, certificate.tbs_certificate_bytes)
        else:
            key.verify(certificate.signature, certificate.tbs_certificate_bytes,
                       ec.ECDSA(certificate.signature_hash_algorithm))
    except InvalidSignature:
        return False
    return True


def _is_ca(certificate):
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _names(certificate):
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    return (names.get_values_for_type(x509.DNSName),
            names.get_values_for_type(x509.UniformResourceIdentifier))


def load(der):
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise Refused("certificate", f"cannot be read: {error}") from error


def check_chain(certificate, trust, now_ms):
    """Refuses unless a trust anchor (DER) signed the leaf and both are valid now."""
    anchors = [a for a in map(load, trust) if _is_ca(a) and _signed_by(certificate, a)]
    if not anchors or _is_ca(certificate):
        raise Refused("certificate-chain", "does not chain to a trust anchor")
    now = datetime.datetime.utcfromtimestamp(now_ms / 1000)
    for c in (certificate, anchors[0]):
        if not c.not_valid_before <= now <= c.not_valid_after:
            raise Refused("certificate-expired", f"valid {c.not_valid_before} to {c.not_valid_after}")


def check_anchor(certificate, trust):
    """Refuses a new trust anchor unless one that is trusted already signed it (2.2)."""
    if not _is_ca(certificate) or not any(_signed_by(certificate, load(a)) for a in trust):
        raise Refused("certificate-chain", "the anchor is not signed by a trusted one")


def check_controller(certificate, trust, mesh, now_ms):
    check_chain(certificate, trust, now_ms)
    if f"controller.cygnet.{mesh}" not in _names(certificate)[0]:
        raise Refused("certificate-identity", "is not the controller's")


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A device's certificate whose chain has been verified."""
    name: str
    mesh_id: bytes
    public_key: object
    pin: bytes
    serial: bytes


def _octets(number):
    return number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")


def check_device(der, trust, now_ms):
    certificate = load(der)
    check_chain(certificate, trust, now_ms)
    dns, uris = _names(certificate)
    if len(dns) != 1 or len(uris) != 1 or not is_full_name(dns[0]):
        raise Refused("certificate-identity", "not one DNS name and one URI")
    match = re.fullmatch(r"cygnet://([0-9a-f]{32})/([a-z0-9-]+)", uris[0])
    if match is None or match[2] != dns[0].split(".")[0]:
        raise Refused("certificate-identity", f"{uris[0]} and {dns[0]} disagree")
    key = certificate.public_key()
    return Leaf(dns[0], bytes.fromhex(match[1]), key, spki_sha256(key),
                _octets(certificate.serial_number))
