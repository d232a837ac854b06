"""One slot's tools on the run's real Postgres and Redis, and studies whose trials a test runs by hand."""

import select
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.broker import BrokerConfig, Tickets, make_app
from celeriac.lifecycle import StudyEvent
from celeriac.messages import RunTrial
from celeriac.records import Attempt, NewStudy, Source, StudyRecord, Suggestion, TrialRecord
from celeriac.settings import Settings
from celeriac.store import Store
from worker.devices import CPU, Slot
from worker.orders import Orders
from worker.runner import run
from worker.station import Station, open_station

OBJECTIVES = Path(__file__).parent / "objectives"
SLOT = Slot("cpu0.s0@testhost", "cpu-testhost", CPU, "")


def spec(objective: str, **more: Any) -> dict[str, Any]:
    """A study's spec, as the store keeps it."""
    return {
        "study": "digits",
        "objective": objective,
        "code": ".",
        "metric": {"name": "accuracy", "goal": "maximize"},
        "space": {"x": {"float": [0.0, 1.0]}},
        "sampler": "random",
        "seed": 7,
        "budget": {"trials": 10},
        "resources": {"gpus": 0},
        "retry": {"attempts": 2},
        **more,
    }


@dataclass
class Bench:
    """A station, and trials to run on it."""

    store: Store
    settings: Settings
    station: Station

    def study(self, objective: str, name: str = "digits", **more: Any) -> StudyRecord:
        """A RUNNING study of that objective; `more` goes into its spec."""
        new = NewStudy(
            name,
            spec(objective, **more),
            "maximize",
            code_root=str(OBJECTIVES),
            parallel=more.get("parallel"),
        )
        made = self.store.create_study(new)
        return self.store.move_study(made.id, StudyEvent.START, "test")

    def ticket(self, study: StudyRecord, params: Mapping[str, Any] | None = None) -> RunTrial:
        """A new trial with its ticket."""
        turn = self.store.study(study.id).turn
        (trial,) = self.store.add_trials(study.id, turn, [Suggestion(params or {"x": 0.5}, Source.SUGGESTED)])
        return RunTrial(study.id, trial.number, 1)

    def run(self, objective: str, params: Mapping[str, Any] | None = None, **more: Any) -> TrialRecord:
        """Run one attempt of a new study's first trial."""
        ticket = self.ticket(self.study(objective, **more), params)
        self.attempt(ticket)
        return self.trial(ticket)

    def attempt(self, ticket: RunTrial) -> str:
        """Run the attempt that the ticket names, until how it ended is written; what came of it."""
        came_of = run(ticket, self.station)
        self.settle()
        return came_of

    def settle(self) -> None:
        """Wait until every end is written."""
        recorder = self.station.recorder
        assert not recorder.busy or select.select([recorder], [], [], 30)[0], "an end is not written in time"

    def trial(self, ticket: RunTrial) -> TrialRecord:
        """The ticket's trial, as it stands now."""
        return self.store.trial(ticket.study, ticket.trial)

    def attempts(self, trial: TrialRecord) -> list[Attempt]:
        """The trial's attempts."""
        return self.store.attempts(trial.study_id, trial.number)

    def tail(self, trial: TrialRecord, attempt: int = 1) -> str:
        """The attempt's log tail in the store."""
        return self.store.log_tail(trial.study_id, trial.number, attempt)


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Settings with short times, and the objectives as code root."""
    return replace(
        settings,
        code_root=OBJECTIVES,
        heartbeat_s=0.1,
        lease_s=5.0,
        kill_grace_s=0.2,
        checkpoint_grace_s=3.0,
    )


@pytest.fixture
def bench(store: Store, quick: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A slot's tools in this process."""
    orders = Orders()
    station = open_station(
        quick,
        SLOT,
        store=store,
        tickets=Tickets(make_app(BrokerConfig(quick.broker_url, "test"))),
        orders=orders,
        environ={"PATH": "/usr/bin:/bin"},
    )
    yield Bench(store, quick, station)
    station.recorder.close(30)
    station.clear()
    station.servers.close()
    station.heartbeat.close()
    orders.close()
