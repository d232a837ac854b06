"""The programs themselves, on the run's Postgres and Redis: started as the stack starts them, killed as the weather
kills.
"""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from kombu.simple import SimpleQueue
from redis import Redis as Connection

from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import DriveStudy, RunTrial, TrialEnded, decode
from celeriac.domain.records import Lease, Schedule, StudyState
from celeriac.local.redis import Redis
from celeriac.runtime.broker import CPU_QUEUE, DRIVE_QUEUE, BrokerConfig, Tickets, make_app
from celeriac.runtime.process.programs import Child
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.coordinator.house import SPEC, open_study, with_slots

TICK_S = 0.5


class Programs:
    """Programs of the coordinator, started and ended."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self._environment = {
            **os.environ,
            "CELERIAC_DATABASE_URL": settings.database_url,
            "CELERIAC_BROKER_URL": settings.broker_url,
            "CELERIAC_HOST": settings.host,
            "CELERIAC_HOME": str(settings.home),
            "CELERIAC_REAP_S": str(TICK_S),
        }
        self._logs = logs
        self.running: dict[str, Child] = {}

    def start(self, *names: str, ready: bool = True) -> None:
        """Start them, and wait until those that announce it are ready."""
        pipes = {name: os.pipe() for name in names}
        for name, (_, write) in pipes.items():
            child = Child(
                name,
                [sys.executable, "-m", "coordinator", name],
                {**self._environment, "CELERIAC_READY_FD": str(write)},
                log=self._logs / f"{name}.log",
                pass_fds=(write,),
            )
            os.close(child.start())
            os.close(write)
            self.running[name] = child
        for name, (read, _) in pipes.items():
            if ready and name in ("drive", "clock"):
                self._await_ready(name, read)
            os.close(read)

    def stop(self) -> None:
        """End all."""
        for child in self.running.values():
            child.stop(10.0)

    def log(self, name: str) -> str:
        """All that a program said."""
        return (self._logs / f"{name}.log").read_text()

    def _await_ready(self, name: str, read: int) -> None:
        with selectors.DefaultSelector() as waiting:
            waiting.register(read, selectors.EVENT_READ)
            assert waiting.select(30.0), self.log(name)
        assert os.read(read, 100), self.log(name)


@pytest.fixture
def programs(settings: Settings, tmp_path: Path) -> Iterator[Programs]:
    started = Programs(settings, tmp_path)
    yield started
    started.stop()


def until(true: Callable[[], bool], programs: Programs, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "\n".join(programs.log(name) for name in programs.running)
        time.sleep(0.02)


class Worker:
    """A worker of the test: takes real tickets from Redis, leases, and says how it ended."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._app = make_app(BrokerConfig(settings.broker_url, "test"))
        self._store, self._settings = store, settings
        self.tickets = Tickets(self._app)

    def take(self, timeout_s: float = 15.0) -> RunTrial:
        """The next ticket."""
        with self._app.connection_for_read() as connection:
            channel: Any = connection  # the stub asks for a channel, the class takes both
            queue = SimpleQueue(channel, next(q for q in self._app.conf.task_queues if q.name == CPU_QUEUE))
            try:
                message = queue.get(timeout=timeout_s)
                message.ack()
                ticket = decode(message.payload[0][0])
            finally:
                queue.close()
        assert isinstance(ticket, RunTrial)
        return ticket

    def lease(self, lease_s: float = 30.0) -> Lease:
        """The next ticket that is still good."""
        while True:
            ticket = self.take()
            found = self._store.lease(
                ticket.study, ticket.trial, ticket.attempt, worker="cpu0.s0@testhost", device="cpu0", lease_s=lease_s
            )
            if isinstance(found, Lease):
                return found

    def finish(self, lease: Lease, score: float) -> None:
        """Record the score, and tell the coordinator."""
        end = AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=score, device_s=0.1)
        self._store.finish_attempt(lease.token, end)
        self.tickets.send(TrialEnded(lease.study_id, lease.number, lease.attempt), queue=DRIVE_QUEUE, summary="ended")


def test_a_study_runs_to_its_end_whatever_dies(settings: Settings, store: Store, programs: Programs) -> None:
    programs.start("drive", "clock", "beat")
    with_slots(store, 1)
    worker = Worker(settings, store)
    study = open_study(store, budget={"trials": 16})
    worker.tickets.send(DriveStudy(study.id), queue=DRIVE_QUEUE, summary="digits")
    for _ in range(4):
        worker.finish(worker.lease(), 0.5)

    lapsed = worker.lease(lease_s=0.5)  # its worker dies: nobody finishes it, the clock notices
    until(lambda: store.trial(study.id, lapsed.number).faults.get("infrastructure") == 1, programs)

    until(lambda: store.study(study.id).counts.queued >= 1, programs)
    _flush(settings)  # Redis forgets everything: the clock sends the ticket again
    worker.finish(worker.lease(), 0.4)

    family = psutil.Process(programs.running["drive"].pid).children(recursive=True)
    assert any("coordinator.suggest.program" in process.cmdline() for process in family)
    programs.running["drive"].kill()
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    programs.start("drive")
    while store.study(study.id).counts.finished < 16:
        with_slots(store, 1)
        worker.finish(worker.lease(), 0.3)
    until(lambda: store.study(study.id).state is StudyState.DONE, programs)
    closed = store.study(study.id)
    assert (closed.counts.finished, closed.counts.open) == (16, 0)
    trials = store.trials(study.id, limit=100)
    assert [trial.number for trial in trials] == list(range(16))
    assert {trial.why["by"] for trial in trials} == {"the study file", "latin hypercube", "log expected improvement"}
    assert "Traceback" not in programs.log("drive") + programs.log("clock") + programs.log("beat")
    assert not _descendants_with(programs.running["clock"], "scipy")


