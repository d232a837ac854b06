"""A hook after a promotion: what it is told, that it is signed, and that it is cut when it hangs."""

import hashlib
import hmac
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from celeriac.decide.deliver import wait_s
from celeriac.domain.hooks import Hook
from coordinator.outbox.hook import run_hook
from coordinator.outbox.outside import NotDelivered

PAYLOAD: dict[str, Any] = {
    "promotion": 42,
    "schedule": "flights",
    "slice": {"airport": "JFK"},
    "published_at": "/artefacts/x",
}


def ran(hook: Hook, tmp_path: Path, *, secret: str = "") -> str:
    environment = {"PATH": os.environ["PATH"]}
    return run_hook(hook, PAYLOAD, secret=secret, environment=environment, cwd=str(tmp_path))


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "hook.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return "./hook.sh"


# -- commands
def test_a_command_is_told_which_promotion_it_is(tmp_path: Path) -> None:
    told = 'echo $CELERIAC_PROMOTION $CELERIAC_SCHEDULE $CELERIAC_SLICE $CELERIAC_PUBLISHED_AT "$1" > told; cat > body'
    assert ran(Hook(command=(script(tmp_path, told), "a b")), tmp_path) == "./hook.sh ran"
    assert (tmp_path / "told").read_text() == "42 flights airport=JFK /artefacts/x a b\n"
    assert json.loads((tmp_path / "body").read_text()) == PAYLOAD


def test_a_command_that_fails_is_told_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(NotDelivered, match=r"hook\.sh ended with exit code 3: no such model"):
        ran(Hook(command=(script(tmp_path, "echo no such model >&2; exit 3"),)), tmp_path)
    with pytest.raises(NotDelivered, match=r"nowhere cannot be started in .*: No such file"):
        ran(Hook(command=("nowhere",)), tmp_path)


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    hook = Hook(command=(script(tmp_path, "sleep 1000 & echo $! > child; echo waiting; wait"),), timeout_s=0.5)
    with pytest.raises(NotDelivered, match=r"hook\.sh was ended after 0\.5 s: waiting"):
        ran(hook, tmp_path)
    child = int((tmp_path / "child").read_text())
    with suppress(psutil.NoSuchProcess):  # killed, it may take a moment; nobody may reap it here
        deadline, killed = time.monotonic() + 10, psutil.Process(child)
        while killed.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "it lives on"


# -- requests
class Receiver(BaseHTTPRequestHandler):
    """Keeps what it was asked, and answers as it is told."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((dict(self.headers), body))  # type: ignore[attr-defined]
        status, end = self.server.answers.pop(0)  # type: ignore[attr-defined]
        if end is not None:
            end.wait(20)
            return
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"not today")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def receiver(*answers: tuple[int, threading.Event | None]) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.asked, server.answers = [], list(answers)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/promoted", server.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_request_has_the_promotion_as_its_key_and_is_signed(tmp_path: Path) -> None:
    with receiver((200, None), (204, None)) as (url, asked):
        assert ran(Hook(url=url), tmp_path, secret="s3cret") == f"{url} answered 200"
        assert ran(Hook(url=url), tmp_path) == f"{url} answered 204"
    (signed, body), (plain, _) = asked
    assert json.loads(body) == PAYLOAD
    assert signed["Idempotency-Key"] == plain["Idempotency-Key"] == "42"
    stamp = signed["X-Celeriac-Timestamp"]
    expected = hmac.new(b"s3cret", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert signed["X-Celeriac-Signature"] == f"sha256={expected}"
    assert "X-Celeriac-Signature" not in plain


@pytest.mark.parametrize("status", [302, 404, 500])
def test_any_answer_but_success_is_a_failure(tmp_path: Path, status: int) -> None:
    with receiver((status, None)) as (url, asked), pytest.raises(NotDelivered, match=f"answered {status}: not today"):
        ran(Hook(url=url), tmp_path)
    assert len(asked) == 1  # nor is it sent on to where a redirect points


def test_who_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    over, began = threading.Event(), time.monotonic()
    with receiver((200, over)) as (url, _):
        with pytest.raises(NotDelivered, match=r"cannot be asked: timed out|did not answer within"):
            ran(Hook(url=url, timeout_s=0.3), tmp_path)
        over.set()
    assert time.monotonic() - began < 10
    with pytest.raises(NotDelivered, match=r"cannot be asked: .*refused"):
        ran(Hook(url=url), tmp_path)


def test_waits_grow_to_an_hour() -> None:
    assert [wait_s(tries) for tries in (1, 2, 3, 9, 10, 1000)] == [10, 20, 40, 2560, 3600, 3600]
