"""How the API answers: JSON of records, with a tag by which a reader asks again for what has changed only; and the same
answer to the same write, when it comes with an idempotency key.
"""

import hashlib
import json
from typing import Any

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celeriac.report.plain import plain
from celeriac.store import WebStore
from celeriac.web.body import body_again
from celeriac.web.problems import problem

API = "/api/"
KEY_HEADER = "idempotency-key"
_MOST_KEY = 200
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_JSON = ("application/json", "application/problem+json")


def answer(value: Any, status: int = 200) -> Response:
    """A record, or anything made of records, as JSON."""
    return as_json(written(value), status)


def written(value: Any) -> bytes:
    """A record, or anything made of records, as the bytes of JSON."""
    text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode(errors="replace")


def as_json(body: bytes, status: int = 200) -> Response:
    """JSON that is written already."""
    return Response(body, status, media_type="application/json")


class Answers:
    """The middleware behind the guard: tags of reads, and repeats of writes."""

    def __init__(self, app: ASGIApp, state: FastAPI) -> None:
        self._app, self._state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] != "http" or not scope["path"].startswith(API):
            await self._app(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, _Tagging(send, Headers(scope=scope).get("if-none-match", "")))
        elif scope["method"] in _WRITES and KEY_HEADER in (headers := Headers(scope=scope)):
            await self._once(headers[KEY_HEADER], Request(scope, receive), receive, send)
        else:
            await self._app(scope, receive, send)

    async def _once(self, key: str, request: Request, receive: Receive, send: Send) -> None:
        if not 1 <= len(key) <= _MOST_KEY or not key.isprintable():
            refused = problem(422, f"Idempotency-Key: must be of 1 to {_MOST_KEY} printable characters")
            return await refused(request.scope, receive, send)
        store: WebStore = self._state.state.store
        body = await request.body()
        token, asked = request.state.principal.name, _hash_of(request, body)
        known = await run_in_threadpool(store.begin_request, token, key, asked)
        if known is not None:
            return await _repeated(known.asked == asked, known.status, known.answer)(request.scope, receive, send)
        kept = _Keeping(send)
        done = False
        try:
            await self._app(request.scope, body_again(body, receive), kept)
            done = kept.status < 500
        finally:
            if done:
                await run_in_threadpool(store.end_request, token, key, kept.status, kept.answer)
            else:
                await run_in_threadpool(store.forget_request, token, key)
        return None


def _repeated(same: bool, status: int | None, kept: bytes | None) -> Response:
    if not same:
        return problem(422, "Idempotency-Key: it was used for another request; take a new one", kind="key-reused")
    if status is None:
        doing = "the same request is being done: ask again in a moment, with the same key"
        return problem(409, doing, kind="being-done", headers={"Retry-After": "1"})
    kind, _, body = (kept or b"").partition(b"\n")
    return Response(body, status, {"Idempotent-Replay": "true"}, media_type=kind.decode())


def _hash_of(request: Request, body: bytes) -> str:
    what = "\n".join((request.method, request.url.path, request.url.query, request.headers.get("content-type", "")))
    return hashlib.sha256(what.encode() + b"\n" + body).hexdigest()


class _Keeping:
    """Sends an answer on and keeps it: its kind, a line end, its body."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 500
        self._kind, self._parts = "application/json", [b""]

    @property
    def answer(self) -> bytes:
        return self._kind.encode() + b"\n" + b"".join(self._parts)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._kind = message["status"], Headers(raw=message["headers"]).get("content-type", "")
        else:
            self._parts.append(message.get("body", b""))
        await self._send(message)


class _Tagging:
    """Gives a whole JSON answer its tag; says 304 to who has it. Streams and files pass as they are."""

    def __init__(self, send: Send, known: str) -> None:
        self._send = send
        self._known = {each.strip().removeprefix("W/") for each in known.split(",")}
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            kind = Headers(raw=message["headers"]).get("content-type", "")
            if message["status"] != 200 or not kind.startswith(_JSON):
                return await self._send(message)
            self._start = message
            return None
        if self._start is None:
            return await self._send(message)
        start, self._start = self._start, None
        if message.get("more_body"):
            await self._send(start)
            return await self._send(message)
        tag = f'"{hashlib.sha256(message.get("body", b"")).hexdigest()[:32]}"'
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["ETag"] = tag
        if tag in self._known or "*" in self._known:
            del headers["content-length"]
            await self._send({**start, "status": 304, "headers": headers.raw})
            return await self._send({"type": "http.response.body", "body": b""})
        await self._send({**start, "headers": headers.raw})
        return await self._send(message)
