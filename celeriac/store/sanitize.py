"""What a store makes of values before it keeps them.

Rule: whatever a user's program printed, raised or reported can be stored. Postgres refuses the character NUL and lone
surrogates in text, and NaN in JSON; so these are replaced here, once, and never stop a result from being written down.
"""

import hashlib
import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from celeriac.store.api import AttemptEnd


def new_token(key: str) -> str:
    """A lease's token: a random half that says nothing, and one that only who has `key` can tell from it.

    So a host whose programs died can be told which leases were its own, and nobody else can. `phrases.sql`
    compares the same.
    """
    half = secrets.token_hex(16)
    return f"{half}.{hashlib.sha256(f'{key}{half}'.encode()).hexdigest()[:32]}"


def plain_text(text: str) -> str:
    """`text` without what Postgres refuses: NUL and lone surrogates become the replacement character."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def plain_json(value: Any) -> Any:
    """`value` as JSON gives it back: lists for tuples, text for keys; NaN and infinities become the words for them.

    Raises TypeError for what JSON cannot hold.
    """
    if isinstance(value, str):
        return plain_text(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {plain_text(str(key)): plain_json(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(each) for each in value]
    raise TypeError(f"{type(value).__name__} is not a JSON value: {value!r}")


def json_text(value: Any) -> str:
    """The JSON text of a value, ready for Postgres."""
    return json.dumps(plain_json(value), ensure_ascii=False, allow_nan=False)


def digest(end: AttemptEnd) -> str:
    """What tells two ends apart, so that a repeated `finish_attempt` is known as such."""
    content = json.dumps(plain_json(asdict(end)), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def late_evidence(end: AttemptEnd) -> dict[str, Any]:
    """What is kept of a result that came after the lease was gone. The log is not: its tail is another attempt's by
    now.
    """
    kept = asdict(end)
    del kept["log_tail"]
    return {key: plain_json(value) for key, value in kept.items() if value not in (None, "", {}, 0, ())}


def bound(value: Any) -> Any:
    """A value as a statement takes it: a mapping or a tuple as JSON, a list as it is, for it becomes an array."""
    if isinstance(value, str):
        return plain_text(value)
    return json_text(value) if isinstance(value, (Mapping, tuple)) else value
