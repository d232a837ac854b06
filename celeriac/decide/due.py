"""What is to be done about a slice that is due? It fires, it waits, or its firing is passed over, with the reason.

After an outage `catch_up` says which of the missed firings are made: the latest, all one after the other, or none. A
firing that was begun, because other slices have theirs, is finished before that. A firing due in a blackout is not
made, one past its deadline neither; one that has become late waits for a blackout's end. `overlap` says what happens
while the slice's firing before is open.
"""

import json
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from celeriac.decide.calendar import SlicePlan
from celeriac.decide.cron import dues_after
from celeriac.domain.records import FiringOpen, SliceDue

MOST_COUNTED = 1000
#: A firing that is found later than this is a missed one: longer than a restart takes.
ON_TIME_S = 900.0


@dataclass(frozen=True, slots=True)
class DueDecision:
    """Fire for `fire_at` (None: nothing is fired) and be due next at `next_at`: as before where the slice waits.

    `skipped` firings are passed over. `cancels`: the id of an older firing that is to end first.
    """

    fire_at: datetime | None
    next_at: datetime
    skipped: int
    reason: str
    cancels: int | None = None


def in_turn(dues: Sequence[SliceDue]) -> list[SliceDue]:
    """The first due first; of those due together, another one first at each due time.

    Where slots are few, who is fired first begins first: in one fixed order the same slice would wait longest for ever.
    """

    def place(due: SliceDue) -> tuple[datetime, int]:
        told = f"{due.next_due_at.timestamp()} {json.dumps(dict(due.slice), sort_keys=True, default=str)}"
        return due.next_due_at, zlib.crc32(told.encode())

    return sorted(dues, key=place)


@dataclass(frozen=True, slots=True)
class _Target:
    """The due time to fire for, if any, and how many were passed over to find it."""

    at: datetime | None
    missed: int = 0
    dark: int = 0

    @property
    def skipped(self) -> int:
        return self.missed + self.dark


def due_slice(plan: SlicePlan, each: SliceDue, now: datetime, minded: Sequence[FiringOpen]) -> DueDecision:
    """What to do about a slice, by the firings of its schedule that were due or ended since its due time, or are open.

    Its firing was interrupted when the newest firing of the others is for the same time, unless it had to wait for one
    of its own.
    """
    at, own = each.next_due_at, [firing for firing in minded if firing.slice == each.slice]
    held = any(firing.due_at < at and (firing.ended_at is None or firing.ended_at > at) for firing in own)
    newest = max((firing.due_at for firing in minded), default=None)
    return due(
        plan,
        at,
        now,
        begun=newest == at and (plan.overlap == "allow" or not held),
        made=frozenset(firing.due_at for firing in own),
        running=next((firing for firing in reversed(own) if firing.is_open), None),
        freed_at=max((firing.ended_at for firing in own if firing.ended_at is not None), default=None),
    )


def due(
    plan: SlicePlan,
    at: datetime,
    now: datetime,
    *,
    begun: bool = False,
    made: Collection[datetime] = (),
    running: FiringOpen | None = None,
    freed_at: datetime | None = None,
) -> DueDecision:
    """What to do at `now` about a slice that is due at `at`.

    `begun`: other slices have their firing for `at`; `made`: the due times for which this one has; `running`: its
    newest firing that is still open; `freed_at`: when its newest that is not came to its end.
    """
    ready = now - timedelta(seconds=plan.offset_s)
    if at > ready:
        return DueDecision(None, at, 0, f"due at {at.isoformat()}, begins at {plan.begins_at(at).isoformat()}")
    if running is not None and plan.overlap == "queue" and running.due_at < at:
        return DueDecision(None, at, 0, f"waits until {running.name} has ended")
    target = _Target(at) if begun else _target(plan, at, ready, freed_at)
    if target.at is None:
        return DueDecision(None, plan.next_after(ready), target.skipped, _passed_over(plan, target))
    one_by_one = begun or plan.catch_up == "all"
    next_at = plan.next_after(target.at if one_by_one else max(ready, target.at))
    if target.at in made:
        return DueDecision(None, next_at, 0, "made already")
    late = plan.deadline_at(target.at)
    if late is not None and late <= now:
        told = f"the firing of {_told(plan, target.at)} was missed: its deadline {_told(plan, late)} was over"
        return DueDecision(None, next_at, target.skipped + 1, told)
    window = plan.blackout_at(now)
    if window is not None:
        return DueDecision(None, at, 0, f"waits for the end of the blackout {window.told()}")
    if running is not None and plan.overlap != "allow":
        return _overlapping(plan, at, next_at, target, running)
    return DueDecision(target.at, next_at, target.skipped, _due(plan, target, begun))


