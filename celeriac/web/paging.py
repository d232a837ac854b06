"""Pages of a list: a cursor that means nothing to its reader, and how many rows at most."""

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Query

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
    if not fits or any(type(each) is not kind for each, kind in zip(place, kinds, strict=True)):
        raise Refused(422, "cursor: not one of this list: take `next` of the page before", kind="cursor-invalid")
    return list(place)
