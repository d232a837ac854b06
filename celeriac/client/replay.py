"""Past nights of a schedule, run one after the other: each slice's next night begins when the one before has ended.

Of a reproducible study it begins when that has ended for all slices, so that each night learns from the same earlier
ones.

A night's due time is its clock, on the same path as every night. What was made already is not made again, so a replay
that was interrupted goes on when it is asked for once more.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime

from celeriac.client.client import Client
from celeriac.client.study import POLL_S, Outage
from celeriac.decide.calendar import SlicePlan, calendar_of, plan_of
from celeriac.decide.firing import firing_of, night_name
from celeriac.domain.errors import StudyPaused
from celeriac.domain.records import WORKING, Firing, Schedule, SliceDue, StudyState
from celeriac.store.dues import slice_key
from celeriac.store.firing import fire


@dataclass(slots=True)
class _Chain:
    """A slice's nights that are still to come, and the one that runs."""

    due: SliceDue
    plan: SlicePlan
    nights: list[datetime]
    running: Firing | None = field(default=None)

    @property
    def at(self) -> str:
        """The night that it is at, by name; "" at its end."""
        due_at = self.running.due_at if self.running is not None else next(iter(self.nights), None)
        return "" if due_at is None else night_name(self.plan, due_at)


def replay(
    client: Client, name: str, first: date, last: date, *, told: Callable[[Firing], object] = lambda firing: None
) -> list[Firing]:
    """Run the nights of these days, both included, that are past, and wait for them; returns them as they ended.

    `told` hears of each when it has ended. Raises UnknownSchedule, StudyPaused when a night waits for a person, and
    StoreUnavailable when Postgres stays away; what runs then goes on.
    """
    row, now = client.store.schedule(name), client.store.now()
    calendar = calendar_of(row)
    chains = [
        _Chain(due, plan, plan.nights(first, last, min(now, due.next_due_at)))
        for due in client.store.slice_dues(name)
        for plan in [plan_of(calendar, due.slice)]
    ]
    in_step = chains if row.spec.get("reproducible") else []
    ended: list[Firing] = []
    outage = Outage()
    while any(chain.at for chain in chains):
        for chain in chains:
            over = outage.bridged(lambda chain=chain: _step(client, row, chain, in_step))  # type: ignore[misc]
            if over is not None:
                ended.append(over)
                told(over)
        time.sleep(POLL_S)
    return ended


def _step(client: Client, row: Schedule, chain: _Chain, in_step: list[_Chain]) -> Firing | None:
    """Begin the slice's next night where none runs, and none of `in_step` is at an earlier one; returns the one that
    has ended.
    """
    over = None
    if chain.running is not None:
        firing = client.store.firing(chain.running.id)
        if firing.state in WORKING:
            _raise_paused(client, firing)
            return None
        over, chain.running = firing, None
    while chain.running is None and chain.nights and not any("" < each.at < chain.at for each in in_step):
        at = chain.nights[0]
        made = fire(client.store, at, firing_of(row, chain.plan, chain.due.slice, at, note="replayed"))
        chain.running = made or _made_before(client, row, chain.due, at)
        del chain.nights[0]
        if made is not None:
            client.begin(made)
    return over


def _raise_paused(client: Client, firing: Firing) -> None:
    for study in client.store.stage_studies([firing.id]):
        if study.state is StudyState.PAUSED:
            raise StudyPaused(f"study {study.name} is paused: {study.reason}; resume it, then replay again")


def _made_before(client: Client, row: Schedule, due: SliceDue, at: datetime) -> Firing | None:
    """The firing for that time, if it still runs: it is waited for."""
    for each in client.store.firings_to_mind(row.name, at):
        if each.due_at == at and slice_key(each.slice) == slice_key(due.slice) and each.is_open:
            return client.store.firing(each.firing_id)
    return None
