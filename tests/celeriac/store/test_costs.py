"""One event costs the same at trial 10 and at trial 5,000: counted by Postgres itself, in rows touched and tables read
whole.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, text

from celeriac.domain.records import StudyRecord
from celeriac.store import Store, open_store
from celeriac.store.connection import open_engine
from tests.celeriac.store.scenes import crossing, leased, queued, report, scored, suggestion

TRIALS = 5_000
#: Open trials, the three last ends, and the few rows that a verb is about, each perhaps read more than once.
FEW = 60
LONG = ("trial", "attempt", "report", "rung")  # a short table may well be read whole

FILL = (
    """
    INSERT INTO trial (study_id, number, params, state, source, score, attempts, ended_no, ended_at)
        SELECT :study, k, '{"lr": 0.1}', 'SCORED', 'suggested', k, 1, k - :first + 1, clock_timestamp()
        FROM generate_series(CAST(:first AS int), :last) k
    """,
    """
    INSERT INTO attempt (study_id, trial, number, token, worker, device, leased_at,
        lease_s, lease_until, ended_at, outcome)
        SELECT :study, k, 1, md5(k::text), 'w', 'cpu', now(), 30, now(), now(), 'scored'
        FROM generate_series(CAST(:first AS int), :last) k
    """,
    """
    INSERT INTO report (study_id, trial, attempt, step, value, at)
        SELECT :study, k, 1, 0, k, now() FROM generate_series(CAST(:first AS int), :last) k
    """,
    """
    INSERT INTO rung (study_id, trial, rung, bracket, place, attempt, step, resource, value, loss, cutoff, cutoff_place)
        SELECT :study, k, r.rung, 0, k - :first + 1, 1, 0, 0, k, -k, k - (k - :first + 1) / 3 + 1,
            k - :first + 1 - (k - :first + 1) / 3 + 1
        FROM generate_series(CAST(:first AS int), :last) k, (VALUES (1), (3), (9)) r(rung)
    """,
    (
        "UPDATE study SET scored = :last - :first + 1, next_number = :last + 1, best_number = :last, best_score = :last"
        " WHERE id = :study"
    ),
)

TOUCHED = """
    SELECT relname, seq_scan, seq_tup_read, coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) AS rows
    FROM pg_stat_user_tables WHERE relname IN ('trial', 'attempt', 'report', 'rung', 'checkpoint')
