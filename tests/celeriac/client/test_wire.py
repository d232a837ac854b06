"""What a laptop is told when what answers is no service, or only half of one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from celeriac.client.remote.logins import in_the_clear
from celeriac.client.remote.wire import Wire
from celeriac.domain.errors import CallerError, SettingInvalid, StoreUnavailable, TokenInvalid, TryAgain

#: What `CELERIAC_URL=http://host/studies` comes to.
UNDER_A_PAGE = b'{"type":"urn:celeriac:unknown-study","detail":"no study is named \'api/v1/me\'"}'
BUSY = b'{"type":"urn:celeriac:being-done","detail":"the same request is being done: ask again"}'


@contextmanager
def answering(status: int, body: bytes = b"", **headers: str) -> Iterator[str]:
    """The address of a server that answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            told = {
                "Content-Length": str(len(body)),
                **{name.replace("_", "-"): each for name, each in headers.items()},
            }
            for name, value in told.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "location", "kind", "says"),
    [
        (308, b"", "https://tuning.example/api/v1/me", SettingInvalid, "set CELERIAC_URL to that, and log in there"),
        (302, b"", "https://sso.example/?to=x", SettingInvalid, "to https://sso.example/.*, which is no API"),
        (302, b"", "/login", SettingInvalid, "/login, which is no API"),
        (200, b"<html>welcome</html>", "", CallerError, "no JSON: is it no Celeriac service"),
        (404, b'{"type":"urn:celeriac:404","detail":"Not Found"}', "", CallerError, "knows no /api/v1/me: is it older"),
        (404, UNDER_A_PAGE, "", CallerError, "its address is the board's first page"),
        (404, b"<html>", "", StoreUnavailable, "answered 404: is it no Celeriac"),
        (502, b"Bad Gateway", "", StoreUnavailable, "answered 502"),
        (409, BUSY, "", TryAgain, "is being done"),
    ],
)
def test_an_answer_that_is_no_services_names_the_next_step(
    status: int, body: bytes, location: str, kind: type[Exception], says: str
) -> None:
    with answering(status, body, **({"Location": location} if location else {})) as url:
        with pytest.raises(kind, match=says) as caught:
            Wire(url, "clr_secret").get("me")
        assert "clr_secret" not in str(caught.value)


def test_a_file_that_broke_off_is_not_kept(tmp_path: Path) -> None:
    """The library takes a connection that is lost for the file's end."""
    to = tmp_path / "model"
    to.write_bytes(b"the one before")
    with answering(200, b"half", Content_Length="8") as url, pytest.raises(StoreUnavailable, match="4 of 8 bytes"):
        Wire(url, "clr_x").file(to, "studies", "digits", "model")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("model", b"the one before")]
    with answering(200, b"whole") as url:
        assert Wire(url, "clr_x").file(to, "studies", "digits", "model") == 5
    assert to.read_bytes() == b"whole"


@pytest.mark.parametrize("token", ["“clr_x”", "clr_x\nclr_y", "clr_x clr_y"])
def test_what_cannot_be_a_token_is_not_sent(token: str) -> None:
    with pytest.raises(TokenInvalid, match="one word that begins with clr_"):
        Wire("http://127.0.0.1:1", token)


def test_a_token_in_the_clear_is_one_that_leaves_this_machine_without_tls() -> None:
    said = {
        url: in_the_clear(url) for url in ("http://hub:8420", "https://hub", "http://127.0.0.1:8420", "http://[::1]")
    }
    assert said == {
        "http://hub:8420": True,
        "https://hub": False,
        "http://127.0.0.1:8420": False,
        "http://[::1]": False,
    }
