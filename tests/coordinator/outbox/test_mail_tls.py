"""Mornings by mail over TLS, to a real SMTP server with a certificate of its own: no login and no mail goes to a server
that the system does not trust, and no login in the clear.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.coordinator.outbox.test_morning import a_night, detail, tell

LOGIN = ("nights", "p@ss/word")
URL = "nights:p%40ss%2Fword@127.0.0.1"
FROM = "nights@example.com"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a self-made certificate for 127.0.0.1 and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(plain + made.public_bytes(pem))
    return path


@dataclass
class Post:
    """What the server was told: logins, each with whether it came over TLS, and mails."""

    logins: list[tuple[str, str, bool]] = field(default_factory=list)
    mails: list[bytes] = field(default_factory=list)

    def log_in(self, server: Any, session: Session, envelope: Envelope, kind: str, given: LoginPassword) -> AuthResult:
        name, word = given.login.decode(), given.password.decode()
        self.logins.append((name, word, session.ssl is not None or server.transport.get_extra_info("sslcontext")))
        return AuthResult(success=(name, word) == LOGIN)

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's)
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        return "250 kept"


@contextmanager
def server(certificate: Path, *, at_once: bool = False, offers: bool = True) -> Iterator[tuple[str, Post]]:
    """A server that takes logins; `at_once`: TLS from the first byte; `offers`: else it offers STARTTLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    post = Post()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(
        post,
        hostname="127.0.0.1",
        port=port,
        ssl_context=context if at_once else None,
        tls_context=context if offers and not at_once else None,
        authenticator=post.log_in,
        auth_require_tls=False,  # so that a login in the clear would be taken, and seen
    )
    controller.start()
    try:
        yield f"{URL}:{port}", post
    finally:
        controller.stop()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_mail_and_its_login_go_over_tls_to_a_server_that_is_trusted(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    house = a_night(mail=["ann@example.com"])
    with server(certificate, at_once=at_once) as (url, post):
        assert tell(house, smtp_url=f"{'smtps' if at_once else 'smtp'}://{url}", mail_from=FROM) == 1, detail(house)
    [(name, word, secure)] = post.logins
    assert (name, word) == LOGIN
    assert secure
    [mail] = post.mails
    assert b"Subject: flights, night 2026-11-24" in mail
    assert detail(house) == "mailed to ann@example.com"


@pytest.mark.parametrize("at_once", [True, False])
def test_a_server_whose_certificate_is_not_trusted_gets_neither_login_nor_mail(
    certificate: Path, at_once: bool
) -> None:
    house = a_night(mail=["ann@example.com"])
    with server(certificate, at_once=at_once) as (url, post):
        assert tell(house, smtp_url=f"{'smtps' if at_once else 'smtp'}://{url}", mail_from=FROM) == 0
    assert (post.logins, post.mails) == ([], [])
    assert detail(house).startswith(
        "the certificate of the mail server 127.0.0.1 is not trusted (self-signed certificate"
    )
    assert detail(house).endswith("name its authority's file in SSL_CERT_FILE")


def test_a_login_is_never_told_in_the_clear(certificate: Path) -> None:
    house = a_night(mail=["ann@example.com"])
    with server(certificate, offers=False) as (url, post):
        assert tell(house, smtp_url=f"smtp://{url}", mail_from=FROM) == 0
    assert (post.logins, post.mails) == ([], [])
    assert detail(house) == (
        "the mail server 127.0.0.1 offers no TLS, so it is not told the login: write smtps://, or leave the login out"
    )
