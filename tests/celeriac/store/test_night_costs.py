"""A year of nights costs a tick no more than a week of them: counted by Postgres itself, in rows that it touched."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Connection, text

from celeriac.domain.records import DeliveryKind
from celeriac.store import Store, open_store
from celeriac.store.connection import open_engine
from celeriac.store.firing import MOST_LOOKS
from tests.celeriac.store.scenes import new_study, schedule

SLICES, NIGHTS = 40, 365
FILL = """
    INSERT INTO firing (name, schedule, slice, due_at, plan, state, fired_at, entered_at, steps)
        SELECT format('nightly/region=%s/%s', s, to_char(d.due_at, 'YYYY-MM-DD')), 'nightly',
            jsonb_build_object('region', s::text), d.due_at, json_build_object('spec', repeat('x', 4000)),
            CASE WHEN n = 0 AND s = 0 THEN 'SEARCHING' ELSE 'KEPT' END, d.due_at, d.due_at + interval '3 hours',
            (SELECT jsonb_agg(jsonb_build_object('state', 'KEPT', 'reason', md5(format('%s %s %s', s, n, k))))
                FROM generate_series(1, 20) k)
        FROM generate_series(0, :slices - 1) s, generate_series(0, :nights - 1) n,
            LATERAL (SELECT date_trunc('day', now()) - make_interval(days => n) - interval '6 hours' AS due_at) d
"""
TOLD = (
    "INSERT INTO delivery (kind, schedule, night)"
    " SELECT DISTINCT 'morning', schedule, split_part(name, '/', 3) FROM firing"
)
#: One verdict in seven nights promotes, and all that follows from it is done.
VERDICTS = """
    INSERT INTO champion (study_id, schedule, slice, study, trial, promoted, reason, before_id)
        SELECT :study, 'nightly', jsonb_build_object('region', s::text), 'nightly', 1, (s + n) % 7 = 0, 'because', n
        FROM generate_series(1, :nights) n, generate_series(0, :slices - 1) s ORDER BY n, s
"""
DELIVERED = """
    INSERT INTO delivery (kind, schedule, promotion, done_at)
        SELECT k, schedule, id, now() FROM champion, unnest(ARRAY['publish', 'hook']) k WHERE promoted
"""
#: What the statement of a tick looks back over (`note_promotions`).
LOOKED_AT = 1000
TOUCHED = (
    "SELECT sum(coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0)) FROM pg_stat_user_tables WHERE relname = :table"
)
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
def year(database: str, store: Store) -> Iterator[Connection]:
    """40 slices with 365 nights each; of the newest one is still at work."""
    morning = {"name": "nightly", "cron": "0 2 * * *", "morning": {"url": "http://x/"}}
    store.put_schedule(schedule(spec={"schedule": morning}))
    study = store.create_study(new_study()).id
    store.close()
    fill(database, study)
    engine = open_engine(database, pool_size=1)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def fill(database: str, study: int) -> None:
    """Writes the year in a session of its own: what a session has read is surely counted only when it has ended."""
    engine = open_engine(database, pool_size=1)
    with engine.connect() as connection:
        connection.execute(text(FILL), {"slices": SLICES, "nights": NIGHTS})
        connection.execute(text(TOLD))
        connection.execute(text(VERDICTS), {"study": study, "slices": SLICES, "nights": NIGHTS})
        connection.execute(text(DELIVERED))
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def touched(connection: Connection, table: str = "firing") -> int:
    """Rows of the table so far, once no other session is left: only then their counts are complete."""
    deadline = time.monotonic() + 20
    while connection.execute(text(OTHERS)).scalar_one():
        assert time.monotonic() < deadline, "a session of the verb does not end"
        time.sleep(0.01)  # Postgres tells nobody when a session has ended
    return int(connection.execute(text(TOUCHED), {"table": table}).scalar_one())


def test_what_a_tick_asks_of_a_year_of_nights(database: str, year: Connection) -> None:
    since = year.execute(text("SELECT now()")).scalar_one() - timedelta(days=1)
    verbs: dict[str, tuple[Callable[[Store], object], int]] = {
        "due_deliveries": (lambda store: store.due_deliveries(), 5 * SLICES),
        "firings_to_mind": (lambda store: store.firings_to_mind("nightly", since), 5 * SLICES),
        "firings_to_move": (lambda store: store.firings_to_move(), 5),
        "firings of a slice": (
            lambda store: store.firings("nightly", slice_={"region": "7"}, limit=MOST_LOOKS),
            2 * MOST_LOOKS,
        ),
    }
    cost = {}
    for name, (verb, _) in verbs.items():
        before = touched(year)
        store = open_store(database)
        began = time.perf_counter()
        verb(store)
        took = time.perf_counter() - began
        store.close()
        cost[name] = touched(year) - before
        print(f"{name}: {cost[name]} rows, {1000 * took:.1f} ms with its first connection")
    assert {name: rows for name, rows in cost.items() if rows > verbs[name][1]} == {}
    look_at_promotions(database, year)


def look_at_promotions(database: str, year: Connection) -> None:
    """A tick looks at few of a year's promotions, and misses none that was committed late."""
    before = {table: touched(year, table) for table in ("champion", "delivery")}
    assert promotions_due(database) == []
    cost = {table: touched(year, table) - rows for table, rows in before.items()}
    assert cost["champion"] <= LOOKED_AT + 10
    assert cost["delivery"] <= 2 * LOOKED_AT + 10
    late = "SELECT id FROM champion WHERE promoted ORDER BY id DESC OFFSET 60 LIMIT 1"
    missing = year.execute(text(late)).scalar_one()
    year.execute(text("DELETE FROM delivery WHERE promotion = :missing"), {"missing": missing})
    assert promotions_due(database) == [(DeliveryKind.PUBLISH, missing)]  # the hook waits for it


def promotions_due(database: str) -> list[tuple[DeliveryKind, int]]:
    store = open_store(database)
    found = [(each.kind, each.promotion) for each in store.due_deliveries(1000) if each.promotion]
    store.close()
    return found
