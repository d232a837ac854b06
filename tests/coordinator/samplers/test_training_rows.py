"""What a pruned trial is worth: what it would have come to, neither its last value nor nothing."""

import random
from statistics import fmean

import numpy as np
import pytest

from celeriac.domain.records import Fault
from celeriac.domain.space import Float, Space
from coordinator.samplers.api import Kind, Observation, proposed
from coordinator.samplers.training_rows import lessons

LINE = Space({"x": Float(0, 1)})
RUNGS = 3


def curve(rng: random.Random, number: int) -> tuple[Observation, float]:
    """A finished trial whose loss falls from rung to rung, more for some than for others; and its final loss."""
    quality = rng.gauss(0, 0.3)
    point = proposed(LINE, {"x": rng.random()}, number)
    values = [quality + 2.0 ** (1 - rung) + rng.gauss(0, 0.1 / (rung + 1)) for rung in range(RUNGS)]
    final = 0.8 * values[-1] + rng.gauss(0, 0.03)
    rungs = tuple(enumerate(values))
    return Observation(point, Kind.FINISHED, final, rungs=rungs), final


def stopped_early(count: int, seed: int) -> tuple[list[Observation], dict[int, float]]:
    """A study under stopping at the rungs (the worse half of what a rung has seen), and what the pruned would have
    come to.
    """
    rng = random.Random(seed)
    seen: list[list[float]] = [[] for _ in range(RUNGS)]
    found, truth = [], {}
    for number in range(count):
        observation, final = curve(rng, number)
        for rung, value in observation.rungs:
            seen[rung].append(value)
            if value > np.median(seen[rung]):
                path = observation.rungs[: rung + 1]
                observation = Observation(observation.point, Kind.PRUNED, value, rungs=path)
                truth[number] = final
                break
        found.append(observation)
    return found, truth


def test_the_imputed_loss_is_not_biased() -> None:
    errors, naive, spreads = [], [], []
    for seed in range(20):
        observations, truth = stopped_early(120, seed)
        told = lessons(observations)
        for row, observation in enumerate(told.observations):
            if observation.kind is Kind.PRUNED:
                final = truth[observation.point.number]
                errors.append((told.losses[row] - final) / np.sqrt(told.noise[row]))
                spreads.append(told.losses[row] - final)
                naive.append((observation.loss or 0.0) - final)
    assert len(errors) > 1000
    assert abs(fmean(spreads)) < 0.1 * abs(fmean(naive))
    # The stated variance is the real one: errors in its units have deviation 1.
    assert float(np.std(errors)) == pytest.approx(1.0, abs=0.25)


def test_finished_trials_stay_as_they_are() -> None:
    observations, _ = stopped_early(60, 1)
    told = lessons(observations)
    for row, observation in enumerate(told.observations):
        if observation.kind is Kind.FINISHED:
            assert (told.losses[row], told.noise[row]) == (observation.loss, 0.0)


def test_a_pruned_trial_that_nobody_outlived_counts_little() -> None:
    points = [proposed(LINE, {"x": number / 10}, number) for number in range(6)]
    known = [Observation(point, Kind.FINISHED, float(n)) for n, point in enumerate(points[:4])]
    alone = Observation(points[4], Kind.PRUNED, 7.0, rungs=((0, 7.0),))
    without = Observation(points[5], Kind.PRUNED, 8.0)
    told = lessons([*known, alone, without])
    assert told.losses[-2:].tolist() == [7.0, 8.0]
    assert told.noise[-2:].tolist() == pytest.approx([np.var([0, 1, 2, 3])] * 2)


def test_one_diverged_training_bends_no_line() -> None:
    point = proposed(LINE, {"x": 0.5}, 100)
    bad = Observation(point, Kind.FINISHED, 1e9, rungs=((0, 1e9), (1, 1e9), (2, 1e9)))
    errors = []
    for seed in range(10):
        observations, truth = stopped_early(100, seed)
        told = lessons([*observations, bad])
        errors += [
            loss - truth[o.point.number]
            for o, loss in zip(told.observations, told.losses, strict=True)
            if o.kind is Kind.PRUNED
        ]
    assert abs(fmean(errors)) < 0.05


def test_what_says_nothing_of_the_loss_is_left_out() -> None:
    point = proposed(LINE, {"x": 0.5}, 0)
    prior = Observation(point, Kind.PRIOR, 2.0, noise=0.5, weight=0.25)
    told = lessons([Observation(point, Kind.INFEASIBLE, fault=Fault.TIMEOUT), Observation(point, Kind.VOID), prior])
    assert (told.losses.tolist(), told.noise.tolist(), told.weight.tolist()) == ([2.0], [0.5], [0.25])


def test_a_subset_keeps_the_best_and_the_newest() -> None:
    points = [proposed(LINE, {"x": number / 1000}, number) for number in range(900)]
    told = lessons([Observation(p, Kind.FINISHED, float((p.number * 7) % 900)) for p in points])
    kept = told.subset(300, np.random.default_rng(0))
    numbers = [o.point.number for o in kept.observations]
    assert len(numbers) == 300
    assert numbers == sorted(set(numbers))
    assert set(range(800, 900)) <= set(numbers)
    assert set(range(100)) <= {round(loss) for loss in kept.losses}
