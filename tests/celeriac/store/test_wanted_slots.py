"""How many workers are wanted, as an autoscaler asks: by the query that is shipped for KEDA, and by the verb."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import NewStudy, StudyRecord
from celeriac.domain.study_file import parse
from celeriac.store import Store
from celeriac.store.connection import Database, sql
from tests.celeriac.store.scenes import leased, scored, suggestion
from tests.coordinator.house import SPEC

SCALING = Path(__file__).parents[3] / "deploy" / "kubernetes" / "keda" / "scaling.yaml"


def opened(store: Store, name: str, trials: int, **changes: Any) -> StudyRecord:
    """A study that runs."""
    spec = parse({**SPEC, "study": name, "budget": {"trials": trials}, **changes})
    made = store.create_study(NewStudy(name, spec.to_dict(), spec.metric.goal, parallel=spec.parallel))
    return store.move_study(made.id, StudyEvent.START, "", turn=made.turn)


def wanted(store: Store) -> tuple[float, float]:
    """GPUs and CPU slots."""
    return store.wanted_slots(on_gpus=True), store.wanted_slots(on_gpus=False)


def test_open_studies_want_what_they_could_use_at_once(any_store: Store) -> None:
    assert wanted(any_store) == (0, 0)
    opened(any_store, "cpu", 5)
    opened(any_store, "narrow", 50, parallel=3)
    opened(any_store, "whole", 7, resources={"gpus": 1})
    assert wanted(any_store) == (7, 5 + 3)


def test_what_runs_counts_and_what_has_ended_does_not(any_store: Store) -> None:
    study = opened(any_store, "cpu", 2)
    trials = any_store.add_trials(study.id, study.turn, [suggestion() for _ in range(2)])
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [each.number for each in trials])
    lease = leased(any_store, study, 0)
    assert wanted(any_store) == (0, 2)
    any_store.finish_attempt(lease.token, scored(0.5))
    assert wanted(any_store) == (0, 1)
    any_store.move_study(study.id, StudyEvent.STOP, "", turn=any_store.study(study.id).turn)
    assert wanted(any_store) == (0, 0)


def test_the_query_that_is_shipped_asks_for_the_gpus(database: str, store: Store) -> None:
    (scaled,) = [each for each in YAML(typ="safe").load_all(SCALING.read_text()) if each["kind"] == "ScaledObject"]
    opened(store, "whole", 7, resources={"gpus": 1})
    asking = Database(database, pool_size=1)
    rows = asking.rows(sql(scaled["spec"]["triggers"][0]["metadata"]["query"]))
    asking.close()
    assert [dict(row) for row in rows] == [{"wanted": 7.0}]
