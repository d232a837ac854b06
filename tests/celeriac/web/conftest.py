"""The app over the run's own Postgres, asked in this process; and the same served on a port, for who needs one."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from celeriac.client import Client
from celeriac.domain.records import Scope
from celeriac.runtime.settings import Settings
from celeriac.store import WebStore, open_web_store
from celeriac.store.tokens import make_link, make_token
from celeriac.web.app import create_app
from tests.celeriac.cli.played import CODE

Ask = Callable[..., TestClient]


@pytest.fixture
def web_store(settings: Settings) -> Iterator[WebStore]:
    """The store with the web's verbs, empty."""
    opened = open_web_store(settings.database_url, pool_size=6)
    yield opened
    opened.close()


@pytest.fixture
def app(settings: Settings, web_store: WebStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """The app, whose code root is the test's directory with an objective in it, where the test is too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    with Client(settings, store=web_store) as client:
        yield create_app(settings, client, web_store)


@pytest.fixture
def token(web_store: WebStore) -> str:
    """A token that may do everything."""
    return make_token(web_store, "tester", tuple(Scope))


@pytest.fixture
def asked(app: FastAPI) -> Iterator[Ask]:
    """`asked(token)`: a client of the app with that token; without one a stranger."""
    opened: list[TestClient] = []

    def ask(token: str = "") -> TestClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        opened.append(TestClient(app, headers=headers, follow_redirects=False, raise_server_exceptions=False))
        return opened[-1]

    yield ask
    for each in opened:
        each.close()


@pytest.fixture
def api(asked: Ask, token: str) -> TestClient:
    """A client with a token that may do everything."""
    return asked(token)


@pytest.fixture
def browser(asked: Ask, web_store: WebStore, token: str) -> TestClient:
    """A browser that logged in by a link, with the session's cookie."""
    client = asked()
    assert client.get(f"/login/once?code={make_link(web_store, 'tester')}").status_code == 303
    assert token
    return client


@pytest.fixture
def served(app: FastAPI) -> Iterator[str]:
    """The app on a port of the loopback; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
