"""Pages of a list: a cursor that means nothing to its reader, and how many rows at most."""

import base64
import binascii
import json
import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import Query
from starlette.responses import Response

from celeriac.web.answers import answer
from celeriac.web.problems import Refused

MOST = 500
Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.")]
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


def whole(found: Sequence[Any], limit: int, cursor: Callable[[Any], str]) -> Response:
    """A page of what was `found`, one more than `limit` where there is more."""
    shown = found[:limit]
    return answer({"items": shown, "next": cursor(shown[-1]) if len(found) > limit else None})
