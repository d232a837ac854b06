"""A Postgres that stands still for two leases, under a real trial: the trial keeps its lease, and its end is
written.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from celeriac.domain.errors import TryAgain
from celeriac.domain.records import TrialState
from celeriac.local.postgres import Postgres
from celeriac.runtime.settings import Settings
from celeriac.store import open_store
from coordinator.reaper import reap
from tests.servers import own_postgres
from tests.worker.attempt.test_run_control import once_there
from tests.worker.conftest import Bench, opened_bench, until

LEASE_S, TICK_S = 3.0, 0.5


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with own_postgres() as made:
        yield made


@pytest.fixture
def alone(server: Postgres, quick: Settings) -> Iterator[Bench]:
    """A slot whose store is on that server, with a reaper at work."""
    settings = replace(quick, database_url=server.dsn, lease_s=LEASE_S, heartbeat_s=0.5)
    store, clock = open_store(server.dsn), open_store(server.dsn)
    ending = threading.Event()
    with opened_bench(store, settings) as bench:

        def tick() -> None:
            while not ending.wait(TICK_S):
                with suppress(TryAgain):
                    reap(clock, bench.context.tickets, tick_s=TICK_S)

        ticking = threading.Thread(target=tick)
        ticking.start()
        yield bench
        ending.set()
        ticking.join()
    clock.close()
    store.close()


def stand_still(server: Postgres, for_s: float) -> None:
    """Stop every process of the server, and let it go on."""
    postmaster = psutil.Process(server.child.pid)
    stopped = [postmaster, *postmaster.children()]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    time.sleep(for_s)
    for process in stopped:
        process.send_signal(signal.SIGCONT)


@pytest.mark.timeout(120)
def test_it_costs_no_trial_and_work_goes_on_at_once(server: Postgres, alone: Bench, tmp_path: Path) -> None:
    params = {"running": str(tmp_path / "running"), "file": str(tmp_path / "go")}
    ticket = alone.ticket(alone.study("attempts:waits_for_a_file", name="goes-on"), params)
    went_on: list[float] = []

    def silence() -> None:
        stand_still(server, 2 * LEASE_S)
        back = time.monotonic()
        until(lambda: alone.trial(ticket).state is TrialState.RUNNING)
        (tmp_path / "go").touch()
        went_on.append(back)

    with once_there(tmp_path / "running", silence):
        alone.attempt(ticket)
    assert time.monotonic() - went_on[0] < 30
    trial = alone.trial(ticket)
    assert (trial.state, trial.attempts, trial.faults) == (TrialState.SCORED, 1, {})


@pytest.mark.timeout(120)
def test_an_end_that_comes_in_the_silence_is_written_after_it(server: Postgres, alone: Bench, tmp_path: Path) -> None:
    params = {"running": str(tmp_path / "running"), "file": str(tmp_path / "go")}
    ticket = alone.ticket(alone.study("attempts:waits_for_a_file", name="ends"), params)

    def silence() -> None:
        ending = threading.Timer(1.0, (tmp_path / "go").touch)
        ending.start()
        stand_still(server, 2 * LEASE_S)

    with once_there(tmp_path / "running", silence):
        alone.attempt(ticket)
    trial = alone.trial(ticket)
    assert (trial.state, trial.attempts, trial.faults) == (TrialState.SCORED, 1, {})
    assert alone.run("quick:good", name="after").state is TrialState.SCORED
