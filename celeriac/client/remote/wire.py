"""One request to the API and its answer, or our error. Standard library only: a laptop needs nothing beside Celeriac.

A write carries a key of its own, so that it may be sent once more when its answer was lost, and is done once.
"""

import http.client
import json
import secrets
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from celeriac.domain import errors
from celeriac.domain.errors import (
    CallerError,
    CeleriacError,
    DuplicateStudy,
    SettingInvalid,
    SpecInvalid,
    StoreUnavailable,
    TokenInvalid,
    TryAgain,
)

TIMEOUT_S = 60.0
_TRIES = 2
_ELSEWHERE = frozenset({301, 302, 303, 307, 308})
_NOT_ONE = "no Celeriac service? its address is the board's first page, such as https://tuning.example"
_LOST = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token goes to the address that it was given for, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow nothing."""
        return


class Wire:
    """The API at an address, asked with a token."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingInvalid(f"CELERIAC_URL={url!r}: must be like http://host:8420 or https://host")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise TokenInvalid(f"the token for {url} is none: it is one word that begins with clr_")
        self.url, self._token = url.rstrip("/"), token
        self._opener = urllib.request.build_opener(_NoRedirects)

    def get(self, *path: object, **given: Any) -> Any:
        """What a path answers."""
        return self._asked("GET", path, given, None)

    def post(self, *path: object, **body: Any) -> Any:
        """What comes of a write."""
        return self._asked("POST", path, {}, body)

    def items(self, *path: object, limit: int = 500, **given: Any) -> Iterator[Any]:
        """Every item of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            page = self.get(*path, limit=limit, **given, **cursor)
            yield from page["items"]
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}

    def file(self, to: Path, *path: object, **given: Any) -> int:
        """Write a path's file; its size. What broke off is not kept, and leaves what was there before."""
        half = to.with_name(f".{to.name}.{secrets.token_hex(4)}")
        try:
            size = self._copied(half, self._request("GET", path, given, None))
            half.replace(to)
        finally:
            half.unlink(missing_ok=True)
        return size

    def _copied(self, to: Path, request: urllib.request.Request) -> int:
        size = 0
        try:
            with self._opened(request) as answer, to.open("wb") as file:
                told = answer.headers["Content-Length"]
                while part := answer.read(1 << 20):
                    size += file.write(part)
        except _LOST as error:
            raise self._away(error) from error
        if told is not None and size != int(told):  # the library takes a lost connection for the end
            raise self._away(f"it sent {size} of {told} bytes")
        return size

    def _request(
        self, method: str, path: tuple[object, ...], given: Mapping[str, Any], body: Mapping[str, Any] | None
    ) -> urllib.request.Request:
        where = "/".join(quote(str(each), safe="") for each in path)
        wanted = {name: each for name, each in given.items() if each is not None}
        query = f"?{urlencode(wanted, doseq=True)}" if wanted else ""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        data = None
        if body is not None:
            data = json.dumps({name: each for name, each in body.items() if each is not None}).encode()
            headers |= {"Content-Type": "application/json", "Idempotency-Key": secrets.token_urlsafe(16)}
        return urllib.request.Request(  # noqa: S310 - http or https, looked at above
            f"{self.url}/api/v1/{where}{query}", data, headers, method=method
        )

    def _asked(
        self, method: str, path: tuple[object, ...], given: Mapping[str, Any], body: Mapping[str, Any] | None
    ) -> Any:
        request = self._request(method, path, given, body)
        for left in reversed(range(_TRIES)):
            try:
                with self._opened(request) as answer:
                    return self._read(answer)
            except StoreUnavailable:
                if not left:
                    raise
            except _LOST as error:  # while it was read
                if not left:
                    raise self._away(error) from error
        raise AssertionError("not reached")

    def _read(self, answer: http.client.HTTPResponse) -> Any:
        body = answer.read()
        try:
            return json.loads(body)
        except ValueError:
            raise CallerError(f"{self.url} answered what is no JSON: is it {_NOT_ONE}") from None

    def _opened(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                raise self._told(error) from None
        except _LOST as error:
            raise self._away(error) from error
        return answer

    def _away(self, error: object) -> CeleriacError:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return SettingInvalid(
                f"the service at {self.url} does not prove who it is ({reason.verify_message}): name the authority that"
                " signed its certificate in SSL_CERT_FILE, or ask whoever keeps it"
            )
        return StoreUnavailable(
            f"the service at {self.url} does not answer ({reason}): is it up? the call may be repeated"
        )

    def _told(self, error: urllib.error.HTTPError) -> CeleriacError:
        """Our error for a problem of the API's."""
        if error.code in _ELSEWHERE:
            return SettingInvalid(self._redirected(urljoin(error.url, error.headers["Location"] or "")))
        try:
            problem = json.loads(error.read())
            kind, detail = str(problem["type"]).removeprefix("urn:celeriac:"), str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            return StoreUnavailable(f"{self.url} answered {error.code}: is it {_NOT_ONE}")
        if error.code == 401:
            return TokenInvalid(
                f"the service at {self.url} does not take this token: `celeriac login {self.url}`, or CELERIAC_TOKEN"
            )
        if error.code == 503:
            return StoreUnavailable(detail)
        if error.code == 429 or kind == "being-done":
            return TryAgain(detail)
        # No path of ours; or a page of the board, which takes the rest for a name.
        if error.code == 404 and (not kind.startswith("unknown-") or "'api/v1/" in detail):
            return CallerError(f"{self.url} knows no {urlsplit(error.url).path}: is it older than this, or {_NOT_ONE}")
        if kind in ("spec-invalid", "space-invalid"):
            return SpecInvalid(problem.get("errors") or detail)
        if kind == "duplicate-study":
            return DuplicateStudy(detail, difference=problem.get("difference") or [])
        named = getattr(errors, "".join(each.title() for each in kind.split("-")), None)
        if isinstance(named, type) and issubclass(named, CallerError | TryAgain):
            return named(detail)
        return CallerError(detail)

    def _redirected(self, to: str) -> str:
        """Why an answer that sends elsewhere is not followed, and where the service may be."""
        base = to.partition("/api/v1/")[0]
        if base != to and base != self.url:
            return f"the service at {self.url} sends its callers to {base}: set CELERIAC_URL to that, and log in there"
        return f"{self.url} sends its callers to {to or 'nowhere'}, which is no API: is it {_NOT_ONE}"
