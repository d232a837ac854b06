"""What another sampler would have found on a night, answered by the nearest of its trials."""

import pytest

from celeriac.domain.errors import CallerError, SamplerFailed
from celeriac.domain.records import StudyRecord
from coordinator.suggest.rescore import rescored
from tests.coordinator.house import House, open_study
from tests.coordinator.suggest.test_past import TRIALS, nights


def best_so_far(house: House, study: StudyRecord) -> list[float]:
    scores = [trial.score or 0.0 for trial in house.store.trials(study.id)]
    return [min(scores[: n + 1]) for n in range(len(scores))]


def test_a_studys_own_sampler_with_its_own_seed_finds_exactly_what_it_found() -> None:
    house = House(slots=1)
    for study in nights(house, 2, reproducible=True):
        found = rescored(house.store, study.id, "bayesian", 1)
        was = best_so_far(house, study)
        assert found["at"] == [5, TRIALS]
        assert found["was"] == found["by_own"] == found["by_other"] == [was[4], was[-1]]
        assert found["apart"] == 0.0
        assert (found["own"], found["other"], found["trials"]) == ("bayesian", "bayesian", TRIALS)


def test_another_sampler_gets_the_first_trials_and_the_nights_answers_and_cannot_beat_them() -> None:
    house = House(slots=1)
    *_, study = nights(house, 2, reproducible=True)
    found = rescored(house.store, study.id, "random", 3)
    assert found["given"] == 2  # the default, and the best of the last night
    assert found["spacing"] > 0
    assert 0 < found["apart"] < 1
    assert all(other >= found["was"][-1] for other in found["by_other"])
    assert found["by_other"][0] >= found["by_other"][-1]
    assert rescored(house.store, study.id, "random", 3) == found


def test_what_cannot_be_replayed_is_named() -> None:
    house = House(slots=1)
    [study] = nights(house, 1)
    with pytest.raises(CallerError, match="auto chooses a sampler"):
        rescored(house.store, study.id, "auto", 1)
    with pytest.raises(SamplerFailed, match="bayesain"):
        rescored(house.store, study.id, "bayesain", 1)
    fresh = open_study(house.store, study="fresh")
    with pytest.raises(CallerError, match="fresh has no scored trial"):
        rescored(house.store, fresh.id, "random", 1)