"""
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@dataclass
class Meter:
    """Counts what a verb touches, on a connection of its own that ends with it (only then its counts are complete)."""

    database: str
    engine: Engine

    def of(self, verb: Callable[[Store], object]) -> tuple[int, list[str]]:
        """Rows touched, and the tables that were read whole."""
        before = self._counts()
        store = open_store(self.database)
        verb(store)
        store.close()
        after = self._counts()
        rows = sum(after[name][1] - before[name][1] for name in after)
        return rows, [name for name in LONG if after[name][0] > before[name][0]]

    def _counts(self) -> dict[str, tuple[int, int]]:
        with self.engine.connect() as connection:
            deadline = time.monotonic() + 20
            while connection.execute(text(OTHERS)).scalar_one():
                assert time.monotonic() < deadline, "a session of the verb does not end"
                time.sleep(0.01)  # Postgres tells nobody when a session has ended
            found = connection.execute(text(TOUCHED)).all()
        return {name: (scans, rows) for name, scans, _, rows in found}


@pytest.fixture
def long_study(database: str, store: Store) -> StudyRecord:
    """A study with 5,000 ended trials and 8 open ones, two of them running."""
    study = queued(store, 8, parallel=4)
    leased(store, study, 0, lease_s=0.01)
    leased(store, study, 1)
    engine = open_engine(database, pool_size=1)
    with engine.connect() as connection:
        for statement in FILL:
            connection.execute(text(statement), {"study": study.id, "first": 8, "last": 7 + TRIALS})
        connection.execute(text("ANALYZE"))
    engine.dispose()
    store.close()
    return store.study(study.id)


@pytest.fixture
def meter(database: str, store: Store, long_study: StudyRecord) -> Iterator[Meter]:
    store.close()
    engine = open_engine(database, pool_size=1)
    yield Meter(database, engine)
    engine.dispose()


def test_no_event_reads_what_is_over(meter: Meter, long_study: StudyRecord) -> None:
    study = long_study
    other = open_store(meter.database)
    token = other.attempts(study.id, 1)[0].token
    held = leased(other, study, 2)
    turn = other.study(study.id).turn
    other.close()
    verbs: dict[str, Callable[[Store], object]] = {
        "snapshot": lambda store: store.snapshot(study.id),
        "newest waiting": lambda store: store.newest_waiting(study.id, 5),
        "pending": lambda store: store.pending(study.id, observed=TRIALS, below=8 + TRIALS, since=8),
        "ended_since": lambda store: store.ended_since(study.id, TRIALS - 2),
        "lease": lambda store: leased(store, study, 3),
        "refused lease": lambda store: store.lease(study.id, 3, 1, worker="w", device="cpu", lease_s=30),
        "renew": lambda store: store.renew(token, 30, log_tail="epoch 1"),
        "report": lambda store: store.report(held.token, [report(held, 1, checkpoint=True)]),
        "report at three rungs": lambda store: store.report(
            held.token, [report(held, 9)], [crossing(rung, 4_000.5) for rung in (1, 3, 9)]
        ),
        "rungs": lambda store: store.rung_records(study.id, after=(0, 3, 2_000), limit=5),
        "finish": lambda store: store.finish_attempt(token, scored(0.5)),
        "late finish": lambda store: store.finish_attempt(token, scored(0.5)),
        "cancel": lambda store: store.cancel_trial(study.id, 2, "not wanted"),
        "add": lambda store: store.add_trials(study.id, turn, [suggestion(), suggestion()]),
        "queue": lambda store: store.queue_trials(study.id, turn + 1, [8 + TRIALS]),
        "replace": lambda store: store.replace_waiting(study.id, turn + 2, 9 + TRIALS, [suggestion(lr=0.5)]),
        "expired": lambda store: store.expired(),
        "unclaimed": lambda store: store.unclaimed([study.id], 0),
        "open attempts": lambda store: store.open_attempts_of("w"),
        "a page of trials": lambda store: store.trials(study.id, after=3_000, limit=5),
        "reports": lambda store: store.reports(study.id, 4_000),
        "to drive": lambda store: store.studies_to_drive(),
    }
    costs = {name: meter.of(verb) for name, verb in verbs.items()}
    assert {name: cost for name, cost in costs.items() if cost[0] > FEW or cost[1]} == {}
    assert all(cost[0] for name, cost in costs.items() if name in ("snapshot", "finish", "lease")), costs


def test_a_plan_that_was_made_for_a_small_study_serves_a_large_one(database: str, store: Store) -> None:
    study = queued(store, 1)
    engine = open_engine(database, pool_size=1)
    with engine.connect() as connection:
        connection.execute(text("ANALYZE"))
    store.add_trials(study.id, store.study(study.id).turn, [suggestion() for _ in range(11)])
    store.close()

    def grown_meanwhile(store: Store) -> None:
        for number in range(1, 11):  # the connection keeps the plan from the sixth time on
            store.queue_trials(study.id, store.study(study.id).turn, [number])
        with engine.connect() as connection:
            for statement in (FILL[0], FILL[-1]):
                connection.execute(text(statement), {"study": study.id, "first": 12, "last": 11 + TRIALS})
        engine.dispose()
        store.queue_trials(study.id, store.study(study.id).turn, [11])

    rows, read_whole = Meter(database, engine).of(grown_meanwhile)
    engine.dispose()
    assert (rows < 11 * FEW, read_whole) == (True, [])
