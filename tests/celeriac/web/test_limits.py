"""What one asker may take of the service, bytes, connections, streams and programs: nobody keeps the others out."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from celeriac.client import Client, coordinator
from celeriac.domain.records import Scope
from celeriac.runtime.settings import Settings
from celeriac.store import WebStore
from celeriac.store.tokens import make_token
from celeriac.web import connection, events
from celeriac.web.auth.guard import OPEN_BYTES
from celeriac.web.server import make_server
from tests.celeriac.cli.played import SPEC, STUDY_FILE, played
from tests.celeriac.web.conftest import Ask

V1 = "/api/v1"
WITHIN_S = 20.0


@pytest.fixture
def port(settings: Settings, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The program's own server, which looks after its connections every half second."""
    monkeypatch.setattr(connection, "HEAD_S", 0.5)
    listening = socket.create_server(("127.0.0.1", 0))
    server = make_server(replace(settings, web_port=0), app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(timeout=10)


@contextmanager
def opened(port: int) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)) as found:
        yield found


def said(wire: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    while part := wire.recv(4096):
        found += part
    return found


def test_a_strangers_body_is_not_waited_for(port: int) -> None:
    with opened(port) as wire:
        wire.sendall(b"POST /api/v1/studies HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n{")
        assert wire.recv(4096).startswith(b"HTTP/1.1 401 ")
        assert said(wire) is not None, "and what it owes is not waited for either: the connection is closed"


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"])
def test_a_connection_that_asks_nothing_more_is_closed(port: int, first: bytes) -> None:
    """Whether it is silent or sends a letter of a head now and then."""
    with opened(port) as silent:
        silent.sendall(first)
        assert (b"200 OK" in said(silent)) == bool(first)
    with opened(port) as slow:
        slow.sendall(first + b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        closed = threading.Event()

        def drip() -> None:
            while not closed.wait(0.1):
                try:
                    slow.sendall(b"x")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        with suppress(ConnectionResetError):  # its last letter came too late
            said(slow)
        closed.set()
        dripping.join(timeout=WITHIN_S)


def test_a_stream_outlives_the_looks_at_its_connection(port: int, app: FastAPI, token: str) -> None:
    client: Client = app.state.client
    study = client.submit(SPEC)
    url, headers = f"http://127.0.0.1:{port}{V1}/studies/digits/events", {"Authorization": f"Bearer {token}"}
    end = threading.Timer(4 * connection.HEAD_S, lambda: study.stop("enough"))
    end.start()
    with httpx.stream("GET", url, headers=headers, timeout=WITHIN_S) as stream:
        told = [json.loads(line[5:])["state"] for line in stream.iter_lines() if line.startswith("data:")]
    end.join()
    assert (told[0], told[-1]) == ("OPEN", "STOPPED")


def test_a_long_head_is_refused(port: int) -> None:
    with opened(port) as wire, suppress(ConnectionError):  # closed before all of it was sent
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\nX-Long: " + b"x" * 200_000 + b"\r\n\r\n")
        assert wire.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_login_is_short_and_no_header_opens_a_path(asked: Ask) -> None:
    stranger = asked()
    assert stranger.post("/login", data={"token": "x" * OPEN_BYTES}).status_code == 413
    for host in ("here/login?", "here/static/", "here/login#"):
        assert stranger.get(f"{V1}/openapi.json", headers={"Host": host}).status_code == 401, host


def test_one_token_leaves_room_for_the_others(
    served: str, token: str, web_store: WebStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_OF_ONE", 1)
    other = make_token(web_store, "other", (Scope.READ,))

    def stream(secret: str) -> AbstractContextManager[httpx.Response]:
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.stream("GET", f"{served}{V1}/events", headers=headers, timeout=WITHIN_S)

    with stream(token) as first:
        assert first.status_code == 200
        while True:  # the stream is counted from its first byte on
            with stream(token) as second:
                if second.status_code == 429:
                    break
        assert second.headers["retry-after"] == "30"
        with stream(other) as third:
            assert third.status_code == 200


def test_what_is_wrong_is_told_in_few_lines(api: TestClient, app: FastAPI) -> None:
    client: Client = app.state.client
    played(client, client.submit(SPEC), 0.5)
    answer = api.post(f"{V1}/studies/digits/retry", json={"trials": [-1] * 1000})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 51)
    many = api.post(f"{V1}/studies", json={"spec": {**SPEC, **{f"k{i}": 1 for i in range(5000)}}})
    assert (many.status_code, len(many.json()["errors"])) == (422, 51)
    wide = api.post(f"{V1}/studies/digits/points", json={"points": [{f"p{i}": 1 for i in range(50_000)}]})
    assert (wide.status_code, "200 at most" in wide.json()["detail"]) == (422, True)
    curves = api.get(f"{V1}/studies/digits/curves", params={"trial": list(range(200)), "points": 5000})
    assert (curves.status_code, "100,000 together at most" in curves.json()["detail"]) == (422, True)


def test_programs_are_started_for_two_at_once_and_for_who_may_submit(
    asked: Ask, api: TestClient, web_store: WebStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "_AT_ONCE", threading.Semaphore(0))
    monkeypatch.setattr(coordinator, "PATIENCE_S", 0.0)
    answer = api.post(f"{V1}/studies", json={"spec": SPEC, "dry_run": True, "points": 3})
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["type"]) == (503, "2", "urn:celeriac:busy")
    assert "ask again in a moment" in answer.json()["detail"]
    reader = asked(make_token(web_store, "reader", (Scope.READ,)))
    refused = reader.post("/submit/check", data={"text": STUDY_FILE})
    assert refused.status_code == 403
    assert "celeriac token create NAME --scope read,submit" in refused.json()["detail"]
