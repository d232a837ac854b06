"""Is it time to throw away what the policy lets go? Once a day, at a time of the day, or as soon as may be after it."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta


@dataclass(frozen=True, slots=True)
class RetentionDecision:
    """Whether to begin now, and why, or why not."""

    due: bool
    reason: str


def retention_due(now: datetime, last_ago_s: float | None, at: time) -> RetentionDecision:
    """Decide. `last_ago_s`: seconds since it was last begun, None: never; `at`: the time of the day, UTC."""
    latest = datetime.combine(now.date(), at, now.tzinfo)
    if latest > now:
        latest -= timedelta(days=1)
    if last_ago_s is None:
        return RetentionDecision(True, "it was never done")
    last = now - timedelta(seconds=last_ago_s)
    if last < latest:
        return RetentionDecision(True, f"it was last begun at {last:%Y-%m-%d %H:%M} UTC, before {latest:%H:%M}")
    return RetentionDecision(False, f"it was begun at {last:%Y-%m-%d %H:%M} UTC")
