"""Is a worker dead when its lease ran out? Only if the database answered for one whole lease, and the worker was
silent all the same.

A database that was stopped, cut off or replaced by its standby finds every lease lapsed although every worker is
healthy. It cannot know how long it was silent, because its clock and its start time may be wrong. But the reaper
looks once a tick, and each look is stored. When two looks are further apart than ticks are, there is a gap: then
every lease gets a whole lease's time from the later look on.

A short silence between two looks is no gap. So a lease must also have lapsed before the last look but one: its
worker then had a whole tick, in which the database answered, to renew it.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from celeriac.domain.records import OpenAttempt, ReaperLook

#: A tick may be late or lost; a second may pass in a queue.
_TICKS = 2.0
_LATE_S = 1.0


def look_again(last: ReaperLook | None, now: datetime, *, tick_s: float) -> ReaperLook:
    """The reaper's look at `now`, by the database's clock; the last one itself when that is less than half a tick old.

    Two reapers, or two ticks that come at once, are one look: they tell nothing about the time between.
    """
    if last is None or now < last.looked_at:  # its first, or the clock of another server
        return ReaperLook(now, now, now)
    since_s = (now - last.looked_at).total_seconds()
    if since_s < tick_s / 2:
        return last
    if since_s > _TICKS * tick_s + _LATE_S:
        return ReaperLook(now, now, now)
    return replace(last, looked_at=now, before_at=last.looked_at)


def is_lost(attempt: OpenAttempt, look: ReaperLook) -> bool:
    """Whether the attempt, whose lease has run out, is given to others."""
    had_its_lease = look.seen_since + timedelta(seconds=attempt.lease_s) <= look.looked_at
    return had_its_lease and attempt.lease_until <= look.before_at
