"""Runs a schedule's hook after a promotion. Rules: it is cut when its time is over, whatever it does; what goes wrong
is an error in words; every try has the same idempotency key.
"""

import http.client
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from celeriac.decide.deliver import headers
from celeriac.domain.hooks import Hook
from celeriac.domain.study_file import slice_name
from coordinator.outbox.local_addresses import refuse_local_peer
from coordinator.outbox.outside import NotDelivered

_SHOWN_BYTES = 500


def run_hook(hook: Hook, payload: Mapping[str, Any], *, secret: str, environment: Mapping[str, str], cwd: str) -> str:
    """Run a hook; one line on what came of it. Raises NotDelivered."""
    body = json.dumps(payload, default=str).encode()
    if hook.command:
        return _run(hook, body, {**environment, **_variables(payload)}, cwd)
    return post(hook, body, str(payload["promotion"]), secret)


def post(hook: Hook, body: bytes, key: str, secret: str, *, may_be_local: bool = True) -> str:
    """Send JSON to a hook's address with an idempotency key; one line on what came of it. Raises NotDelivered, also for
    an address of this host or its link, unless it may be one.
    """
    # Behind a proxy it is the proxy that connects: the name was looked at, and the rest is the proxy's to refuse.
    opener = _OPENER if may_be_local or urllib.request.getproxies() else _OUTSIDE
    return _in_time(lambda: _request(hook, body, key, secret, opener), hook)


def _variables(payload: Mapping[str, Any]) -> dict[str, str]:
    """What a command finds in its environment; all of it comes as JSON on its standard input."""
    return {
        "CELERIAC_PROMOTION": str(payload["promotion"]),
        "CELERIAC_SCHEDULE": str(payload["schedule"]),
        "CELERIAC_SLICE": slice_name(payload["slice"]),
        "CELERIAC_PUBLISHED_AT": str(payload["published_at"]),
    }


def _run(hook: Hook, body: bytes, environment: Mapping[str, str], cwd: str) -> str:
    """The command in a session of its own, so that all it started is ended with it."""
    name = hook.command[0]
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
        given.write(body)
        given.seek(0)
        try:
            process = subprocess.Popen(
                hook.command,
                stdin=given,
                stdout=printed,
                stderr=printed,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise NotDelivered(f"{name} cannot be started in {cwd}: {error.strerror or error}") from error
        try:
            status = process.wait(hook.timeout_s)
        except subprocess.TimeoutExpired:
            raise NotDelivered(f"{name} was ended after {hook.timeout_s:g} s{_end_of(printed)}") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if status:
            how = f"killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
            raise NotDelivered(f"{name} {how}{_end_of(printed)}")
        return f"{name} ran"


def _end_of(printed: BinaryIO) -> str:
    """What a command printed last."""
    size = printed.seek(0, os.SEEK_END)
    printed.seek(max(size - _SHOWN_BYTES, 0))
    text = " ".join(printed.read().decode(errors="replace").split())
    return f": {text}" if text else ""


def _request(hook: Hook, body: bytes, key: str, secret: str, opener: urllib.request.OpenerDirector) -> str:
    signed = headers(key, body, secret=secret, now_s=int(time.time()))
    request = urllib.request.Request(hook.url, data=body, headers=dict(signed), method="POST")  # noqa: S310 (http alone)
    try:
        with opener.open(request, timeout=hook.timeout_s) as answer:
            return f"{hook.url} answered {answer.status}"
    except urllib.error.HTTPError as error:
        with error:
            said = " ".join(error.read(_SHOWN_BYTES).decode(errors="replace").split())
        raise NotDelivered(f"{hook.url} answered {error.code}{f': {said}' if said else ''}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotDelivered(f"{hook.url} cannot be asked: {getattr(error, 'reason', None) or error}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A signed body goes where the schedule says, and nowhere else: a redirect is an answer that is no success."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _Http(http.client.HTTPConnection):
    """Sends nothing to a local address, whatever its name stood for a moment ago."""

    def connect(self) -> None:
        super().connect()
        refuse_local_peer(self.sock)


class _Https(http.client.HTTPSConnection):
    """The same over TLS."""

    def connect(self) -> None:
        super().connect()
        refuse_local_peer(self.sock)


class _OutsideHttp(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Http, req)


class _OutsideHttps(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Https, req)


_OPENER = urllib.request.build_opener(_NoRedirect)
_OUTSIDE = urllib.request.build_opener(_NoRedirect, _OutsideHttp, _OutsideHttps)


def _in_time(ask: Callable[[], str], hook: Hook) -> str:
    """What `ask` returns or raises; an answer that drips for ever is not waited for."""
    found: list[str | NotDelivered] = []

    def work() -> None:
        try:
            found.append(ask())
        except NotDelivered as error:
            found.append(error)

    thread = threading.Thread(target=work, name="hook", daemon=True)
    thread.start()
    thread.join(hook.timeout_s + 1.0)
    if not found:
        raise NotDelivered(f"{hook.url} did not answer within {hook.timeout_s:g} s")
    if isinstance(found[0], NotDelivered):
        raise found[0]
    return found[0]