def _overlapping(plan: SlicePlan, at: datetime, next_at: datetime, target: _Target, running: FiringOpen) -> DueDecision:
    """The firing before is open."""
    if plan.overlap == "queue":
        return DueDecision(None, at, 0, f"waits until {running.name} has ended")
    if plan.overlap == "skip" or target.at is None:
        told = f"the firing of {_told(plan, target.at or at)} was skipped: {running.name} was still open"
        return DueDecision(None, next_at, target.skipped + 1, told)
    told = f"{_due(plan, target, False)}; {running.name} was still open and is ended"
    return DueDecision(target.at, next_at, target.skipped, told, cancels=running.firing_id)


def _due(plan: SlicePlan, target: _Target, begun: bool) -> str:
    if begun:
        return "due; its slices that are not open yet"
    return "; ".join(filter(None, ("due", _passed_over(plan, target, "earlier "))))


def _passed_over(plan: SlicePlan, target: _Target, which: str = "") -> str:
    """How many firings were passed over, and why."""
    more = "or more " if target.skipped >= MOST_COUNTED else ""
    told = []
    if target.missed:
        were = "firing was" if target.missed == 1 and not more else "firings were"
        told.append(f"{target.missed} {more}{which}{were} missed and skipped")
    if target.dark:
        windows = ", ".join(each.told() for each in plan.blackout)
        told.append(f"{target.dark} {more}{which}fell in a blackout ({windows})")
    return "; ".join(told)


def _target(plan: SlicePlan, at: datetime, ready: datetime, freed_at: datetime | None) -> _Target:
    """Of the due times from `at` to `ready` the one to fire for, by the catch-up rule. One that waited for the firing
    before it is late from that one's end on.
    """
    found, missed, dark = None, 0, 0
    for each in _from(plan, at):
        if each > ready:
            break
        if plan.blackout_at(each) is not None:
            dark += 1
        elif plan.catch_up == "all":
            return _Target(each, 0, dark)
        else:
            missed += found is not None
            found = each
        if missed + dark >= MOST_COUNTED:
            found = _latest_near(plan, each, ready, found)
            break
    if plan.catch_up == "skip" and found is not None:
        since = max(found, freed_at) if freed_at and plan.overlap == "queue" else found
        if (ready - since).total_seconds() > ON_TIME_S:
            return _Target(None, missed + 1, dark)
    return _Target(found, missed, dark)


def _from(plan: SlicePlan, at: datetime) -> Iterator[datetime]:
    yield at
    yield from dues_after(plan.cron, plan.timezone, at)


def _latest_near(plan: SlicePlan, known: datetime, now: datetime, found: datetime | None) -> datetime | None:
    """The latest firing up to `now` that no blackout covers, looked for in windows that double, so that a year's outage
    of a minutely one is cheap.
    """
    window = timedelta(hours=1)
    while True:
        start, latest = max(known, now - window), None
        for at in dues_after(plan.cron, plan.timezone, start):
            if at > now:
                break
            latest = at if plan.blackout_at(at) is None else latest
        if latest is not None or start == known:
            return latest or found
        window *= 2


def _told(plan: SlicePlan, at: datetime) -> str:
    return f"{plan.local(at):%Y-%m-%d %H:%M}"
