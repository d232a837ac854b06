"""Past nights of a schedule, run one after the other and waited for; which begins when is `celeriac.decide.replay`'s.

A night's due time is its clock, on the same path as every night. What was made already is not made again, so a replay
that was interrupted goes on when it is asked for once more.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from celeriac.client.client import Client
from celeriac.client.nights import waiting
from celeriac.client.remote.client import RemoteClient
from celeriac.client.study import POLL_S, Outage
from celeriac.decide.firing import firing_of
from celeriac.decide.replay import replay as decide
from celeriac.decide.replay import since
from celeriac.domain.errors import StudyPaused
from celeriac.domain.records import WORKING, Firing, Replay
from celeriac.store.firing import fire

_REMOTE_S = 2.0


def replay(
    client: Client | RemoteClient,
    name: str,
    first: date,
    last: date,
    *,
    told: Callable[[Firing], object] = lambda firing: None,
) -> list[Firing]:
    """Run the nights of these days, both included, that are past, and wait for them; returns them as they ended. Over
    the API the coordinator is asked to run them, and goes on with it when this ends.

    `told` hears of each when it has ended. Raises UnknownSchedule, StudyPaused when a night waits for a person, and
    StoreUnavailable when Postgres stays away; what runs then goes on.
    """
    if isinstance(client, RemoteClient):
        return _asked_for(client, name, first, last, told)
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
        _raise_paused(client, [found.firing_id])
        running.setdefault(found.firing_id, store.firing(found.firing_id))
    for night in decision.begin:
        made = fire(store, night.due_at, firing_of(row, night.plan, night.slice, night.due_at, note="replayed"))
        if made is not None:
            running[made.id] = made
            client.begin(made)
    return _Stepped(ended, not decision.is_over)


def _asked_for(
    client: RemoteClient, name: str, first: date, last: date, told: Callable[[Firing], object]
) -> list[Firing]:
    asked = client.ask_replay(name, first, last)
    ended: dict[int, Firing] = {}
    outage, is_over = Outage(), False
    while not is_over:
        seen = outage.bridged(lambda: (client.replay_now(asked), client.firings_since(name, since(asked))))
        if seen is not None:
            row, nights = seen
            is_over = not row.is_open
            for each in nights:
                if each.fired_at >= asked.asked_at and each.state not in WORKING and each.id not in ended:
                    ended[each.id] = each
                    told(each)
            _raise_paused(client, [each.id for each in nights if each.state in WORKING])
        if not is_over:
            time.sleep(_REMOTE_S)
    return list(ended.values())


def _raise_paused(client: Client | RemoteClient, firing_ids: Sequence[int]) -> None:
    for study in waiting(client.store, firing_ids):
        raise StudyPaused(f"study {study.name} is paused: {study.reason}; resume or stop it, then replay again")
