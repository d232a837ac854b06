"""What a database does that hangs, is locked, is stopped or refuses: it costs no healthy trial its lease, and no slot
its work.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from celeriac.domain.errors import StoreUnavailable, TryAgain
from celeriac.domain.records import Fault, Report, TrialState
from celeriac.store import Store, open_store
from celeriac.store.connection import open_engine
from coordinator.reaper import reap
from tests.worker.attempt.test_run_control import once_there
from tests.worker.conftest import Bench, until
from worker.attempt import checkpoints
from worker.attempt.release_leases import release

LEASE_S, TICK_S = 3.0, 0.5


@pytest.fixture
def short(bench: Bench) -> Bench:
    """The bench with short leases."""
    bench.settings = bench.context.settings = replace(bench.settings, lease_s=LEASE_S, heartbeat_s=0.5)
    bench.context.lease_keeper.lease_s, bench.context.lease_keeper.heartbeat_s = LEASE_S, 0.5
    return bench


@pytest.fixture
def others(database: str) -> Iterator[Store]:
    """The connections of other programs: the slot's own are two."""
    store = open_store(database)
    yield store
    store.close()


@contextmanager
def reaper(bench: Bench, store: Store) -> Iterator[None]:
    """A clock that reaps all the time, as if nothing were wrong."""
    ending = threading.Event()

    def tick() -> None:
        while not ending.wait(TICK_S):
            reap(store, bench.context.tickets, tick_s=TICK_S)

    thread = threading.Thread(target=tick)
    thread.start()
    yield
    ending.set()
    thread.join()


def execute(database: str, statement: str) -> None:
    """Run a statement as the database's owner."""
    engine = open_engine(database, pool_size=1)
    with engine.connect() as session:
        session.execute(text(statement))
    engine.dispose()


@contextmanager
def locked(database: str, table: str) -> Iterator[None]:
    """Hold the table's strongest lock: every other statement on it waits."""
    engine = open_engine(database, pool_size=1)
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as session, session.begin():
        session.execute(text(f"LOCK TABLE {table}"))
        yield
    engine.dispose()


# -- a lease is renewed whatever hangs
# ----------------------------------------------------------------------------------
def test_a_locked_table_of_reports_costs_no_lease(short: Bench, database: str, others: Store, tmp_path: Path) -> None:
    sign = tmp_path / "first-report"
    ticket = short.ticket(short.study("attempts:reports_until"), {"file": str(sign), "until": str(tmp_path / "go")})

    def hold() -> None:
        with locked(database, "report"):
            time.sleep(2 * LEASE_S)
        (tmp_path / "go").touch()

    with reaper(short, others), once_there(sign, hold):
        short.attempt(ticket)
    trial = short.trial(ticket)
    assert (trial.state, trial.attempts) == (TrialState.SCORED, 1)
    reported = [each.step for each in short.store.reports(trial.study_id, trial.number)]
    assert reported == list(range(len(reported)))
    assert len(reported) > 2 * LEASE_S


