"""Scenes for clients: a study file with its objective, and studies played without a coordinator or a worker."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celeriac.client import Client, Study
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Lease, Source, Suggestion
from tests.celeriac.store.scenes import scored

SPEC: dict[str, Any] = {
    "study": "digits",
    "objective": "train:objective",
    "metric": {"name": "accuracy", "goal": "maximize"},
    "space": {"lr": {"float": [1e-5, 1e-1], "log": True}},
    "default": {"lr": 0.01},
    "budget": {"trials": 3},
}
PLAN = {
    "study": "nightly",
    "schedule": {"name": "nightly", "cron": "0 2 * * *", "timezone": "Europe/Berlin", "slices": {"r": ["eu", "us"]}},
}
CODE = "def objective(trial):\n    return 1.0\n"
STUDY_FILE = """\
study: digits
objective: train:objective
metric: {name: accuracy, goal: maximize}
space: {lr: {float: [1e-5, 1e-1], log: true}}
default: {lr: 0.01}
budget: {trials: 3}
"""


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit code, what it printed, what it remarked."""

    code: int
    out: str
    err: str


Celeriac = Callable[..., Ran]
NEW_YEAR = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)


def started(client: Client, study: Study) -> None:
    """The study's first turn."""
    client.store.move_study(study.id, StudyEvent.START, "started", turn=study.record.turn)


def leased(client: Client, study: Study) -> Lease:
    """One more trial, running."""
    number = study.record.next_number
    source = Source.SUGGESTED if number else Source.DEFAULT
    client.store.add_trials(study.id, study.record.turn, [Suggestion({"lr": 0.01 * (number + 1)}, source)])
    client.store.queue_trials(study.id, study.record.turn, [number])
    lease = client.store.lease(study.id, number, 1, worker="cpu0.s0@here", device="cpu", lease_s=30)
    assert isinstance(lease, Lease)
    return lease


def played(client: Client, study: Study, *scores: float) -> None:
    """The study started, and one trial run for each score."""
    started(client, study)
    for score in scores:
        lease = leased(client, study)
        end = scored(score, metrics={"test": score / 2}, log_tail=f"trial {lease.number}\n")
        client.store.finish_attempt(lease.token, end)


def closed(client: Client, study: Study) -> None:
    """The study done."""
    client.store.move_study(study.id, StudyEvent.FINISH, "all 3 trials are finished", turn=study.record.turn)
