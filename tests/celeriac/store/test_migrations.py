"""Migrations make exactly the tables of the program, from empty, once, and a program on another schema says what to
run.
"""

import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from celeriac.domain.errors import SchemaMismatch, SettingInvalid, StoreUnavailable
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent, StudyEvent
from celeriac.domain.records import Counts, FiringState, Report, SliceDue, Stage, StudyState
from celeriac.store import open_store
from celeriac.store.connection import driver, open_engine
from celeriac.store.migrate import migrate, schema_state
from celeriac.store.postgres import functions
from celeriac.store.revision import REVISION
from celeriac.store.tables import metadata
from tests.celeriac.store.scenes import leased, scored
from tests.servers import Servers

ROOT = Path(__file__).parents[3]
VERSIONS = ROOT / "migrations" / "versions"

#: What `compare_metadata` does not look at: checks, partial indexes and fill factors, as Postgres itself writes them
#: down.
CATALOGUE = """
    SELECT conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL SELECT relname || ' ' || reloptions::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL
    UNION ALL SELECT table_name || ' ' || column_name
        || ' ' || data_type || ' ' || is_nullable || coalesce(column_default, '')
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""


@pytest.fixture
def empty(servers: Servers) -> Iterator[str]:
    """The URL of a database without any table."""
    name = f"celeriac_empty_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    yield servers.database(name, migrated=False)
    servers.drop(name)


def test_tables_and_migrations_do_not_drift(empty: str, servers: Servers) -> None:
    migrate(empty)
    engine = open_engine(empty, pool_size=1)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        migrated = sorted(connection.execute(text(CATALOGUE)).scalars())
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
        metadata.create_all(connection)
        assert migrated == sorted(connection.execute(text(CATALOGUE)).scalars())
    engine.dispose()
    assert len(migrated) > 100


def test_files_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in VERSIONS.glob("[0-9]*.py"))
    assert all(re.fullmatch(r"\d{4}_[a-z]+_[a-z_]+\.py", name) for name in names), names
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]
    assert names[-1][:4] == REVISION


def test_migrating_twice_changes_nothing(empty: str) -> None:
    assert schema_state(empty).found is None
    first = migrate(empty)
    assert (first.found, first.needed, first.current) == (None, REVISION, False)
    assert migrate(empty).current
    assert schema_state(empty).current
    with_store(empty)


def test_functions_of_another_version_are_made_anew_where_the_tables_are_the_same(empty: str) -> None:
    """`celeriac up` of a later version migrates what is not current, and its programs refuse such functions."""
    migrate(empty)
    with open_engine(empty, pool_size=1).connect() as connection, connection.begin():
        connection.execute(text("COMMENT ON SCHEMA worker IS 'of another version'"))
    assert not schema_state(empty).current
    migrate(empty)
    assert schema_state(empty).current


def test_two_that_migrate_at_once_both_succeed(empty: str) -> None:
    before: list[str | None] = []
    threads = [threading.Thread(target=lambda: before.append(migrate(empty).found)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(before, key=str) == sorted([None, REVISION, REVISION], key=str)


#: What a program of the version before left: a trial that runs under a lease, and one that waits.
OF_THE_VERSION_BEFORE = """
    INSERT INTO study (name, spec, goal, state, turn, next_number, waiting, running, started_at) VALUES
        ('digits', '{"study": "digits", "objective": "train:objective", "metric": {"name": "score", "goal": "maximize"},
            "seed": 7, "budget": {"trials": 4}, "retry": {"attempts": 3}}', 'maximize', 'RUNNING', 5, 2, 1, 1, now());
    INSERT INTO trial (study_id, number, params, state, source, attempts, worker) VALUES
        (1, 0, '{"lr": 0.1}', 'RUNNING', 'default', 1, 'w@here'), (1, 1, '{"lr": 0.2}', 'WAITING', 'suggested', 0, '');
    INSERT INTO attempt (study_id, trial, number, token, worker, device, leased_at, lease_s, lease_until) VALUES
        (1, 0, 1, 'token', 'w@here', 'cpu', now(), 30, now() + interval '30 s');
