"""An authority and its certificates, made for a test; and Postgres or Redis behind TLS, with one of them."""

import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PEM = serialization.Encoding.PEM


class Authority:
    """A certificate authority of its own: `ca` is its certificate, `issue` makes those of servers."""

    def __init__(self, directory: Path, name: str = "test authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._name = directory, _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(self._name, self._name, self._key.public_key(), self._key, authority=True)
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(made.public_bytes(_PEM))

    def issue(self, *names: str) -> Path:
        """A file with a certificate for these host names and addresses, and its key (0600, as Postgres wants it)."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(_named(names[0]), self._name, key.public_key(), self._key, names=names)
        plain = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self._directory / f"{names[0]}.pem"
        path.touch(0o600)
        path.write_bytes(made.public_bytes(_PEM) + plain)
        return path


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    names: Sequence[str] = (),
    authority: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@contextmanager
def behind_tls(path: str, certificate: Path, host: str = "127.0.0.1", *, asks_first: bool = False) -> Iterator[int]:
    """The server on this Unix socket, behind TLS on a port of this address; `asks_first`: as Postgres' clients do."""
    with _BehindTls(path, certificate, host, asks_first) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


class _BehindTls(socketserver.ThreadingTCPServer):
    daemon_threads, block_on_close = True, False

    def __init__(self, path: str, certificate: Path, host: str, asks_first: bool) -> None:
        super().__init__((host, 0), _Carry)
        self.path, self.asks_first = path, asks_first
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)


class _Carry(socketserver.BaseRequestHandler):
    """One connection, carried both ways until either side ends it."""

    server: _BehindTls

    def handle(self) -> None:
        with suppress(OSError):
            # A client of Postgres asks by 8 bytes whether TLS is spoken here, and begins when it is answered S.
            if self.server.asks_first:
                self.request.recv(8, socket.MSG_WAITALL)
                self.request.sendall(b"S")
            with (
                closing(self.server.context.wrap_socket(self.request, server_side=True)) as client,
                closing(socket.socket(socket.AF_UNIX)) as behind,
            ):
                behind.connect(self.server.path)
                back = threading.Thread(target=_carry, args=(behind, client))
                back.start()
                _carry(client, behind)
                back.join()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
