"""Flower behind the board's login: who may, what passes, and what Flower never gets to see."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fastapi import FastAPI

from celeriac.domain.records import Scope
from celeriac.store import WebStore
from celeriac.store.tokens import make_link, make_token
from celeriac.web.flower import policy
from tests.celeriac.web.conftest import Ask

PAGE = b'<html><script type="text/javascript">\n  var autorefresh = 1;\n</script>tasks</html>'


class Stand(BaseHTTPRequestHandler):
    """What stands for Flower; keeps what it was asked."""

    asked: list[tuple[str, str, dict[str, str]]]
    status = 200

    def do_GET(self) -> None:
        """Answer a page."""
        self.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html; charset=UTF-8")
        self.send_header("Set-Cookie", "flower=1")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def do_POST(self) -> None:
        """The same: whether it was asked is what counts."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def stand(app: FastAPI) -> Iterator[type[Stand]]:
    """A Flower that the board knows."""
    kind = type("Kept", (Stand,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    app.state.settings = replace(app.state.settings, flower_url=address, flower_user="ops", flower_password="own")
    yield kind
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_is_handed_on_to_who_may_operate(asked: Ask, web_store: WebStore, stand: type[Stand]) -> None:
    make_token(web_store, "ada", (Scope.READ, Scope.OPERATE))
    browser = asked()
    assert browser.get(f"/login/once?code={make_link(web_store, 'ada')}").status_code == 303
    found = browser.get("/flower/tasks?limit=3&x=%2F", headers={"Accept": "text/html", "X-Evil": "1"})
    assert (found.status_code, found.content) == (200, PAGE)
    assert "set-cookie" not in found.headers
    [(method, path, headers)] = stand.asked
    assert (method, path) == ("GET", "/flower/tasks?limit=3&x=%2F")
    assert headers["authorization"] == "Basic b3BzOm93bg==", "its own login"
    assert "cookie" not in headers
    assert "x-evil" not in headers
    assert browser.get("/flower").headers["location"] == "/flower/"


def test_nobody_else_gets_to_it_and_nothing_is_written(asked: Ask, web_store: WebStore, stand: type[Stand]) -> None:
    reader = make_token(web_store, "eve", (Scope.READ, Scope.SUBMIT))
    operator = make_token(web_store, "ada", (Scope.OPERATE,))
    for path in ("/flower", "/flower/", "/flower/api/tasks", "/flower/static/css/flower.css", "/flower/../flower/"):
        assert asked().get(path).status_code == 401, path
        assert asked().get(path, headers={"Accept": "text/html"}).headers["location"].startswith("/login")
        assert asked(reader).get(path).status_code == 403, path
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert asked(operator).request(method, "/flower/api/task/revoke/1").status_code == 405
    assert stand.asked == []


def test_one_that_is_away_unknown_or_of_another_login_is_told_in_words(
    app: FastAPI, asked: Ask, web_store: WebStore, stand: type[Stand]
) -> None:
    operator = asked(make_token(web_store, "ada", (Scope.OPERATE,)))
    stand.status = 401
    refused = operator.get("/flower/")
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:celeriac:flower-away")
    assert "www-authenticate" not in refused.headers
    app.state.settings = replace(app.state.settings, flower_url="http://127.0.0.1:1")
    assert "does not answer (ConnectError)" in operator.get("/flower/").json()["detail"]
    app.state.settings = replace(app.state.settings, flower_url="")
    assert operator.get("/flower/").status_code == 404


def test_of_scripts_in_its_pages_only_its_own_runs() -> None:
    assert "'unsafe-inline'" not in policy(PAGE)
    assert "script-src 'self' 'sha256-" in policy(PAGE)
    evil = PAGE.replace(b"autorefresh = 1", b"autorefresh = alert(1)")
    assert "sha256" not in policy(evil)
