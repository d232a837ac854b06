"""The two database roles do their work, and cannot do anybody else's."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ProgrammingError

from celeriac.domain.errors import IllegalTransition, LeaseLost, SchemaMismatch, SettingInvalid, StoreUnavailable
from celeriac.domain.lifecycle import StudyEvent, TrialEvent
from celeriac.domain.records import Fault, StudyState, TrialState
from celeriac.store import Store, open_store
from celeriac.store.connection import open_engine
from celeriac.store.migrate import migrate
from celeriac.store.postgres.turns import DRIVING
from celeriac.store.roles import COORDINATOR, WORKER, grant_roles
from tests.celeriac.store.scenes import (
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
    searching,
    verdict,
)
from tests.servers import Servers

PASSWORDS = {COORDINATOR: "of the coordinator's ' own", WORKER: "of the worker"}


@pytest.fixture
def roles(servers: Servers, database: str, store: Store) -> Iterator[dict[str, str]]:
    """The URL of the emptied database for each role.

    Roles belong to the whole server: a lock in its one database that all workers know lets one test after the other
    have them.
    """
    whole, own = open_engine(servers.postgres, pool_size=1), open_engine(database, pool_size=1)
    with whole.connect() as lock, own.connect() as connection:
        lock.execute(text("SET lock_timeout = '60s'; SET statement_timeout = 0"))
        lock.execute(text("SELECT pg_advisory_lock(1)"))
        for _ in range(2):  # safe to repeat
            grant_roles(database, PASSWORDS[COORDINATOR], PASSWORDS[WORKER])
        yield {
            role: make_url(database).set(username=role, password=password).render_as_string(hide_password=False)
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
    worker.forget_checkpoints(lease.token, [landed.checkpoints[2].path])
    assert [each.place for each in landed.rungs] == [1]
    assert [each.step for each in store.checkpoints(study.id, 0)] == [2, 1]
    assert [each.step for each in worker.own_reports(lease.token)] == [0, 1, 2]
    assert [each.token for each in worker.own_attempts("cpu0.s0@here")] == [lease.token]
    assert worker.finish_attempt(lease.token, scored(0.5)).state is TrialState.SCORED
    parked = worker.finish_attempt(leased(worker, study, 1).token, released(TrialEvent.PARK))
    assert parked.state is TrialState.PAUSED
    again = failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY)
    assert worker.finish_attempt(leased(worker, study, 2).token, again).state is TrialState.WAITING
    for number in (3, 4):
        leased(worker, study, number)
    assert not hasattr(worker.lease(study.id, 5, 1, worker="w", device="cpu", lease_s=30), "token")
    assert not worker.has_other_slots("cpu0.s0@here", 0)
    worker.put_aside(lease.token, "three trials in a row failed here", 60.0, study_only=False)
    assert [each.worker for each in store.put_asides()] == ["cpu0.s0@here"]
    assert worker.cancel_ticket(study.id, 3, 1, "revoked").state is TrialState.CANCELLED
    assert worker.cancel_ticket(study.id, 5, 1, "revoked").state is TrialState.CANCELLED
    assert worker.drop_checkpoints(lease.token)
    worker.put_devices("here", [device("cpu")])
    worker.put_devices("here", [])
    assert store.checkpoints(study.id, 0) == []
    assert len(store.reports(study.id, 0)) == 3
    assert store.log_tail(study.id, 0, 1) == "epoch 2"


OVERREACHES: list[Callable[[Store], object]] = [
    lambda store: store.create_study(new_study()),
    lambda store: store.move_study(1, StudyEvent.STOP, "mine"),
    lambda store: store.add_trials(1, 1, []),
    lambda store: store.put_schedule(schedule()),
    lambda store: store.schedules(),
    lambda store: store.fire(NOON, new_study(schedule="nightly")),
    lambda store: store.champions(),
    lambda store: store.prune(1, NOON, reports=True, logs=False),
    lambda store: store.cancel_trial(1, 0, "mine"),
    lambda store: store.open_attempts_of("cpu0.s0@here"),
    lambda store: store.expired(),
    lambda store: store.trials(1),
    lambda store: store.reports(1, 0),
    lambda store: store.devices(),
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
#: What the worker's role could do once: each is refused by the tables, or by what every login of another database may
#: do.
ATTACKS = {
    "reads the tokens of all leases": "SELECT token FROM attempt",
    "ends another's attempt": "UPDATE attempt SET ended_at = now(), outcome = 'scored'",
    "changes finished trials": "UPDATE trial SET score = 1e9, state = 'SCORED' WHERE ended_no IS NOT NULL",
    "chooses the best and uses up the budget": "UPDATE study SET scored = 999, best_number = 0, best_score = 1e9",
    "forgets checkpoints": "DELETE FROM checkpoint",
    "takes devices away": "DELETE FROM device",
    "reads others' logs": "SELECT tail FROM attempt_log",
    "reads others' studies": "SELECT spec FROM study",
    "chooses a champion": "INSERT INTO champion (study_id, promoted) VALUES (1, true)",
    "locks a table": "DO $$ BEGIN LOCK TABLE report IN ACCESS EXCLUSIVE MODE; END $$",
    "locks a row": "SELECT 1 FROM study FOR UPDATE",
    "fills the disk beside the tables": "SELECT lo_from_bytea(0, 'x')",
    "fills it with one large object": "SELECT lo_create(0)",
    "holds the coordinator's lock": f"SELECT pg_advisory_lock({DRIVING | 1})",
    "holds it for a transaction": f"SELECT pg_try_advisory_xact_lock({DRIVING | 1})",
    "makes a function of its own": "CREATE FUNCTION worker.lease() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "drops a function": "DROP SCHEMA worker CASCADE",
}


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


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_stolen_workers_login_cannot(attack: str, roles: dict[str, str], store: Store) -> None:
    study = queued(store, 1)
    before = store.study(study.id)
    refused(roles[WORKER], [ATTACKS[attack]])
    assert store.study(study.id) == before


def test_a_token_opens_its_own_trial_alone(worker: Store, roles: dict[str, str], store: Store) -> None:
    """What the functions refuse: to say a token, to end without one, to write numbers that are none of a trial's."""
    study = queued(store, 4)
    lease = leased(worker, study, 0)
    thief = open_store(roles[WORKER])
    try:
        assert thief.own_attempts("cpu0.s0@here") == []
        for token in (lease.token.partition(".")[0], lease.token[:-1] + "x", "%", ""):
            with pytest.raises(LeaseLost):
                thief.finish_attempt(token, scored(1e9))
            assert thief.own_reports(token) == []
            assert not thief.drop_checkpoints(token)
        with pytest.raises(IllegalTransition, match="another host has it"):
            thief.cancel_ticket(study.id, 0, 1, "mine")
        held = leased(thief, study, 1, worker="cpu0.s0@here")
        with pytest.raises(LeaseLost):
            thief.finish_attempt(held.token, replace(scored(0.5), device_s=-1e9))
    finally:
        thief.close()
    counts = store.study(study.id).counts
    assert (counts.running, counts.queued, store.study(study.id).device_s) == (2, 2, 0.0)
    assert store.attempts(study.id, 0)[0].outcome is None


