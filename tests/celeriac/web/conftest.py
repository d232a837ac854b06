"""The app over the run's own Postgres, asked in this process; and the same served on a port, for who needs one."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from celeriac.cli.main import main
from celeriac.client import Client
from celeriac.domain.records import Scope
from celeriac.runtime.settings import Settings
from celeriac.store import WebStore, open_web_store
from celeriac.store.tokens import make_link, make_token
from celeriac.web.app import create_app
from tests.celeriac.cli.played import CODE, STUDY_FILE
from tests.celeriac.web.document import Document

Ask = Callable[..., TestClient]
Run = Callable[..., tuple[int, str, str]]


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
def document(app: FastAPI) -> Document:
    """What the app says of its API."""
    return Document(app.openapi())


@pytest.fixture
def asked(app: FastAPI, document: Document) -> Iterator[Ask]:
    """`asked(token)`: a client of the app with that token; without one a stranger. Each answer is held to the document
    of the API.
    """
    opened: list[TestClient] = []

    def ask(token: str = "") -> TestClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        opened.append(TestClient(app, headers=headers, follow_redirects=False, raise_server_exceptions=False))
        opened[-1].event_hooks = {"response": [document.check]}
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


@pytest.fixture
def local(app: object, settings: Settings, web_store: WebStore) -> Client:
    """The client beside the service, which plays its coordinator and its workers."""
    assert app
    return Client(settings, store=web_store)


@pytest.fixture
def laptop(served: str, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A laptop: it knows the address and the token, and has the study's file."""
    for name in ("DATABASE_URL", "BROKER_URL"):
        monkeypatch.delenv(f"CELERIAC_{name}", raising=False)
    monkeypatch.setenv("CELERIAC_HOME", str(tmp_path / "laptop"))
    monkeypatch.setenv("CELERIAC_CODE_ROOT", str(tmp_path))
    monkeypatch.setenv("CELERIAC_URL", served)
    monkeypatch.setenv("CELERIAC_TOKEN", token)
    (tmp_path / "study.yaml").write_text(STUDY_FILE)
    return served


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command; its exit code and what it printed."""

    def ran(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["celeriac", *words])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return ran