def test_a_directory_that_hangs_costs_no_lease_and_the_slot_goes_on(
    short: Bench, others: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Deleting hangs for three leases, while the trial writes on and while others follow on the slot."""
    go_on, hung = threading.Event(), threading.Event()

    def hangs(*_: object) -> None:
        hung.set()
        assert go_on.wait(60)

    monkeypatch.setattr(checkpoints, "delete", hangs)
    monkeypatch.setattr(checkpoints, "remove", hangs)
    monkeypatch.setattr(short.context.janitor, "_hangs_s", 0.5)
    with reaper(short, others):
        first = short.run("attempts:saves_for", {"seconds": 3 * LEASE_S}, name="first")
        assert hung.is_set()
        began = time.monotonic()
        followers = [short.run("attempts:steps", name=f"other-{number}") for number in range(3)]
        assert time.monotonic() - began < 3 * LEASE_S
    assert (first.state, first.attempts) == (TrialState.SCORED, 1)
    assert [(each.state, each.attempts) for each in followers] == [(TrialState.SCORED, 1)] * 3
    assert any("of first trial 0" in line and "has not come back" in line for line in caplog.messages)
    go_on.set()
    short.settle()


def test_checkpoints_that_cannot_be_read_cost_their_trial_an_attempt_and_the_slot_nothing(
    short: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = short.ticket(short.study("attempts:steps"), {"fail_at": 2})
    short.attempt(ticket)
    go_on = threading.Event()
    monkeypatch.setattr("worker.attempt.resume.READ_S", 0.3)
    monkeypatch.setattr(checkpoints, "newest_sound", lambda *_: go_on.wait(60))
    short.attempt(replace(ticket, attempt=2))
    trial = short.trial(ticket)
    assert (trial.state, trial.fault) == (TrialState.WAITING, Fault.INFRASTRUCTURE)
    assert "could not be read: no answer for 0.3 s" in trial.detail
    assert short.run("quick:good", name="after").state is TrialState.SCORED
    go_on.set()


def test_a_renewal_takes_the_connection_that_is_free_while_a_report_holds_the_other(
    short: Bench, database: str, others: Store, tmp_path: Path
) -> None:
    sign, go = tmp_path / "first-report", tmp_path / "go"
    ticket = short.ticket(short.study("attempts:reports_until"), {"file": str(sign), "until": str(go)})

    def lease_until() -> datetime:
        (attempt,) = others.open_attempts_of(short.context.slot.name)
        return attempt.lease_until

    def hold() -> None:
        with locked(database, "report"):
            for _ in range(3):
                before = lease_until()
                until(lambda before=before: lease_until() > before)  # type: ignore[misc]
        go.touch()

    with once_there(sign, hold):
        short.attempt(ticket)
    assert short.trial(ticket).state is TrialState.SCORED


# -- an unexpected error stays where it happened
# ------------------------------------------------------------------------
def test_an_end_that_the_database_refuses_ends_nothing_but_its_attempt(
    short: Bench, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    params = {"running": str(tmp_path / "running"), "file": str(tmp_path / "go")}
    ticket = short.ticket(short.study("attempts:waits_for_a_file"), params)

    def break_counters() -> None:
        execute(database, "UPDATE study SET running = 0")
        (tmp_path / "go").touch()

    with once_there(tmp_path / "running", break_counters):
        summary = short.attempt(ticket)
    assert "the runner failed: CheckViolation" in summary
    assert any("its lease is left to lapse: CheckViolation" in line for line in caplog.messages)
    assert short.run("quick:good", name="after").state is TrialState.SCORED


def test_a_node_that_starts_anew_leaves_what_the_database_refuses_to_lapse(
    short: Bench, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    slot = short.context.slot
    tickets = [short.ticket(short.study("quick:good", name=name)) for name in ("broken", "sound")]
    for ticket in tickets:
        short.store.lease(ticket.study, ticket.trial, 1, worker=slot.name, device="cpu", lease_s=60)
    execute(database, "UPDATE study SET running = 0 WHERE name = 'broken'")
    released = release(short.store, short.context.tickets, slot.name, "its worker is gone")
    assert [each.study for each in released] == ["sound"]
    assert any("the lease of broken trial 0 attempt 1 is left to lapse" in line for line in caplog.messages)


def test_reports_that_a_trigger_refuses_cost_the_reports_only(short: Bench, database: str) -> None:
    execute(
        database,
        "CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no reports today';"
        " END $$",
    )
    execute(database, "CREATE TRIGGER refuses BEFORE INSERT ON report EXECUTE FUNCTION refuses()")
    try:
        trial = short.run("attempts:steps")
    finally:
        execute(database, "DROP FUNCTION refuses CASCADE")
    assert (trial.state, trial.score) == (TrialState.SCORED, 5.0)
    assert short.run("quick:good", name="after").state is TrialState.SCORED


class Refuses:
    """A store whose `report` takes each step for one beyond 64 bits."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._store, verb)

    def report(self, token: str, reports: list[Report], *more: object) -> object:
        return self._store.report(token, [replace(each, step=each.step + 2**63) for each in reports])


def test_a_value_that_postgres_cannot_hold_is_the_trial_s_own_fault(short: Bench, tmp_path: Path) -> None:
    refuses: Any = Refuses(short.store)
    short.context.results.store = short.context.store = refuses
    trial = short.run("attempts:trains_on", {"file": str(tmp_path / "first-report")})
    assert (trial.state, trial.fault, trial.attempts) == (TrialState.FAILED, Fault.USER_BUG, 1)
    assert "a value of the trial's was refused" in trial.detail
    assert "out of range" in trial.detail


# -- the store is away
# --------------------------------------------------------------------------------------------------
class Away:
    """A store that raises these errors in the calls of a verb that come, then lives."""

    def __init__(self, store: Store, verb: str, error: Callable[[], Exception], times: int) -> None:
        self._store, self._verb, self._error, self.times = store, verb, error, times
        self.calls = 0

    def __getattr__(self, verb: str) -> Any:
        if verb == self._verb:
            self.calls += 1
            if self.times > 0:
                self.times -= 1
                raise self._error()
        return getattr(self._store, verb)


@pytest.mark.parametrize("verb", ["lease", "begin", "report", "renew", "finish_attempt"])
def test_two_deadlocks_in_a_row_cost_no_result(short: Bench, verb: str) -> None:
    away: Any = Away(short.store, verb, lambda: TryAgain("two writers met"), 2)
    context = short.context
    context.store = context.lease_keeper.store = context.results.store = away
    trial = short.run("attempts:steps")
    assert (trial.state, trial.score, trial.faults) == (TrialState.SCORED, 5.0, {})
    assert len(short.store.reports(trial.study_id, trial.number)) == 5


def test_a_revoked_trial_waits_for_the_store_and_gives_up_after_the_grace(
    short: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away: Any = Away(short.store, "finish_attempt", lambda: StoreUnavailable("Postgres is away"), 10_000)
    short.context.store = away
    short.context.settings = replace(short.settings, checkpoint_grace_s=1.0)
    params = {"running": str(tmp_path / "running"), "file": str(tmp_path / "go")}
    ticket = short.ticket(short.study("attempts:waits_for_a_file"), params)

    def revoke() -> None:
        short.context.control.terminated = True
        (tmp_path / "go").touch()

    with once_there(tmp_path / "running", revoke):
        began = time.monotonic()
        summary = short.attempt(ticket)
    assert time.monotonic() - began < 10
    assert away.calls < 10
    assert "its lease is left to lapse, Postgres is away" in summary
    assert any("its end is given up" in line for line in caplog.messages)
    (attempt,) = short.attempts(short.trial(ticket))
    assert attempt.outcome is None