def test_devices_are_changed_by_the_host_that_wrote_them(worker: Store, roles: dict[str, str], store: Store) -> None:
    worker.put_devices("here", [device("gpu0")])
    thief = open_store(roles[WORKER])
    try:
        thief.put_devices("here", [])
        thief.put_devices("here", [replace(device("gpu0"), health="broken")])
    finally:
        thief.close()
    assert [(each.uuid, each.health) for each in store.devices()] == [("gpu0", "ok")]
    worker.put_devices("here", [])
    assert store.devices() == []


def test_a_migration_heals_what_a_role_changed_of_itself(roles: dict[str, str], database: str, store: Store) -> None:
    study = queued(store, 1)
    name = make_url(database).database
    run_as(
        roles[WORKER],
        f"ALTER ROLE {WORKER} SET default_transaction_read_only = on",
        f"ALTER ROLE {WORKER} IN DATABASE {name} SET search_path = nowhere",
        f"ALTER ROLE {WORKER} SET statement_timeout = 1",
        f"ALTER ROLE {WORKER} PASSWORD 'stolen'",
    )
    stolen = make_url(roles[WORKER]).set(password="stolen").render_as_string(hide_password=False)
    changed = open_store(stolen)  # what our programs need of a session, they say themselves
    assert changed.finish_attempt(leased(changed, study, 0).token, scored(0.5)).state is TrialState.SCORED
    changed.close()
    grant_roles(database, PASSWORDS[COORDINATOR], PASSWORDS[WORKER])
    engine = open_engine(roles[WORKER], pool_size=1, session={})
    with engine.connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {each}")).scalar_one()
            for each in ("default_transaction_read_only", "search_path", "statement_timeout")
        ]
    engine.dispose()
    assert shown == ["off", '"$user", public', "0"]


def test_functions_made_anew_keep_who_may_call_them(roles: dict[str, str], database: str, store: Store) -> None:
    migrate(database)
    worker = open_store(roles[WORKER])
    assert leased(worker, queued(store, 1), 0).number == 0
    worker.close()


def test_functions_of_another_version_are_told(database: str, store: Store) -> None:
    run_as(database, "COMMENT ON SCHEMA worker IS 'another'")
    try:
        with pytest.raises(SchemaMismatch, match="functions of another version"):
            store.check_schema()
    finally:
        migrate(database)
    store.check_schema()


def test_a_coordinator_does_its_work(coordinator: Store) -> None:
    coordinator.check_schema()
    study = queued(coordinator, 2)
    with coordinator.driving(study.id) as mine:
        assert mine
    coordinator.finish_attempt(leased(coordinator, study, 0).token, scored(0.5))
    coordinator.move_study(study.id, StudyEvent.FINISH, "budget used")
    coordinator.put_schedule(schedule())
    fired = searching(coordinator)
    coordinator.record_champion(verdict(fired, promoted=True))
    coordinator.drop_schedule("nightly")
    assert coordinator.prune(fired.id, coordinator.now(), reports=True, logs=True).reports == 0


def test_a_role_that_makes_none_is_told_so(roles: dict[str, str]) -> None:
    with pytest.raises(SettingInvalid, match="may not do this"):
        grant_roles(roles[COORDINATOR], "a", "b")


def run_as(url: str, *statements: str) -> None:
    engine = open_engine(url, pool_size=1)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


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
