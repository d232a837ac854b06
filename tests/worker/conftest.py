"""One slot's tools on the run's real Postgres and Redis for trials that a test runs by hand; and whole nodes as real
processes.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Attempt, NewStudy, Source, StudyRecord, Suggestion, TrialRecord, TrialState
from celeriac.runtime.broker import CPU_QUEUE, BrokerConfig, Tickets, make_app
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from worker.attempt.context import WorkerContext, open_context
from worker.attempt.control import Control
from worker.attempt.run import run
from worker.devices.probe import CPU, Slot

ROOT = Path(__file__).parent.parent.parent
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
    """A context, and trials to run on it."""

    store: Store
    settings: Settings
    context: WorkerContext

    def study(self, objective: str, name: str = "digits", **more: Any) -> StudyRecord:
        """A RUNNING study of that objective; `more` goes into its spec."""
        new = NewStudy(
            name, spec(objective, **more), "maximize", code_root=str(OBJECTIVES), parallel=more.get("parallel")
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
        """Run the attempt that the ticket names; what came of it."""
        return run(ticket, self.context)

    def settle(self) -> None:
        """Wait until every message is sent and every file deleted."""
        for chores in (self.context.announcer, self.context.janitor):
            assert chores.settle(30), "it was not done in time"

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
        settings, code_root=OBJECTIVES, heartbeat_s=0.1, lease_s=5.0, kill_grace_s=0.2, checkpoint_grace_s=3.0
    )


@pytest.fixture
def bench(store: Store, quick: Settings) -> Iterator[Bench]:
    """A slot's tools in this process."""
    with opened_bench(store, quick) as bench:
        yield bench


@contextmanager
def opened_bench(store: Store, settings: Settings) -> Iterator[Bench]:
    """A slot's tools in this process, on that store."""
    control = Control()
    context = open_context(
        settings,
        SLOT,
        store=store,
        tickets=Tickets(make_app(BrokerConfig(settings.broker_url, "test"))),
        control=control,
        environ={"PATH": "/usr/bin:/bin"},
    )
    yield Bench(store, settings, context)
    context.servers.close()
    for thread in (context.results, context.lease_keeper, context.announcer, context.log_writer, context.janitor):
        thread.close()
    control.close()


# -- a node and its workers as real processes, with the test as their coordinator
# -----------------------------------------
def until(true: Callable[[], bool], within_s: float = 20.0) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@dataclass
class Host:
    """A running node, and the test as its coordinator."""

    process: "subprocess.Popen[bytes]"
    settings: Settings
    store: Store
    tickets: Tickets

    def study(self, objective: str, name: str = "digits", **more: object) -> StudyRecord:
        made = self.store.create_study(NewStudy(name, spec(objective, **more), "maximize", code_root=str(OBJECTIVES)))
        return self.store.move_study(made.id, StudyEvent.START, "test")

    def send(self, study: StudyRecord, params: Mapping[str, object] | None = None) -> RunTrial:
        turn = self.store.study(study.id).turn
        (trial,) = self.store.add_trials(study.id, turn, [Suggestion(params or {"x": 0.5}, Source.SUGGESTED)])
        return self.again(RunTrial(study.id, trial.number, 1))

    def again(self, ticket: RunTrial) -> RunTrial:
        turn = self.store.study(ticket.study).turn
        self.store.queue_trials(ticket.study, turn, [ticket.trial])
        task_id = f"{ticket.study}-{ticket.trial}-{ticket.attempt}"
        self.tickets.send(ticket, queue=CPU_QUEUE, summary="test", task_id=task_id)
        return ticket

    def trial(self, ticket: RunTrial) -> TrialRecord:
        return self.store.trial(ticket.study, ticket.trial)

    def is_(self, ticket: RunTrial, state: TrialState) -> bool:
        return self.trial(ticket).state is state

    def worker(self) -> psutil.Process:
        """Celery's main process of the slot."""
        (found,) = [
            each
            for each in psutil.Process(self.process.pid).children()
            if "worker.slot.celery_worker" in " ".join(each.cmdline())
        ]
        return found

    def pool(self) -> psutil.Process:
        """The worker's pool process."""
        (found,) = self.worker().children()
        return found

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


def environment_of(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "CELERIAC_DATABASE_URL": settings.database_url,
        "CELERIAC_BROKER_URL": settings.broker_url,
        "CELERIAC_CODE_ROOT": str(OBJECTIVES),
        "CELERIAC_HOME": str(settings.home),
        "CELERIAC_HOST": "testhost",
        "CELERIAC_HEARTBEAT_S": "0.5",
        "CELERIAC_KILL_GRACE_S": "0.3",
        "CELERIAC_CHECKPOINT_GRACE_S": "2",
    }


def runs(host: Host, tmp_path: Path) -> tuple[RunTrial, Path]:
    """A trial that runs until the returned file is there."""
    params = {"running": str(tmp_path / "running"), "file": str(tmp_path / "go")}
    ticket = host.send(host.study("attempts:waits_for_a_file"), params)
    until((tmp_path / "running").exists)
    until(lambda: (tmp_path / "running").read_text() != "")
    return ticket, tmp_path / "go"


@pytest.fixture
def start(store: Store, settings: Settings, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Starts nodes with one CPU slot, or more, one after the other on the same home."""
    started: list[Host] = []
    log = tmp_path / "node.log"

    def start_one(slots: int = 1, **more: str) -> Host:
        ready, announce = os.pipe()
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker", "--slots", str(slots)],
                env={**environment_of(settings), "CELERIAC_READY_FD": str(announce), **more},
                cwd=ROOT,
                pass_fds=(announce,),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        os.close(announce)
        said = os.read(ready, 1)
        os.close(ready)
        assert said == b"\n", log.read_text()
        tickets = Tickets(make_app(BrokerConfig(settings.broker_url, "test")))
        started.append(Host(process, settings, store, tickets))
        return started[-1]

    yield start_one
    for host in started:
        if host.process.poll() is None:
            host.process.terminate()
        host.process.wait(30)
    print(log.read_text())


@pytest.fixture
def host(start: Callable[..., Host]) -> Host:
    """A node with one CPU slot."""
    return start()
