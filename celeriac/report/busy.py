"""What share of its time has each slot trained, and why not the rest? Pure: from the attempts, by the store's clock.

A slot is busy while a trial's objective runs (`SlotRun.ran_s`). Every other second has one reason:

no work   there was no trial for it: no study, or none that could use another slot
model     the next trial's parameters were suggested only after the slot was free
start     of an attempt, or between two: ticket, lease, process, import, and writing the end
memory    a trial waited for this GPU, and what others held of its memory, or of its share, left too little
drain     the slot was put aside
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from celeriac.domain.records import PutAside, SlotRun

#: A trial that was there for longer before its lease waited for its turn: its study could not use another slot.
MOST_START_S = 5.0
#: Idle shares up to this one are not worth a word.
WORTH_SAYING = 0.01
_ROUNDING = 1e-6


class Idle(StrEnum):
    """Why a slot did not train."""

    WORK = "no work"
    MODEL = "model"
    START = "start"
    MEMORY = "memory"
    DRAIN = "drain"


#: From when until when.
Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Busy:
    """Of one slot, or of several together: seconds that were looked at, seconds of training, idle ones by reason."""

    window_s: float
    busy_s: float
    idle_s: Mapping[Idle, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the time looked at, 0 to 1."""
        return self.busy_s / self.window_s if self.window_s > 0 else 0.0

    def reasons(self) -> list[tuple[Idle, float]]:
        """Each reason with its share, largest first, where that is above WORTH_SAYING."""
        shares = [(why, idle_s / self.window_s) for why, idle_s in self.idle_s.items() if self.window_s > 0]
        return sorted((each for each in shares if each[1] > WORTH_SAYING), key=lambda each: -each[1])

    def __str__(self) -> str:
        """`96 % busy (idle: model 3 %)`."""
        why = ", ".join(f"{reason} {share:.0%}".replace("%", " %") for reason, share in self.reasons())
        return f"{self.share:.0%}".replace("%", " %") + " busy" + (f" (idle: {why})" if why else "")


def busy_of(
    runs: Sequence[SlotRun], asides: Sequence[PutAside], since: datetime, now: datetime, full: Sequence[Span] = ()
) -> Busy:
    """Of one slot, whose runs come in the order of their leases, from `since` until `now`; `full`: when its device had
    no room for trials that waited.
    """
    idle: defaultdict[Idle, float] = defaultdict(float)
    busy_s, free_from = 0.0, since
    for run in runs:
        until = run.ended_at or now
        if run.leased_at > free_from:
            _add_gap(idle, free_from, run, asides, full)
        from_ = max(run.leased_at, since)
        held_s = max(0.0, (until - from_).total_seconds())
        # What an attempt spent before and after its training cannot be told apart once the window cuts it.
        trained_s = held_s if run.ended_at is None else min(held_s, run.ran_s)
        busy_s += trained_s
        idle[Idle.START] += held_s - trained_s
        free_from = max(free_from, until)
    if now > free_from:
        _add_wait(idle, free_from, now, asides, full)
    return Busy((now - since).total_seconds(), busy_s, {why: spent_s for why, spent_s in idle.items() if spent_s > 0})


def together(slots: Iterable[Busy]) -> Busy:
    """Of several slots."""
    window_s = busy_s = 0.0
    idle: defaultdict[Idle, float] = defaultdict(float)
    for each in slots:
        window_s, busy_s = window_s + each.window_s, busy_s + each.busy_s
        for why, spent_s in each.idle_s.items():
            idle[why] += spent_s
    return Busy(window_s, busy_s, dict(idle))


def full_spans(runs: Iterable[SlotRun], memory_bytes: int) -> list[Span]:
    """When a device of so much memory had no room for any of the trials that waited longest for a place on it: from
    what its placed trials held of it, and from those that ran on it later.
    """
    placed = [each for each in runs if each.share > 0]
    changes = sorted({at for each in placed for at in (each.ready_at, each.leased_at, each.ended_at) if at is not None})
    coming = sorted(placed, key=lambda each: each.ready_at, reverse=True)
    held: list[SlotRun] = []
    waiting: list[SlotRun] = []
    found: list[Span] = []
    for start, end in itertools.pairwise(changes):
        while coming and coming[-1].ready_at <= start:
            waiting.append(coming.pop())
        held += [each for each in waiting if each.leased_at <= start]
        waiting = [each for each in waiting if each.leased_at > start]
        held = [each for each in held if each.ended_at is None or each.ended_at > start]
        wants = [each for each in waiting if (each.leased_at - each.ready_at).total_seconds() > MOST_START_S]
        share, memory = sum(each.share for each in held), sum(each.memory_bytes for each in held)
        fits = [
            each for each in wants if share + each.share <= 1 + _ROUNDING and memory + each.memory_bytes <= memory_bytes
        ]
        if wants and not fits:
            found.append((start, end))
    return found


def _add_gap(
    idle: defaultdict[Idle, float], start: datetime, run: SlotRun, asides: Sequence[PutAside], full: Sequence[Span]
) -> None:
    """The time before a run: until its study was there, until its parameters were, and until it was leased."""
    opened = min(max(run.opened_at, start), run.leased_at)
    ready = min(max(run.ready_at, opened), run.leased_at)
    _add_wait(idle, start, opened, asides, full)
    idle[Idle.MODEL] += (ready - opened).total_seconds()
    late_s = (run.leased_at - ready).total_seconds()
    if late_s <= MOST_START_S:
        idle[Idle.START] += late_s
    else:
        _add_wait(idle, ready, run.leased_at, (), full)


def _add_wait(
    idle: defaultdict[Idle, float], start: datetime, end: datetime, asides: Sequence[PutAside], full: Sequence[Span]
) -> None:
    aside_s = max((_overlap_s(start, end, (each.since, each.until)) for each in asides), default=0.0)
    left_s = (end - start).total_seconds() - aside_s
    short_s = min(sum(_overlap_s(start, end, each) for each in full), left_s)
    idle[Idle.DRAIN] += aside_s
    idle[Idle.MEMORY] += short_s
    idle[Idle.WORK] += left_s - short_s


def _overlap_s(start: datetime, end: datetime, span: Span) -> float:
    return max(0.0, (min(span[1], end) - max(span[0], start)).total_seconds())
