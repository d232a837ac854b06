"""Past nights of a schedule, run one after the other and waited for; which begins when is `celeriac.decide.replay`'s.

A night's due time is its clock, on the same path as every night. What was made already is not made again, so a replay
that was interrupted goes on when it is asked for once more.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from celeriac.client.client import Client
from celeriac.client.study import POLL_S, Outage
from celeriac.decide.firing import firing_of
from celeriac.decide.replay import replay as decide
from celeriac.decide.replay import since
from celeriac.domain.errors import StudyPaused
from celeriac.domain.records import Firing, FiringOpen, Replay, StudyState
from celeriac.store.firing import fire


def replay(
    client: Client, name: str, first: date, last: date, *, told: Callable[[Firing], object] = lambda firing: None
) -> list[Firing]:
    """Run the nights of these days, both included, that are past, and wait for them; returns them as they ended.

    `told` hears of each when it has ended. Raises UnknownSchedule, StudyPaused when a night waits for a person, and
    StoreUnavailable when Postgres stays away; what runs then goes on.
    """
    asked = Replay(0, name, first, last, client.who, client.store.now())
    running: dict[int, Firing] = {}
    ended: list[Firing] = []
    outage, is_over = Outage(), False
    while not is_over:
        over = outage.bridged(lambda: _step(client, asked, running))
        is_over = over is not None and not over.goes_on
        for each in () if over is None else over.ended:
            ended.append(each)
            told(each)
        time.sleep(POLL_S)
    return ended


@dataclass(frozen=True, slots=True)
class _Stepped:
    """The nights that have ended since the last step, and whether any is left."""

    ended: tuple[Firing, ...]
    goes_on: bool


def _step(client: Client, asked: Replay, running: dict[int, Firing]) -> _Stepped:
    """Begin what may begin. `running`: the nights at work by id, kept from step to step."""
    store, row = client.store, client.store.schedule(asked.schedule)
    minded = store.firings_to_mind(row.name, since(asked))
    decision = decide(row, asked, store.slice_dues(row.name), minded, store.now())
    at_work = {each.firing_id for each in decision.working}
    ended = tuple(store.firing(each) for each in running if each not in at_work)
    for each in ended:
        del running[each.id]
    for found in decision.working:
        _raise_paused(client, found)
        running.setdefault(found.firing_id, store.firing(found.firing_id))
    for night in decision.begin:
        made = fire(store, night.due_at, firing_of(row, night.plan, night.slice, night.due_at, note="replayed"))
        if made is not None:
            running[made.id] = made
            client.begin(made)
    return _Stepped(ended, not decision.is_over)


def _raise_paused(client: Client, firing: FiringOpen) -> None:
    for study in client.store.stage_studies([firing.firing_id]):
        if study.state is StudyState.PAUSED:
            raise StudyPaused(f"study {study.name} is paused: {study.reason}; resume it, then replay again")
