"""The web program by TLS of its own, and behind a proxy: who may speak to it, and when a cookie is `Secure`."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from celeriac.client import Client
from celeriac.client.remote.wire import Wire
from celeriac.domain.errors import SettingInvalid
from celeriac.runtime.settings import Settings
from celeriac.store import WebStore
from celeriac.store.tokens import make_link
from celeriac.web.app import create_app
from celeriac.web.server import make_server
from tests.tls import Authority


@contextmanager
def serving(settings: Settings, store: WebStore) -> Iterator[int]:
    """The web program with these settings on a port of the loopback."""
    with Client(settings, store=store) as client:
        listening = socket.create_server(("127.0.0.1", 0))
        server = make_server(settings, create_app(settings, client, store))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def cookie_of(
    address: str, store: WebStore, authority: Path | None = None, told: dict[str, str] | None = None
) -> httpx.Response:
    """What a browser is answered that uses a link."""
    trusted = ssl.create_default_context(cafile=authority) if authority else False
    with httpx.Client(verify=trusted, trust_env=False) as browser:
        return browser.get(f"{address}/login/once?code={make_link(store, 'tester')}", headers=told)


@pytest.mark.usefixtures("token")
def test_it_speaks_tls_by_itself_and_then_cookies_are_secure(
    settings: Settings, web_store: WebStore, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "ca")
    certificate = str(authority.issue("localhost", "127.0.0.1"))
    with serving(replace(settings, web_cert=certificate), web_store) as port:
        address = f"https://127.0.0.1:{port}"
        answer = cookie_of(address, web_store, authority.ca)
        assert answer.status_code == 303
        assert "; Secure" in answer.headers["set-cookie"]
        with pytest.raises(SettingInvalid, match=r"does not prove who it is .*SSL_CERT_FILE"):
            Wire(address, "clr_x").get("me")
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            cookie_of(address, web_store, Authority(tmp_path / "another").ca)
        with pytest.raises(httpx.TransportError):
            cookie_of(f"http://127.0.0.1:{port}", web_store)


@pytest.mark.usefixtures("token")
def test_a_proxy_s_word_counts_only_from_where_it_may_stand(settings: Settings, web_store: WebStore) -> None:
    told = {"X-Forwarded-Proto": "https"}
    with serving(settings, web_store) as port:
        address = f"http://127.0.0.1:{port}"
        assert "; Secure" in cookie_of(address, web_store, told=told).headers["set-cookie"]
        assert "; Secure" not in cookie_of(address, web_store).headers["set-cookie"]
    with serving(replace(settings, web_proxies="10.9.0.0/16"), web_store) as port:
        answer = cookie_of(f"http://127.0.0.1:{port}", web_store, told=told)
        assert "; Secure" not in answer.headers["set-cookie"]
        assert "strict-transport-security" not in answer.headers


@pytest.mark.usefixtures("token")
def test_cookies_are_secure_where_the_public_address_is_https(settings: Settings, web_store: WebStore) -> None:
    public = replace(settings, web_public_url="https://tuning.example", web_proxies="10.9.0.0/16")
    with serving(public, web_store) as port:
        answer = cookie_of(f"http://127.0.0.1:{port}", web_store)
    assert "; Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("none.pem", "", r"CELERIAC_WEB_CERT=\S*none.pem, CELERIAC_WEB_KEY=\(in the same file\).*No such file"),
        ("ca.pem", "", "CELERIAC_WEB_CERT=.*no certificate with its key"),
        ("ca.pem", "localhost.pem", "CELERIAC_WEB_CERT=.*no certificate with its key"),
        ("", "localhost.pem", "CELERIAC_WEB_KEY=.* is set and CELERIAC_WEB_CERT is not"),
    ],
)
def test_a_certificate_without_its_key_is_said_by_its_setting(tmp_path: Path, cert: str, key: str, said: str) -> None:
    Authority(tmp_path).issue("localhost")
    given = {name: str(tmp_path / each) if each else "" for name, each in (("web_cert", cert), ("web_key", key))}
    with pytest.raises(SettingInvalid, match=said):
        make_server(Settings(**given), FastAPI())  # type: ignore[arg-type]  # both are text
