"""Pages of a list: a cursor that means nothing to its reader, and how many rows at most."""

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from celeriac.web.answers import as_json, written
from celeriac.web.problems import Refused

MOST = 500
#: A page ends where it would come to more bytes, whatever its limit: errors and specs may be long.
MOST_BYTES = 180_000
Limit = Annotated[
    int, Query(ge=1, le=MOST, description=f"How many at most; a page ends before {MOST_BYTES:,} bytes too.")
]
Cursor = Annotated[
    str | None, Query(max_length=400, description="`next` of the page before; without it the first page.")
]


def cursor_of(*place: Any) -> str:
    """The cursor that goes on after this place in the order."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def place_of(cursor: str | None, *kinds: type) -> list[Any] | None:
    """The place that a cursor names; None: the beginning. Raises Refused for one that is none of ours."""
    if cursor is None:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        place = None
    fits = isinstance(place, list) and len(place) == len(kinds)
    if not fits or not all(type(each) is kind and _holds(each) for each, kind in zip(place, kinds, strict=True)):
        raise not_ours()
    return list(place)


def _holds(value: object) -> bool:
    """Whether Postgres could hold it as a key."""
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 2**31


def not_ours() -> Refused:
    """The answer to a cursor that no list gave out."""
    return Refused(422, "cursor: not one of this list: take `next` of the page before", kind="cursor-invalid")


def whole(
    found: Iterable[Any], limit: int, cursor: Callable[[Any], str], *, form: Callable[[Any], Any] = lambda each: each
) -> Response:
    """A page of what was `found`, one more than `limit` where there is more; `form`: each as it is shown.

    It has one item at least, and else ends before `MOST_BYTES`. What is made one by one is made for the page alone.
    """
    parts: list[bytes] = []
    size, last, more = 0, None, None
    for each in found:
        part = written(form(each))
        size += len(part) + 1
        if len(parts) == limit or (parts and size > MOST_BYTES):
            more = cursor(last)
            break
        parts.append(part)
        last = each
    return as_json(b'{"items":[' + b",".join(parts) + b'],"next":' + written(more) + b"}")