def test_a_schedule_fires_by_itself_and_a_stop_signal_ends_all_programs_cleanly(
    settings: Settings, store: Store, programs: Programs
) -> None:
    now = store.now()
    store.put_schedule(
        Schedule(
            "flights",
            {**SPEC, "study": "flights"},
            "* * * * *",
            "UTC",
            ({"airport": "JFK"}, {"airport": "LGA"}),
            "",
            "",
            False,
            now,
            now,
        )
    )
    programs.start("drive", "clock", "beat")
    until(lambda: len(store.firings("flights")) == 2, programs)
    until(lambda: {s.state for s in store.studies(schedule="flights")} == {StudyState.RUNNING}, programs)

    children = list(programs.running.values())
    pids = [p.pid for child in children for p in psutil.Process(child.pid).children(recursive=True)]
    for child in children:
        child.signal(signal.SIGTERM)
    assert [child.wait(10.0) for child in children] == [True] * 3
    assert [child.poll() for child in children] == [0, 0, 0]
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_coordinator_that_answers_pings_and_does_nothing_is_told(
    settings: Settings, store: Store, programs: Programs
) -> None:
    def ago_s(duty: str) -> float:
        return {each.name: each.ago_s for each in store.duties()}[duty]

    programs.start("drive", "clock", "beat")
    until(lambda: {each.name for each in store.duties()} == {"drive", "fire", "reap"}, programs)
    assert {each.every_s for each in store.duties()} == {TICK_S}
    main = psutil.Process(programs.running["drive"].pid)
    for child in main.children():
        child.suspend()  # its pool: what does the work
    until(lambda: ago_s("drive") > 3.0 and ago_s("reap") < 2.0 and ago_s("fire") < 2.0, programs)
    app = make_app(BrokerConfig(settings.broker_url, "test"))
    answered = [name for reply in app.control.ping(timeout=2.0) or [] for name in reply]
    app.close()
    assert f"drive@{settings.host}" in answered
    programs.running["drive"].kill()  # what stands still would take all its grace


def has_sent_a_tick(redis: Redis) -> bool:
    with Connection.from_url(f"unix://{redis.socket}") as connection:
        seen = {(each["name"], each["cmd"]) for each in connection.client_list()}
    return ("celeriac-beat", "lpush") in seen


@pytest.mark.slow
def test_the_programs_outlive_redis(settings: Settings, store: Store, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="clr-") as short:
        redis = Redis(Path(short) / "data", Path(short) / "run")
        programs = Programs(replace(settings, broker_url=redis.url), tmp_path)
        try:
            os.close(redis.child.start())
            redis.child.wait_ready()
            programs.start("drive", "clock", "beat")
            until(lambda: has_sent_a_tick(redis), programs)  # beat connects late: else it would meet no outage
            redis.child.kill()
            time.sleep(3.0)  # an outage has no event to wait for
            os.close(redis.child.start())
            redis.child.wait_ready()
            with_slots(store, 1)
            study = open_study(store)
            until(lambda: store.study(study.id).counts.queued >= 1, programs, 60.0)
            assert [child.poll() for child in programs.running.values()] == [None] * 3
            # An outage is told, and not with a traceback for each of the ticks that beat misses.
            until(lambda: "ticks are sent again" in programs.log("beat"), programs)
            said = programs.log("beat")
            assert said.count("no ticks are sent") == said.count("ticks are sent again") == 1
            assert "Traceback" not in said
            assert not [name for name in programs.running if "Warning:" in programs.log(name)]
        finally:
            programs.stop()
            redis.child.stop(20.0)


def test_a_program_without_a_service_or_on_another_schema_says_so(settings: Settings, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CELERIAC_")}
    environment["CELERIAC_HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "coordinator", "drive"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "CELERIAC_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def _flush(settings: Settings) -> None:
    app = make_app(BrokerConfig(settings.broker_url, "test"))
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        channel.client.flushdb()


def _descendants_with(child: Child, library: str) -> list[int]:
    """Processes of a program that have a library's files mapped or open."""
    family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    return [p.pid for p in family if any(library in m.path for m in p.memory_maps())]
