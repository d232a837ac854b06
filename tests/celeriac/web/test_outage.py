"""Postgres is really away: a page and the API say so and what to do, nothing that is secret, and are back with it."""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from celeriac.client import Client
from celeriac.domain.records import Scope
from celeriac.local.postgres import Postgres
from celeriac.runtime.settings import Settings
from celeriac.store import open_web_store
from celeriac.store.migrate import migrate
from celeriac.store.tokens import make_link, make_token
from celeriac.web.app import create_app
from celeriac.web.auth.guard import HEADERS

PASSWORD = "kept-from-all"
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A Postgres of this module's own, which its tests may stop."""
    home = tmp_path_factory.mktemp("pg")
    made = Postgres(home / "postgres", home / "run", durable=False)
    made.init()
    start(made)
    migrate(made.dsn)
    yield made
    made.child.stop(20.0)


def start(server: Postgres) -> None:
    os.close(server.child.start())
    server.child.wait_ready()


@pytest.fixture
def away(
    server: Postgres, settings: Settings, caplog: pytest.LogCaptureFixture
) -> Iterator[tuple[TestClient, TestClient]]:
    """A browser that is logged in and a program with a token, whose Postgres is gone."""
    url = server.dsn.replace("celeriac@", f"celeriac:{PASSWORD}@", 1)
    store = open_web_store(url, pool_size=2)
    with Client(replace(settings, database_url=url), store=store) as client:
        app = create_app(replace(settings, database_url=url), client, store)
        browser, program = (TestClient(app, follow_redirects=False, raise_server_exceptions=False) for _ in range(2))
        program.headers["Authorization"] = f"Bearer {make_token(store, f'bot{os.urandom(4).hex()}', tuple(Scope))}"
        [token, *_] = [each.name for each in store.tokens()]
        assert browser.get(f"/login/once?code={make_link(store, token)}").status_code == 303
        assert browser.get("/", headers=PAGE).status_code == 200
        server.child.stop(20.0)
        caplog.set_level(logging.WARNING)
        yield browser, program
        if not server.child.pid:
            start(server)
        assert browser.get("/", headers=PAGE).status_code == 200, "it is back by itself"
    store.close()


def secrets(server: Postgres) -> list[str]:
    """What no answer may hold: the password, where Postgres is, and the inside of our program."""
    places = [str(server.socket_dir), str(server.data_dir), str(Path(__file__).parents[3])]
    return [PASSWORD, *places, "postgresql", "psycopg", "sqlalchemy", "Traceback", ".py", "PGSQL", "clr_"]


def test_it_says_what_is_away_and_what_to_do_and_nothing_that_is_secret(
    server: Postgres, away: tuple[TestClient, TestClient], caplog: pytest.LogCaptureFixture
) -> None:
    browser, program = away
    pages = [
        browser.get(path, headers=PAGE) for path in ("/", "/studies/x", "/fleet", "/index.json", "/flower/", "/no")
    ]
    pages += [browser.post("/login", data={"token": "clr_wrong"}, headers=PAGE)]
    problems = [program.get(path) for path in ("/api/v1/studies", "/api/v1/events", "/studies.json", "/metrics")]
    problems += [program.post("/api/v1/studies", json={"yaml": "study: x"}, headers={"Idempotency-Key": "one"})]
    for kind, answers in (("text/html; charset=utf-8", pages), ("application/problem+json", problems)):
        for each in answers:
            assert (each.status_code, each.headers["content-type"]) == (503, kind), each.url
            assert "Postgres does not answer" in each.text
            assert "celeriac doctor" in each.text
            assert each.headers["retry-after"] == "2"
            assert HEADERS.items() <= {name.title(): said for name, said in each.headers.items()}.items(), each.url
            told = each.text + str(each.headers)
            assert [word for word in secrets(server) if word in told] == [], each.url
    assert 'href="">Try again' in pages[0].text
    [number] = re.findall(r"under ([0-9a-f]{8})", pages[0].text)
    assert f"{number} StoreUnavailable" in caplog.text, "who keeps the service finds it by its number"
    assert PASSWORD not in caplog.text


def test_what_needs_no_postgres_goes_on(away: tuple[TestClient, TestClient]) -> None:
    browser, _ = away
    assert browser.get("/healthz").text == "ok\n"
    assert "Log in" in browser.get("/login", headers=PAGE).text
    assert browser.get("/static/board.css").status_code == 200