"""


def test_a_worker_works_on_while_the_schema_of_the_version_before_is_migrated(empty: str) -> None:
    before = f"{int(REVISION) - 1:04}"
    upgrade_to(empty, before, then=OF_THE_VERSION_BEFORE)
    engine = open_engine(empty, pool_size=1)
    with engine.connect() as connection, connection.begin():
        functions.install(driver(connection))
    engine.dispose()
    worker = open_store(empty)
    beats, over = threading.Semaphore(0), threading.Event()
    wrong: list[Exception] = []

    def work() -> None:
        step = 0
        while not over.is_set():
            try:
                worker.renew("token", 30)
                worker.report("token", [Report(step, 0.5)])
            except Exception as error:
                wrong.append(error)
                return
            step += 1
            beats.release()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert all(beats.acquire(timeout=30) for _ in range(5))
        assert migrate(empty).found == before
        while beats.acquire(blocking=False):
            pass
        assert all(beats.acquire(timeout=30) for _ in range(5)), wrong
    finally:
        over.set()
        thread.join()
    assert wrong == []
    worker.finish_attempt("token", scored(0.5))
    worker.check_schema()
    assert leased(worker, worker.study(1), 1).attempt == 1
    assert worker.study(1).counts == Counts(running=1, scored=1)
    worker.close()


#: What programs of schema 0003 left: a study with a trial that runs under a lease and two that wait, with the lists of
#: pending trials that suggestions carried then, and a paused study of a schedule, with its firing.
OF_SCHEMA_0003 = """
    INSERT INTO study (name, spec, goal, state, turn, next_number, waiting, running, started_at) VALUES
        ('digits', '{"study": "digits", "objective": "train:objective", "metric": {"goal": "maximize"},
            "seed": 7, "budget": {"trials": 4}, "retry": {"attempts": 3}}', 'maximize', 'RUNNING', 5, 3, 2, 1, now());
    INSERT INTO study (name, spec, goal, state, turn, started_at, schedule, due_at) VALUES
        ('nightly-1', '{"study": "nightly", "objective": "train:objective", "metric": {"goal": "maximize"},
            "seed": 7, "budget": {"trials": 4}, "retry": {"attempts": 3}}', 'maximize', 'PAUSED', 2,
            now() - interval '1 hour', 'nightly', '2026-03-01 12:00+00');
    INSERT INTO schedule (name, spec, cron, timezone, slices, next_due_at, created_at) VALUES
        ('nightly', '{"study": "nightly"}', '0 12 * * *', 'UTC', '[{"region": "eu"}, {"region": "us"}]',
            '2026-03-02 12:00+00', '2026-02-01 12:00+00'),
        ('plain', '{"study": "plain"}', '0 12 * * *', 'UTC', '[]', '2026-03-03 12:00+00', '2026-02-01 12:00+00');
    INSERT INTO firing (schedule, slice, due_at, study_id) VALUES ('nightly', '{}', '2026-03-01 12:00+00', 2);
    INSERT INTO trial (study_id, number, params, state, source, why, attempts, worker) VALUES
        (1, 0, '{"lr": 0.1}', 'RUNNING', 'default', '{}', 1, 'w@here'),
        (1, 1, '{"lr": 0.2}', 'WAITING', 'suggested',
            '{"sampler": "random", "seed": 0, "observed": 0, "pending": [0], "index": 0}', 0, ''),
        (1, 2, '{"lr": 0.3}', 'WAITING', 'suggested', '{"observed": 0, "pending": [0, 1], "index": 1}', 0, '');
    INSERT INTO attempt (study_id, trial, number, token, worker, device, leased_at, lease_s, lease_until) VALUES
        (1, 0, 1, 'token', 'w@here', 'cpu', now(), 30, now() + interval '30 s');
    INSERT INTO device (host, uuid, kind, memory_bytes, slots, heartbeat_at) VALUES
        ('here', 'cpu', 'cpu', 1, '["cpu.s0"]', now());
