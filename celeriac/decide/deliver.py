"""What a hook is told, how its request is signed, and when it is tried again."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from celeriac.domain.records import Publication

FIRST_WAIT_S, LONGEST_WAIT_S = 10.0, 3600.0


def wait_s(tries: int) -> float:
    """How long to wait after so many tries: twice as long each time, an hour at most. It is never given up."""
    return float(min(FIRST_WAIT_S * 2.0 ** min(max(tries - 1, 0), 30), LONGEST_WAIT_S))


def hook_payload(record: Publication, *, address: str, current: int | None) -> dict[str, Any]:
    """What a hook is told of its promotion: which one it is, where it lies, and whether it is current."""
    return {
        "promotion": record.version,
        "is_current": current == record.version,
        "schedule": record.schedule,
        "slice": dict(record.slice),
        "kind": record.more.get("kind", ""),
        "who": record.more.get("who", ""),
        "before": record.more.get("before"),
        "study": record.study,
        "trial": record.trial,
        "params": dict(record.params),
        "score": record.score,
        "metrics": dict(record.metrics),
        "reason": record.reason,
        "decided_at": None if record.decided_at is None else record.decided_at.isoformat(),
        "code": record.code,
        "has_model": record.model is not None,
        "published_at": address,
    }


def headers(key: str, body: bytes, *, secret: str, now_s: int) -> Mapping[str, str]:
    """The headers of a request: the idempotency key, alike in every try, and, with a secret, the
    signature: the hex HMAC-SHA256 of `<timestamp>.<body>`.
    """
    plain = {"Content-Type": "application/json", "Idempotency-Key": key, "X-Celeriac-Timestamp": str(now_s)}
    if not secret:
        return plain
    digest = hmac.new(secret.encode(), f"{now_s}.".encode() + body, hashlib.sha256).hexdigest()
    return {**plain, "X-Celeriac-Signature": f"sha256={digest}"}
