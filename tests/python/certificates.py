"""Certificates of an authority that the tests make, and a TLS client whose bytes the tests hold in their hands."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support import TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trustme import LeafCert

    from echoserver import EchoServer

NAMES = ("localhost", "127.0.0.1")


def strict(server: EchoServer) -> ssl.SSLContext:
    """The context of a client of `server` that is as strict as Python can be."""
    context = server.ssl_context()
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


class Authority:
    """An authority with its files in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        """Makes it."""
        self.folder = folder
        self.ca = trustme.CA(organization_name=name)
        self.pem = folder / f"{name}.pem"
        self.ca.cert_pem.write_to_path(self.pem)

    def issue(self, name: str, *names: str, days: int = 1, **options: Any) -> tuple[Path, Path]:
        """Files with a certificate and its key; with negative `days` it has expired."""
        now = datetime.datetime.now(datetime.UTC)
        leaf: LeafCert = self.ca.issue_cert(
            *(names or NAMES),
            not_before=now - datetime.timedelta(days=30),
            not_after=now + datetime.timedelta(days=days),
            **options,
        )
        certfile, keyfile = self.folder / f"{name}.cert.pem", self.folder / f"{name}.key.pem"
        certfile.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(keyfile)
        return certfile, keyfile

    def context(self, **options: Any) -> ssl.SSLContext:
        """A client's context that trusts this authority; `options` are attributes."""
        context = ssl.create_default_context(cafile=self.pem)
        for name, value in options.items():
            setattr(context, name, value)
        return context


def signed_by_itself(folder: Path, name: str) -> tuple[Path, Path]:
    """Files with a certificate that is an authority's and a server's, as `openssl req -x509` makes it, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certfile, keyfile = folder / "own.cert.pem", folder / "own.key.pem"
    certfile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    keyfile.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certfile, keyfile


def values(der: bytes) -> Iterator[bytes]:
    """The elements of a SEQUENCE in DER, one after the other."""

    def end_of_header(at: int) -> tuple[int, int]:
        first = der[at + 1]
        if first < 0x80:
            return at + 2, first
        start = at + 2 + (first & 0x7F)
        return start, int.from_bytes(der[at + 2 : start])

    at, _ = end_of_header(0)
    while at < len(der):
        start, length = end_of_header(at)
        yield der[at : start + length]
        at = start + length


def sequence(*elements: bytes) -> bytes:
    """A SEQUENCE in DER."""
    content = b"".join(elements)
    return b"\x30\x82" + len(content).to_bytes(2) + content


def of_version_1(certfile: Path, issuer: trustme.CA) -> None:
    """Replaces the certificate by one without a version and extensions, which are of X.509 v2 and v3."""
    certificate = x509.load_pem_x509_certificate(certfile.read_bytes())
    elements = [element for element in values(certificate.tbs_certificate_bytes) if element[0] not in {0xA0, 0xA3}]
    body = sequence(*elements)
    key = serialization.load_pem_private_key(issuer.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = b"\0" + key.sign(body, ec.ECDSA(hashes.SHA256()))
    # The algorithm of the signature is told twice.
    der = sequence(body, elements[1], b"\x03" + bytes([len(signature)]) + signature)
    certfile.write_text(ssl.DER_cert_to_PEM_cert(der))


def with_unknown_critical_extension(certfile: Path, issuer: trustme.CA) -> None:
    """Replaces the certificate by one that also has a critical extension of nobody's."""
    old = x509.load_pem_x509_certificate(certfile.read_bytes())
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), old.serial_number, old.not_valid_before_utc, old.not_valid_after_utc
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\0")
    key = serialization.load_pem_private_key(issuer.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    new = builder.add_extension(unknown, critical=True).sign(key, hashes.SHA256())
    certfile.write_bytes(new.public_bytes(serialization.Encoding.PEM))


def converted(keyfile: Path, form: str, password: bytes | None = None) -> Path:
    """The key in another form: a name of `serialization.PrivateFormat`."""
    key = serialization.load_pem_private_key(keyfile.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), encryption)
    path = keyfile.with_suffix(f".{form}.pem")
    path.write_bytes(pem)
    return path


class HeldClient:
    """A TLS client over a socket that sends what the test tells it to."""

    def __init__(self, port: int, context: ssl.SSLContext, server_name: str = "127.0.0.1") -> None:
        """Connects TCP and makes a client hello, which is not sent yet."""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=server_name)
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()

    def written(self) -> bytes:
        """What TLS wants to be sent."""
        return self.outgoing.read()

    def flush(self) -> None:
        """Sends it."""
        if data := self.written():
            self.socket.sendall(data)

    def read_socket(self) -> bool:
        """Gives TLS what comes next: False at the end of TCP."""
        data = self.socket.recv(1 << 16)
        self.incoming.write(data)
        return bool(data)

    def open(self) -> Self:
        """Does the handshake; ssl.SSLError with the server's alert."""
        self.until(self.tls.do_handshake)
        return self

    def until(self, step: Any, *arguments: Any) -> Any:
        """What `step` returns when it has read enough; EOFError if the server ends before."""
        while True:
            try:
                result = step(*arguments)
            except ssl.SSLWantReadError:
                self.flush()
                if not self.read_socket():
                    raise EOFError from None
            except ssl.SSLError:
                self.flush()
                raise
            else:
                self.flush()
                return result

    def send(self, data: bytes) -> None:
        """Encrypts and sends."""
        self.tls.write(data)
        self.flush()

    def read(self, size: int) -> bytes:
        """That many bytes."""
        data = b""
        while len(data) < size:
            part: bytes = self.until(self.tls.read, size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def read_head(self) -> bytes:
        """The head of the response."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        return head

    def is_closed(self) -> bool:
        """Reads to the end of TCP, which must come."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