"""


def test_a_database_of_schema_0003_migrates_and_goes_on(empty: str) -> None:
    upgrade_to(empty, "0003", then=OF_SCHEMA_0003)
    assert migrate(empty).found == "0003"
    store = open_store(empty)
    store.check_schema()
    study, paused = store.study(1), store.study(2)
    assert study.first_leased_at == study.started_at
    assert paused.paused_at is not None
    assert [each.observed for each in store.pending(1, observed=0, below=3)] == [None, 0, 0]
    assert [(each.trial, each.device_kind) for each in store.attempts(1, 0)] == [(0, "")]
    assert [(each.uuid, each.heartbeat_s) for each in store.devices()] == [("cpu", 5.0)]
    assert [each.by_hand for each in store.firings("nightly")] == [0]
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert store.slice_dues("nightly") == [SliceDue("nightly", {"region": region}, noon) for region in ("eu", "us")]
    assert store.slice_dues("plain") == [SliceDue("plain", {}, noon + timedelta(days=1))]
    assert [each.next_due_at for each in store.schedules()] == [noon, noon + timedelta(days=1)]
    store.renew("token", 30)
    store.finish_attempt("token", scored(0.5))
    assert store.snapshot(1).waiting == (1, 2)
    store.queue_trials(1, study.turn, [1, 2])
    assert leased(store, study, 1).checkpoints == ()
    assert store.study(1).counts == Counts(queued=1, running=1, scored=1)
    resumed = store.move_study(2, StudyEvent.RESUME, "a person asked")
    assert resumed.state is StudyState.RUNNING
    assert 3590 < resumed.worked_s(store.now()) < 3700, "it worked until it was migrated"
    store.close()


#: What programs of schema 0006 left of a schedule: three nights of one slice, the first promoted, the second not, the
#: third still running; and a night of another slice that closed a moment ago, without its verdict yet.
OF_SCHEMA_0006 = """
    INSERT INTO study (name, spec, goal, state, ended_at, parallel, code_root, fingerprint, schedule, slice, due_at)
        SELECT 'nightly/' || k, '{"study": "nightly", "seed": 7, "budget": {"trials": 4}}', 'maximize',
            CASE k WHEN 3 THEN 'RUNNING' ELSE 'DONE' END, CASE k WHEN 3 THEN NULL ELSE now() END, 2, '/code', 'abc',
            'nightly', CASE k WHEN 4 THEN jsonb '{"region": "us"}' ELSE jsonb '{"region": "eu"}' END,
            timestamptz '2026-03-01 12:00+00' + k * interval '1 day'
        FROM generate_series(1, 4) AS k;
    INSERT INTO firing (schedule, slice, due_at, study_id) SELECT schedule, slice, due_at, id FROM study;
    INSERT INTO champion (study_id, schedule, slice, study, trial, params, score, promoted, reason) VALUES
        (1, 'nightly', '{"region": "eu"}', 'nightly/1', 2, '{"lr": 0.1}', 0.9, true, 'it won'),
        (2, 'nightly', '{"region": "eu"}', 'nightly/2', 0, '{"lr": 0.2}', 0.8, false, 'nothing won');
"""


def test_firings_of_schema_0006_are_given_the_life_that_they_had(empty: str) -> None:
    upgrade_to(empty, "0006", then=OF_SCHEMA_0006)
    migrate(empty)
    store = open_store(empty)
    us, running, kept, promoted = store.firings("nightly")
    assert [(each.name, each.state) for each in (promoted, kept, running, us)] == [
        ("nightly/1", FiringState.PROMOTED),
        ("nightly/2", FiringState.KEPT),
        ("nightly/3", FiringState.SEARCHING),
        ("nightly/4", FiringState.SEARCHING),
    ]
    assert (promoted.reason, kept.reason) == ("it won", "nothing won")
    assert [(each.name, each.stage) for each in store.stage_studies([running.id])] == [("nightly/3", Stage.SEARCH)]
    assert store.firings_to_move() == [us.id]
    plan = store.firing_plan(running.id)
    assert (plan.goal, plan.parallel, plan.code_root, plan.fingerprint) == ("maximize", 2, "/code", "abc")
    assert plan.spec == store.study(3).spec
    second, first = store.verdicts("nightly")
    assert (first.firing_id, first.before_id, second.before_id) == (promoted.id, None, first.id)
    assert store.champions() == [first]
    moved = store.move_firing(us.id, us.turn, FiringMove(FiringEvent.KEEP, "nothing won here either"))
    assert (moved.state, moved.turn) == (FiringState.KEPT, 1)
    store.close()


#: What programs of schema 0023 left: a gang of three that ran for 10 s, half a GPU for 20 s, one alone for 30 s.
OF_SCHEMA_0023 = """
    INSERT INTO study (name, spec, goal, next_number, scored, device_s) VALUES ('s', '{}', 'maximize', 3, 3, 60);
    INSERT INTO trial (study_id, number, params, state, source, score, attempts, ended_no, placed)
        SELECT 1, k, '{}', 'SCORED', 'suggested', 1, 1, k + 1,
            CASE k WHEN 1 THEN jsonb '{"share": 0.5, "devices": ["GPU-1"], "memory_bytes": 0}' END
        FROM generate_series(0, 2) k;
    INSERT INTO attempt (study_id, trial, number, token, worker, device, leased_at, lease_s, lease_until, ended_at,
        outcome, device_s)
        SELECT 1, k, 1, 'token' || k, 'w', 'd', now(), 30, now(), now(), 'scored', 10 * (k + 1)
        FROM generate_series(0, 2) k;
    INSERT INTO gang_member (token, study_id, trial, attempt, worker, host, device, address, port, joined_at, lease_s,
        lease_until, rank, world)
        SELECT CASE k WHEN 0 THEN 'token0' ELSE 'm' || k END, 1, 0, 1, 'w', 'h', 'd', 'a', 1, now(), 30, now(), k, 3
        FROM generate_series(0, 2) k;
