"""The virtual clock of `benchmarks.search`: what is in flight, and that nobody sees the future."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import pytest

from benchmarks.search.clock import Ended, Trial, duration, study


class Watching:
    """Asks for nothing special and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[list[int], list[int]]] = []

    def __call__(self, ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        self.shown.append(([end.trial.number for end in ended], [trial.number for trial in running]))
        return {"x": len(self.shown)}


@pytest.mark.parametrize("workers", [1, 3, 10])
def test_so_many_are_in_flight_and_only_what_ended_is_known(workers: int) -> None:
    ask, takes = Watching(), [duration("p", 1, number) for number in range(30)]
    evaluated: list[int] = []

    def evaluate(trial: Trial) -> float:
        evaluated.append(trial.number)
        return float(trial.params["x"])

    ends = list(study(ask, evaluate, takes.__getitem__, workers, 30))
    assert sorted(end.trial.number for end in ends) == list(range(30))
    assert [end.at for end in ends] == sorted(end.at for end in ends)
    at = {end.trial.number: end.at for end in ends}
    for number, (ended, running) in enumerate(ask.shown):
        started = at[number] - takes[number]
        assert len(running) == min(number, workers - 1)
        assert sorted(ended + running) == list(range(number))
        assert all(at[known] <= started + 1e-9 for known in ended)
        assert all(at[open_] >= started - 1e-9 for open_ in running)
    # Nothing is evaluated before it ended.
    assert evaluated == [end.trial.number for end in ends]


def test_values_of_running_trials_are_not_computed_before_their_end() -> None:
    known: list[int] = []

    def ask(ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        assert known == [end.trial.number for end in ended]
        return {}

    def evaluate(trial: Trial) -> float:
        known.append(trial.number)
        return 0.0

    assert len(list(study(ask, evaluate, lambda number: 1.0 + number % 3, 4, 20))) == 20


def test_one_worker_goes_trial_by_trial() -> None:
    ends = list(study(Watching(), lambda trial: 0.0, lambda number: 2.0, 1, 5))
    assert [(end.trial.number, end.at) for end in ends] == [(n, 2.0 * (n + 1)) for n in range(5)]


def test_durations_are_the_same_for_all_methods_and_spread_around_one() -> None:
    takes = [duration("branin", 100, number) for number in range(2000)]
    assert takes == [duration("branin", 100, number) for number in range(2000)]
    assert takes != [duration("branin", 101, number) for number in range(2000)]
    assert median(takes) == pytest.approx(1.0, abs=0.05)
    assert max(takes) / min(takes) > 10
