"""Scenes that store tests begin with: a study that runs, trials that are queued, leased or finished."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from celeriac.domain.firing_moves import FiringMove, StageOpening
from celeriac.domain.lifecycle import AttemptEvent, FiringEvent, StudyEvent, TrialEvent
from celeriac.domain.records import (
    Champion,
    Checkpoint,
    Crossing,
    Device,
    Fault,
    Firing,
    Goal,
    Lease,
    NewStudy,
    Ranking,
    Report,
    Schedule,
    Source,
    Stage,
    StudyRecord,
    Suggestion,
    TrialRecord,
)
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from celeriac.store.connection import open_engine

_numbers = itertools.count()

#: What a store reads of a study's spec.
SPEC: dict[str, Any] = {
    "study": "digits",
    "objective": "train:objective",
    "metric": {"name": "accuracy", "goal": "maximize"},
    "seed": 7,
    "budget": {"trials": 4},
    "retry": {"attempts": 3},
}

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def new_study(name: str | None = None, **changes: Any) -> NewStudy:
    """A study to open; its name is new unless given."""
    given: dict[str, Any] = {"spec": SPEC, "goal": "maximize"} | changes
    return NewStudy(name=name or f"digits-{next(_numbers)}", **given)


def suggestion(**params: Any) -> Suggestion:
    """A suggestion of these parameters."""
    return Suggestion(params or {"lr": 0.1}, Source.SUGGESTED, {"sampler": "random", "seed": 7})


def running(store: Store, *, parallel: int | None = None, goal: Goal = "maximize") -> StudyRecord:
    """A study that runs, without trials."""
    opened = store.create_study(new_study(parallel=parallel, goal=goal))
    return store.move_study(opened.id, StudyEvent.START, "first turn", turn=opened.turn)


def with_trials(store: Store, study: StudyRecord, count: int) -> list[TrialRecord]:
    """Trials added to a running study."""
    now = store.study(study.id)
    return store.add_trials(study.id, now.turn, [suggestion(lr=0.1 * k) for k in range(count)])


def queued(store: Store, count: int, **how: Any) -> StudyRecord:
    """A running study with that many queued trials."""
    study = running(store, **how)
    numbers = [trial.number for trial in with_trials(store, study, count)]
    store.queue_trials(study.id, store.study(study.id).turn, numbers)
    return store.study(study.id)


def leased(
    store: Store,
    study: StudyRecord,
    number: int,
    *,
    attempt: int = 1,
    worker: str = "cpu0.s0@here",
    device: str = "cpu",
    device_kind: str = "cpu",
    lease_s: float = 30,
) -> Lease:
    """The lease of a trial that can be leased."""
    lease = store.lease(
        study.id, number, attempt, worker=worker, device=device, device_kind=device_kind, lease_s=lease_s
    )
    assert isinstance(lease, Lease), lease
    return lease


def scored(score: float, **more: Any) -> AttemptEnd:
    """The end of an attempt that gave a score."""
    return AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=score, device_s=2.0, **more)


def failed(fault: Fault = Fault.USER_BUG, *, trial_event: TrialEvent = TrialEvent.FAIL, **more: Any) -> AttemptEnd:
    """The end of an attempt by a fault."""
    return AttemptEnd(AttemptEvent.FAULT, trial_event, fault=fault, detail=f"{fault} happened", **more)


def released(trial_event: TrialEvent) -> AttemptEnd:
    """The end of an attempt that was pre-empted."""
    return AttemptEnd(AttemptEvent.RELEASE, trial_event, fault=Fault.PREEMPTED, detail="pre-empted")


def report(lease: Lease, step: int, value: float = 0.5, *, checkpoint: bool = False) -> Report:
    """A report of that step, with a checkpoint if wanted."""
    path = f"{lease.study_id}/{lease.number}/{lease.attempt}-{step}"
    kept = Checkpoint(lease.study_id, lease.number, lease.attempt, step, path, "0" * 64, 1000)
    return Report(step, value, {"loss": 1.0}, kept if checkpoint else None)


def crossing(
    rung: int, value: float, *, goal: Goal = "maximize", of: int = 3, spare: int = 0, bracket: int = 0
) -> Crossing:
    """A report that reaches this rung exactly."""
    return Crossing(rung, rung, float(rung), value, Ranking(goal, of, spare, bracket))


def device(uuid: str, *, host: str = "here", kind: str = "cpu") -> Device:
    """A device with one slot."""
    return Device(uuid, host, kind, 2**34, {"rack": "a"}, (f"{uuid}.s0",), "1.0", "ok", NOON)


def schedule(name: str = "nightly", **changes: Any) -> Schedule:
    """A schedule of two slices, due since noon of a day long ago."""
    given: dict[str, Any] = {
        "spec": {"study": "digits"},
        "cron": "0 2 * * *",
        "timezone": "Europe/Berlin",
        "slices": ({"region": "eu"}, {"region": "us"}),
        "code_root": "/code",
        "fingerprint": "abc",
        "paused": False,
        "next_due_at": NOON,
        "created_at": NOON,
    }
    return Schedule(name, **(given | changes))


def due(store: Store, name: str | None = None, *, due_at: datetime = NOON, **changes: Any) -> Firing:
    """A firing of the nightly schedule that was just made."""
    given: dict[str, Any] = {"schedule": "nightly", "slice": {"region": "eu"}} | changes
    made = store.fire(due_at, new_study(name, **given))
    assert made is not None
    return made


def opening(store: Store, firing: Firing, stage: Stage = Stage.SEARCH, *points: Suggestion) -> StageOpening:
    """The study of a firing's stage: a search's has the firing's name."""
    name = firing.name if stage is Stage.SEARCH else f"{firing.name}/{stage}"
    return StageOpening(stage, replace(store.firing_plan(firing.id), name=name, stage=stage), points)


def searching(store: Store, name: str | None = None, **changes: Any) -> StudyRecord:
    """The study of a firing that searches."""
    firing = due(store, name, **changes)
    store.move_firing(firing.id, firing.turn, FiringMove(FiringEvent.SEARCH, "no champion", opening(store, firing)))
    [study] = store.stage_studies([firing.id])
    return study


def verdict(
    study: StudyRecord, *, promoted: bool, slice_: Mapping[str, Any] | None = None, before_id: int | None = None
) -> Champion:
    """A verdict on a study's trial 0."""
    return Champion(
        schedule="nightly",
        slice=slice_ or {"region": "eu"},
        study_id=study.id,
        study=study.name,
        trial=0,
        params={"lr": 0.1},
        score=0.9,
        default_score=0.8,
        metrics={"holdout": 0.88},
        promoted=promoted,
        reason="better than its own trial 0",
        firing_id=study.firing_id,
        before_id=before_id,
    )


@contextmanager
def full_disk(database: str, verb: str, table: str) -> Iterator[None]:
    """Postgres finds its disk full at each INSERT or UPDATE of this table: the server's own words for it (53100)."""
    engine = open_engine(database, pool_size=1)
    make = (
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
        "'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
        f"CREATE TRIGGER full_disk BEFORE {verb} ON {table} EXECUTE FUNCTION full_disk()",
    )
    with engine.connect() as session:
        for statement in make:
            session.execute(text(statement))
        try:
            yield
        finally:
            session.execute(text("DROP FUNCTION full_disk CASCADE"))
    engine.dispose()