"""


def test_device_time_of_schema_0023_is_counted_anew_for_gangs_and_shares(empty: str) -> None:
    upgrade_to(empty, "0023", then=OF_SCHEMA_0023)
    migrate(empty)
    store = open_store(empty)
    attempts = [store.attempts(1, number)[0] for number in range(3)]
    assert [(each.width, each.device_s) for each in attempts] == [(3.0, 30.0), (0.5, 10.0), (1.0, 30.0)]
    assert (store.study(1).device_s, store.study(1).ran_s) == (70.0, 60.0)
    store.close()


def test_an_empty_database_is_told_to_migrate(empty: str) -> None:
    store = open_store(empty)
    with pytest.raises(SchemaMismatch, match="run `celeriac migrate`"):
        store.check_schema()
    with pytest.raises(SchemaMismatch, match="run `celeriac migrate`"):
        store.studies()
    store.close()


@pytest.mark.parametrize(("found", "advice"), [("0000", "run `celeriac migrate`"), ("9999", "upgrade this program")])
def test_another_schema_is_named_with_what_to_run(empty: str, found: str, advice: str) -> None:
    migrate(empty)
    stamp(empty, found)
    store = open_store(empty)
    with pytest.raises(SchemaMismatch, match=f"has schema {found}.*{advice}"):
        store.check_schema()
    store.close()


def test_a_newer_database_is_never_migrated(empty: str) -> None:
    migrate(empty)
    stamp(empty, "9999")
    with pytest.raises(SchemaMismatch, match="upgrade this program"):
        migrate(empty)
    assert schema_state(empty).found == "9999"


def test_a_server_that_is_not_there_is_unavailable() -> None:
    nowhere = "postgresql://someone:secret@127.0.0.1:1/celeriac"
    for ask in (migrate, schema_state):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/celeriac") as caught:
            ask(nowhere)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["sqlite:///x.db", "not a url", ""])
def test_only_postgres_will_do(url: str) -> None:
    with pytest.raises(SettingInvalid, match="CELERIAC_DATABASE_URL"):
        migrate(url)


@pytest.mark.slow
def test_an_installed_wheel_migrates(empty: str, tmp_path: Path) -> None:
    """What ships is enough: no file of the source tree is read."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", tmp_path, copy_of_the_sources(tmp_path)], check=True, cwd=tmp_path)
    installed = tmp_path / "installed"
    with zipfile.ZipFile(next(tmp_path.glob("celeriac-*.whl"))) as wheel:
        wheel.extractall(installed)
    tops = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"}
    ours = {"celeriac", "coordinator", "worker"}
    assert tops == {*ours, "hydra_plugins"}, "a top-level package of a common name is in others' way"
    # Hydra looks for plugins of all packages there: whoever makes it a regular package hides the others'.
    assert [path.name for path in (installed / "hydra_plugins").iterdir()] == ["celeriac_sweeper"]
    program = (
        "import sys, celeriac.store.migrate as m; assert m.__file__.startswith(sys.argv[2]), m.__file__; "
        "m.migrate(sys.argv[1]); print(m.schema_state(sys.argv[1]).current)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, empty, str(installed)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True"


def copy_of_the_sources(place: Path) -> Path:
    """The tree as git knows it: setuptools leaves its own files behind where it builds."""
    copy = place / "sources"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if name.endswith((".py", ".mako", ".sql", ".toml", ".md", ".typed")) and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy


def upgrade_to(url: str, revision: str, *, then: str) -> None:
    engine = open_engine(url, pool_size=1)
    with engine.execution_options(isolation_level="READ COMMITTED").connect() as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(ROOT / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.exec_driver_sql(then, execution_options={"no_parameters": True})
    engine.dispose()


def stamp(url: str, revision: str) -> None:
    engine = open_engine(url, pool_size=1)
    with engine.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()


def with_store(url: str) -> None:
    store = open_store(url)
    store.check_schema()
    assert store.studies() == []
    store.close()
