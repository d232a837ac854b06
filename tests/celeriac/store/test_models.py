"""The contract on trained models, kept by both stores: a row names one, and only of a trial that has a score."""

from dataclasses import replace

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Artefact
from celeriac.store import Store
from tests.celeriac.store.scenes import SPEC, failed, leased, new_study, queued, scored, with_trials

MODEL = Artefact("models/1/0-1-abc", "ab" * 32, 2**40)


def scores(store: Store, keep_model: str, values: list[float]) -> list[str]:
    """The tokens of a study's trials that scored so, each with a model of its own."""
    spec = {**SPEC, **({"keep_model": keep_model} if keep_model else {})}
    study = store.move_study(store.create_study(new_study(spec=spec)).id, StudyEvent.START, "first turn")
    tokens = []
    for trial, value in zip(with_trials(store, study, len(values)), values, strict=True):
        lease = leased(store, study, trial.number)
        end = scored(value, model=replace(MODEL, path=f"models/{trial.number}"))
        assert store.finish_attempt(lease.token, end).model == end.model
        tokens.append(lease.token)
    return tokens


def test_a_trial_keeps_where_its_model_lies(any_store: Store) -> None:
    study = queued(any_store, 2)
    end = scored(0.7, model=MODEL)
    token = leased(any_store, study, 0).token
    first = any_store.finish_attempt(token, end)
    assert first.model == any_store.trial(study.id, 0).model == MODEL
    assert any_store.finish_attempt(token, end) == first
    assert any_store.finish_attempt(leased(any_store, study, 1).token, failed()).model is None


@pytest.mark.parametrize(("keep", "stay"), [("best", [1]), ("all", [0, 1, 2]), ("", [0, 1, 2])])
def test_only_a_study_that_keeps_the_best_forgets_the_others(any_store: Store, keep: str, stay: list[int]) -> None:
    tokens = scores(any_store, keep, [0.5, 0.9, 0.7])
    gone = any_store.overtaken_models(tokens[2])
    assert gone == [f"models/{number}" for number in range(3) if number not in stay]
    assert any_store.overtaken_models(tokens[0]) == []
    (found,) = any_store.studies()
    assert [trial.number for trial in any_store.trials(found.id) if trial.model] == stay


def test_who_has_no_lease_of_a_study_forgets_nothing(any_store: Store) -> None:
    scores(any_store, "best", [0.5, 0.9])
    assert any_store.overtaken_models("no token") == []
