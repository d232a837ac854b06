"""The database refuses what no rule foresees: that study is paused with the reason, and nothing else is touched."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import StudyRecord, StudyState, TrialState
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from celeriac.store.connection import open_engine
from coordinator import reaper
from coordinator.reaper import reap
from coordinator.turn import Coordinator, drive, drive_all
from tests.coordinator.house import Here, Mailbox, open_study, with_slots

SCORED = AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=0.5, device_s=1.0)
REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.study_id = %d THEN RAISE EXCEPTION 'no trials today'; END IF; RETURN NEW;
    END $$
"""


def run(database: str, *statements: str) -> None:
    engine = open_engine(database, pool_size=1)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@contextmanager
def refusing_trials_of(database: str, study: StudyRecord) -> Iterator[None]:
    trigger = "CREATE TRIGGER refuse BEFORE INSERT ON trial FOR EACH ROW EXECUTE FUNCTION refuse()"
    run(database, REFUSE % study.id, trigger)
    yield
    run(database, "DROP TRIGGER refuse ON trial", "DROP FUNCTION refuse")


def two(store: Store) -> tuple[StudyRecord, StudyRecord]:
    with_slots(store, 4)
    return open_study(store, study="broken"), open_study(store, study="sound")


def leased(store: Store, study: StudyRecord, number: int, lease_s: float = 30.0) -> str:
    found = store.lease(study.id, number, 1, worker="w", device="cpu", lease_s=lease_s)
    return found.token  # type: ignore[union-attr]


def test_a_turn_that_is_refused_pauses_its_study_and_no_other(store: Store, database: str) -> None:
    broken, sound = two(store)
    with refusing_trials_of(database, broken):
        drive_all(Coordinator(store, Mailbox(), Here(store)))
    paused = store.study(broken.id)
    assert paused.state is StudyState.PAUSED
    assert "no trials today" in paused.reason
    assert "celeriac resume broken" in paused.reason
    assert store.study(sound.id).state is StudyState.RUNNING
    assert store.study(sound.id).counts.queued


def test_counters_that_somebody_changed_stop_their_study_and_no_reaper(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "MOST_REAPED", 1)  # what is left as it is does not fill the reaper's page
    broken, sound = two(store)
    coordinator = Coordinator(store, Mailbox(), Here(store))
    drive_all(coordinator)
    drive_all(coordinator)
    first = leased(store, broken, 0)
    store.finish_attempt(first, SCORED)
    drive(coordinator, broken.id)
    for study, number in ((broken, 1), (sound, 0)):
        store.queue_trials(study.id, store.study(study.id).turn, [number])
        leased(store, study, number, lease_s=0.01)
    # As somebody did in psql: the next end takes a place in the order of ends that is taken, and running falls below
    # none.
    run(database, f"UPDATE study SET scored = 0, running = 0 WHERE id = {broken.id}")
    for _ in range(200):
        reap(store, coordinator.tickets, tick_s=0.02)
        if store.trial(sound.id, 0).state is not TrialState.RUNNING:
            break
    assert store.trial(sound.id, 0).state is TrialState.WAITING
    assert store.study(broken.id).state is StudyState.PAUSED
    assert "Postgres refuses to write its rows" in store.study(broken.id).reason
    assert store.trial(broken.id, 1).state is TrialState.RUNNING
    drive_all(coordinator)
    assert store.study(sound.id).state is StudyState.RUNNING


def test_a_close_that_is_refused_pauses_the_study_and_drives_the_others(store: Store, database: str) -> None:
    with_slots(store, 4)
    broken = open_study(store, study="broken", budget={"trials": 60, "wall": "30m"})
    coordinator = Coordinator(store, Mailbox(), Here(store))
    drive_all(coordinator)
    store.finish_attempt(leased(store, broken, 0), SCORED)
    sound = open_study(store, study="sound")
    late = "first_leased_at = first_leased_at - interval '1 hour'"
    run(database, f"UPDATE study SET scored = 0, {late} WHERE id = {broken.id}")
    drive_all(coordinator)
    paused = store.study(broken.id)
    assert paused.state is StudyState.PAUSED
    assert "duplicate key" in paused.reason
    assert store.study(sound.id).state is StudyState.RUNNING
