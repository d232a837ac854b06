"""A Postgres that says nothing for longer than a lease, for real: it costs no worker its trial that is well."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from time import monotonic

import psutil
import pytest

from celeriac.domain.errors import CeleriacError, StoreUnavailable
from celeriac.domain.messages import Message
from celeriac.domain.records import StudyRecord, TrialState
from celeriac.local.postgres import Postgres
from celeriac.runtime.broker import Tickets
from celeriac.store import Store, open_store
from coordinator.reaper import reap
from tests.celeriac.store.scenes import leased, queued
from tests.servers import own_postgres

LEASE_S, HEARTBEAT_S, TICK_S = 2.0, 0.4, 0.5
SILENCE_S = 1.5 * LEASE_S


class Nowhere(Tickets):
    """Tickets that nobody takes."""

    def __init__(self) -> None:
        """No broker."""

    def send(self, message: Message, *, queue: str, summary: str, task_id: str | None = None) -> None:
        """Drop it."""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with own_postgres() as made:
        yield made


class Round:
    """Something done again and again in a thread, the store away or not; `errors` is what else went wrong."""

    def __init__(self, every_s: float, deed: Callable[[], object]) -> None:
        self.errors: list[CeleriacError] = []
        self.done = 0
        self._every_s, self._deed, self._end = every_s, deed, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Do it no more."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(self._every_s):
            try:
                self._deed()
                self.done += 1
            except StoreUnavailable:
                continue
            except CeleriacError as error:
                self.errors.append(error)


class Life:
    """A study with one trial whose worker renews, and a reaper at work."""

    def __init__(self, server: Postgres) -> None:
        self.store: Store = open_store(server.dsn)
        workers, clock = open_store(server.dsn), open_store(server.dsn)
        self._stores = (self.store, workers, clock)
        self.study: StudyRecord = queued(self.store, 2)
        self.lease = leased(self.store, self.study, 0, lease_s=LEASE_S)
        self.cut_off = threading.Event()

        def renew() -> None:
            if self.cut_off.is_set():
                raise StoreUnavailable("its renewal failed in the silence, and it tries again a heartbeat later")
            workers.renew(self.lease.token, LEASE_S)

        self.worker = Round(HEARTBEAT_S, renew)
        self.clock = Round(TICK_S, lambda: reap(clock, Nowhere(), tick_s=TICK_S))

    def close(self) -> None:
        """End all of it."""
        self.worker.stop()
        self.clock.stop()
        for store in self._stores:
            store.close()

    def until(self, so: Callable[[], bool], within_s: float) -> bool:
        """Whether it becomes so in time."""
        deadline, moment = monotonic() + within_s, threading.Event()
        while monotonic() < deadline:
            if so():
                return True
            moment.wait(0.05)
        return False

    def state(self) -> TrialState:
        return self.store.trial(self.study.id, 0).state


@pytest.fixture
def life(server: Postgres) -> Iterator[Life]:
    made = Life(server)
    assert made.until(lambda: made.clock.done > 2 * LEASE_S / TICK_S, within_s=30)
    yield made
    made.close()


def stop_all(server: Postgres) -> list[psutil.Process]:
    """Every process of the server stands still."""
    postmaster = psutil.Process(server.child.pid)
    stopped = [postmaster, *postmaster.children()]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    return stopped


@pytest.mark.timeout(90)
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_silence_longer_than_a_lease_costs_no_trial(server: Postgres, life: Life, how: str) -> None:
    silence = threading.Event()
    life.cut_off.set()
    if how == "stopped":
        stopped = stop_all(server)
        silence.wait(SILENCE_S)
        for process in stopped:
            process.send_signal(signal.SIGCONT)
    else:
        server.child.kill()
        silence.wait(SILENCE_S)
        os.close(server.child.start())
        server.child.wait_ready()
    ticks = life.clock.done
    assert life.until(lambda: life.clock.done > ticks + 1, within_s=30), "the reaper is back first"
    life.cut_off.clear()
    assert life.until(lambda: life.clock.done > ticks + 2 * LEASE_S / TICK_S, within_s=30)
    assert life.state() is TrialState.RUNNING
    assert (life.worker.errors, life.clock.errors) == ([], [])
    life.worker.stop()  # and one that is dead is found
    assert life.until(lambda: life.state() is TrialState.WAITING, within_s=30)
