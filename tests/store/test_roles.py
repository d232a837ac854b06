"""The two database roles do their work, and cannot do anybody else's."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from celeriac.errors import SettingInvalid, StoreUnavailable
from celeriac.lifecycle import StudyEvent, TrialEvent
from celeriac.records import Fault, StudyState, TrialState
from celeriac.store import Store, open_store
from celeriac.store.connection import open_engine
from celeriac.store.roles import COORDINATOR, WORKER, grant_roles
from tests.servers import Servers
from tests.store.scenes import (
    NOON,
    crossing,
    device,
    failed,
    leased,
    new_study,
    queued,
    released,
    report,
    schedule,
    scored,
    verdict,
)

PASSWORDS = {COORDINATOR: "of the coordinator's ' own", WORKER: "of the worker"}


@pytest.fixture
def roles(servers: Servers, database: str, store: Store) -> Iterator[dict[str, str]]:
    """The URL of the emptied database for each role.

    Roles belong to the whole server: a lock in its one database that all workers know lets one test after the other have them.
    """
    whole, own = open_engine(servers.postgres, pool_size=1), open_engine(database, pool_size=1)
    with whole.connect() as lock, own.connect() as connection:
        lock.execute(text("SET lock_timeout = '60s'; SET statement_timeout = 0"))
        lock.execute(text("SELECT pg_advisory_lock(1)"))
        for _ in range(2):  # safe to repeat
            grant_roles(database, PASSWORDS[COORDINATOR], PASSWORDS[WORKER])
        yield {
            role: make_url(database)
            .set(username=role, password=password)
            .render_as_string(hide_password=False)
            for role, password in PASSWORDS.items()
        }
        for role in PASSWORDS:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
    whole.dispose()
    own.dispose()


@pytest.fixture
def worker(roles: dict[str, str]) -> Iterator[Store]:
    opened = open_store(roles[WORKER])
    yield opened
    opened.close()


@pytest.fixture
def coordinator(roles: dict[str, str]) -> Iterator[Store]:
    opened = open_store(roles[COORDINATOR])
    yield opened
    opened.close()


def test_a_worker_does_its_work(worker: Store, store: Store) -> None:
    worker.check_schema()
    study = queued(store, 6, parallel=2)
    lease = leased(worker, study, 0)
    worker.begin(lease.token, fingerprint="abc", resumed_step=None, log_path="1/0-1.log")
    worker.renew(lease.token, 30, log_tail="epoch 1")
    worker.renew(lease.token, 30, log_tail="epoch 2")
    three = [report(lease, step, checkpoint=True) for step in (0, 1, 2)]
    landed = worker.report(lease.token, three, [crossing(1, 0.5)])
    worker.forget_checkpoints(study.id, 0, [landed.checkpoints[2].path])
    assert [each.place for each in landed.rungs] == [1]
    assert [each.step for each in worker.checkpoints(study.id, 0)] == [2, 1]
    assert [each.token for each in worker.open_attempts_of("cpu0.s0@here")] == [lease.token]
    assert worker.finish_attempt(lease.token, scored(0.5)).state is TrialState.SCORED
    parked = worker.finish_attempt(leased(worker, study, 1).token, released(TrialEvent.PARK))
    assert parked.state is TrialState.PAUSED
    again = failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY)
    assert worker.finish_attempt(leased(worker, study, 2).token, again).state is TrialState.WAITING
    for number in (3, 4):
        leased(worker, study, number)
    assert not hasattr(worker.lease(study.id, 5, 1, worker="w", device="cpu", lease_s=30), "token")
    assert worker.cancel_trial(study.id, 3, "revoked").state is TrialState.CANCELLED
    worker.put_aside(lease.token, "three trials in a row failed here", 60.0, study_only=False)
    assert [each.worker for each in worker.put_asides()] == ["cpu0.s0@here"]
    worker.put_devices("here", [device("cpu")])
    worker.put_devices("here", [])
    assert len(worker.reports(study.id, 0)) == 3
    assert worker.log_tail(study.id, 0, 1) == "epoch 2"


OVERREACHES: list[Callable[[Store], object]] = [
    lambda store: store.create_study(new_study()),
    lambda store: store.move_study(1, StudyEvent.STOP, "mine"),
    lambda store: store.add_trials(1, 1, []),
    lambda store: store.put_schedule(schedule()),
    lambda store: store.schedules(),
    lambda store: store.fire(NOON, new_study(schedule="nightly")),
    lambda store: store.champions(),
    lambda store: store.prune(NOON, reports=True, logs=False, checkpoints=False),
]
CHANGES_OF_SCHEMA = [
    "DROP TABLE study CASCADE",
    "TRUNCATE study CASCADE",
    "ALTER TABLE trial ADD COLUMN mine int",
    "CREATE TABLE mine (x int)",
    "CREATE TEMPORARY TABLE mine (x int)",
    "UPDATE alembic_version SET version_num = '9999'",
    "SELECT pg_read_file('/etc/passwd')",
]
CHANGES_OF_SCIENCE = [
    "DELETE FROM study",
    "DELETE FROM trial",
    "DELETE FROM attempt",
    "UPDATE study SET spec = '{}'",
    "UPDATE study SET state = 'DONE'",
    "UPDATE trial SET params = '{}'",
    "INSERT INTO trial (study_id, number, params, source) VALUES (1, 99, '{}', 'suggested')",
    "SELECT * FROM schedule",
]


def test_a_worker_does_nobody_elses(worker: Store, store: Store) -> None:
    queued(store, 1)
    for overreach in OVERREACHES:
        with pytest.raises(SettingInvalid, match="may not do this"):
            overreach(worker)
    assert store.study(1).state is StudyState.RUNNING


def test_no_role_changes_the_schema(roles: dict[str, str]) -> None:
    for role in (COORDINATOR, WORKER):
        refused(roles[role], CHANGES_OF_SCHEMA)


def test_a_worker_changes_no_science(roles: dict[str, str]) -> None:
    refused(roles[WORKER], CHANGES_OF_SCIENCE)


def test_a_coordinator_does_its_work(coordinator: Store) -> None:
    coordinator.check_schema()
    study = queued(coordinator, 2)
    with coordinator.driving(study.id) as mine:
        assert mine
    coordinator.finish_attempt(leased(coordinator, study, 0).token, scored(0.5))
    coordinator.move_study(study.id, StudyEvent.FINISH, "budget used")
    coordinator.put_schedule(schedule())
    fired = coordinator.fire(NOON, new_study(schedule="nightly", slice={"region": "eu"}))
    assert fired is not None
    coordinator.record_champion(verdict(fired, promoted=True))
    coordinator.drop_schedule("nightly")
    assert coordinator.prune(coordinator.now(), reports=True, logs=True, checkpoints=True).reports == 0


def test_a_role_that_makes_none_is_told_so(roles: dict[str, str]) -> None:
    with pytest.raises(SettingInvalid, match="may not do this"):
        grant_roles(roles[COORDINATOR], "a", "b")


def refused(url: str, statements: list[str]) -> None:
    engine = open_engine(url, pool_size=1)
    with engine.connect() as connection:
        for statement in statements:
            with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"):
                connection.execute(text(statement))
    engine.dispose()


def test_an_unreachable_server_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/x"):
        grant_roles("postgresql://nobody@127.0.0.1:1/x", "a", "b")
