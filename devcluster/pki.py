"""Certificates of a control plane or an engine: a small authority that lives in one directory."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devcluster import files

_LIFETIME = datetime.timedelta(days=3650)
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its private key, both PEM; the key is readable by its owner only."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority kept in ``directory``; it and every certificate are made once and found again."""

    def __init__(self, directory: Path, name: str) -> None:
        """``name`` names the files and the authority's subject."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._own = Pair(directory / f"{name}.crt", directory / f"{name}.key")
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        if not _is_whole(self._own, self._own):
            self._make_own()

    @property
    def certificate(self) -> Path:
        """The authority's own certificate, for those who verify."""
        return self._own.certificate

    def server(self, name: str) -> Pair:
        """A certificate for a server (that may be a client too) on 127.0.0.1 and localhost."""
        return self._issue(name, name, (), (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH))

    def client(self, user: str, groups: Sequence[str] = ()) -> Pair:
        """A client certificate; Kubernetes reads the user name and the groups from its subject."""
        file = "client-" + "-".join([user, *groups]).replace(":", "_").replace("/", "_")
        return self._issue(file, user, groups, (ExtendedKeyUsageOID.CLIENT_AUTH,))

    def _make_own(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(self._subject, self._subject, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        _write(self._own, builder.sign(key, hashes.SHA256()), key)

    def _issue(self, file: str, user: str, groups: Sequence[str], usages: Sequence[x509.ObjectIdentifier]) -> Pair:
        pair = Pair(self._directory / f"{file}.crt", self._directory / f"{file}.key")
        if _is_whole(pair, self._own):
            return pair
        names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        signer = serialization.load_pem_private_key(self._own.key.read_bytes(), password=None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, self._subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(_addresses(), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )
        _write(pair, builder.sign(signer, hashes.SHA256()), key)
        return pair


def service_account_key(path: Path) -> Path:
    """An RSA key that signs service account tokens, made once; the API server takes its public half from it."""
    if _key(path) is None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        files.replace(path, _pem(key, serialization.PrivateFormat.TraditionalOpenSSL), mode=0o600)
    return path


def _is_whole(pair: Pair, issuer: Pair) -> bool:
    """Whether the files hold a key and its certificate, from the issuer as it is now: it may have been made anew."""
    key, certificate, authority = _key(pair.key), _certificate(pair.certificate), _certificate(issuer.certificate)
    if key is None or certificate is None or authority is None:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return certificate.public_key() == key.public_key()


def _key(path: Path) -> PrivateKeyTypes | None:
    try:
        return serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (FileNotFoundError, ValueError):
        return None


def _certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _builder(subject: x509.Name, issuer: x509.Name, key: _Key) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _LIFETIME)
    )


def _addresses() -> x509.SubjectAlternativeName:
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return x509.SubjectAlternativeName([loopback, *(x509.DNSName(name) for name in _NAMES)])


def _write(pair: Pair, certificate: x509.Certificate, key: _Key) -> None:
    files.replace(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
    files.replace(pair.key, _pem(key, serialization.PrivateFormat.PKCS8), mode=0o600)


def _pem(key: _Key | rsa.RSAPrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
