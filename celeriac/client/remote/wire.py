"""One request to the API and its answer, or our error. Standard library only: a laptop needs nothing beside Celeriac.

A write carries a key of its own, so that it may be sent once more when its answer was lost, and is done once.
"""

import http.client
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

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
        """Write a path's file; its size."""
        size = 0
        with self._opened(self._request("GET", path, given, None)) as answer, to.open("wb") as file:
            while part := answer.read(1 << 20):
                size += file.write(part)
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
                    return json.loads(answer.read())
            except StoreUnavailable:
                if not left:
                    raise
            except _LOST as error:  # while it was read
                if not left:
                    raise self._away(error) from error
        raise AssertionError("not reached")

    def _opened(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT_S)
        except urllib.error.HTTPError as error:
            raise self._told(error) from None
        except _LOST as error:
            raise self._away(error) from error
        return answer

    def _away(self, error: Exception) -> StoreUnavailable:
        reason = getattr(error, "reason", error)
        return StoreUnavailable(
            f"the service at {self.url} does not answer ({reason}): is it up? the call may be repeated"
        )

    def _told(self, error: urllib.error.HTTPError) -> CeleriacError:
        """Our error for a problem of the API's."""
        try:
            problem = json.loads(error.read())
            kind, detail = str(problem["type"]).removeprefix("urn:celeriac:"), str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            return StoreUnavailable(f"{self.url} answered {error.code}: is it a Celeriac service?")
        if error.code == 401:
            return TokenInvalid(
                f"the service at {self.url} does not take this token: `celeriac login {self.url}`, or CELERIAC_TOKEN"
            )
        if error.code in (429, 503):
            return StoreUnavailable(detail) if error.code == 503 else TryAgain(detail)
        if kind in ("spec-invalid", "space-invalid"):
            return SpecInvalid(problem.get("errors") or detail)
        if kind == "duplicate-study":
            return DuplicateStudy(detail, difference=problem.get("difference") or [])
        named = getattr(errors, "".join(each.title() for each in kind.split("-")), None)
        if isinstance(named, type) and issubclass(named, CallerError | TryAgain):
            return named(detail)
        return CallerError(detail)
