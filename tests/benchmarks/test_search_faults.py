"""Faults in `benchmarks.search`: which trials fail, what is counted, and bars that fail when they are missed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.search import faults, problems
from benchmarks.search.__main__ import whole_numbers
from benchmarks.search.clock import Trial, study
from benchmarks.search.failing import WAYS, failing, short_parameter
from benchmarks.search.faults import MEMORY_SEEDS, RANDOM_SEEDS, WORKERS, Found, Ratio, chosen, fallen, missed
from benchmarks.search.report import Scores
from benchmarks.search.runs import Key, Run, Runs, run
from celeriac.domain.records import Fault
from coordinator.samplers import random as random_sampler
from coordinator.samplers.api import Kind

ROSENBROCK = problems.problem("rosenbrock4m")
PLACES = [f"p{number}, {workers}" for number in range(10) for workers in WORKERS]


def faults_of(name: str, seed: int, count: int = 400) -> list[tuple[Trial, Fault | None]]:
    rng = Random(1)
    fails = failing(name, ROSENBROCK, seed)
    trials = [Trial(number, ROSENBROCK.space.sample(rng)) for number in range(count)]
    return [(trial, fails(trial)) for trial in trials]


@pytest.mark.parametrize("seed", range(100, 106))
def test_memory_runs_out_in_half_of_the_space_or_somewhat_more(seed: int) -> None:
    found = faults_of("memory", seed)
    short = [trial for trial, fault in found if fault is Fault.OUT_OF_MEMORY]
    assert {fault for _, fault in found} == {None, Fault.OUT_OF_MEMORY}
    assert 0.4 < len(short) / len(found) < 0.7
    column = ROSENBROCK.space.names.index(short_parameter(ROSENBROCK, seed))
    assert min(ROSENBROCK.space.to_unit(trial.params)[column] for trial in short) >= 0.5


def test_the_seed_chooses_where_memory_runs_out() -> None:
    assert {short_parameter(ROSENBROCK, seed) for seed in range(100, 120)} == set(ROSENBROCK.space.names)


def test_one_trial_in_ten_fails_by_chance_wherever_it_is() -> None:
    found = faults_of("random", 100, count=2000)
    failed = [(trial.number, fault) for trial, fault in found if fault]
    assert 0.08 < len(failed) / len(found) < 0.12
    assert {fault for _, fault in failed} == {Fault.NOT_FINITE, Fault.USER_BUG}
    elsewhere = failing("random", ROSENBROCK, 100)
    point = found[0][0].params
    assert [(n, elsewhere(Trial(n, point))) for n, _ in failed] == failed


def test_an_unknown_way_to_fail_names_the_known() -> None:
    with pytest.raises(ValueError, match=f"known: {', '.join(WAYS)}"):
        failing("fire", ROSENBROCK, 1)


def test_a_failed_trial_is_one_of_the_budget_and_reaches_our_sampler_as_infeasible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Kind] = []

    def watched(space: Any, observations: Any, pending: Any, count: int, seed: int) -> Any:
        seen[:] = [o.kind for o in observations]
        assert all((o.loss is None) == (o.fault is not None) for o in observations)
        return random_sampler.suggest(space, observations, pending, count, seed)

    monkeypatch.setattr("benchmarks.search.methods.sampler_for", lambda name: watched)
    done = run(Key("ours", "rosenbrock4m", 1, 100, 40, failing="memory"))
    assert len(done.regrets) == 40
    assert len(done.failed) > 10
    assert seen == [Kind.INFEASIBLE if number in done.failed else Kind.FINISHED for number in range(39)]


def test_the_incumbent_is_a_trial_that_did_not_fail(tmp_path: Path) -> None:
    done = run(Key("random", "rosenbrock4m", 1, 100, 40, failing="memory"))
    first = next(number for number in range(40) if number not in done.failed)
    assert all(isnan(regret) for regret in done.regrets[:first])
    whole = run(Key("random", "rosenbrock4m", 1, 100, 40))
    assert whole.failed == ()
    assert done.regrets[-1] >= whole.regrets[-1]
    kept = Runs(tmp_path / "runs.jsonl")
    kept.append(done)
    assert kept.read()[done.key].failed == done.failed


def test_a_line_from_before_faults_is_one_without() -> None:
    assert Key("ours", "branin", 1, 100, 60).failing == "none"


def test_only_trials_after_the_first_twenty_count() -> None:
    key = Key("ours", "branin", 10, 100, 60, failing="memory")
    assert fallen([Run(key, (1.0,) * 60, 0, 0.0, failed=(0, 19, 20, 59))]) == {("branin, 10", 100): 2 / 40}


def test_the_ratio_is_of_means_over_the_same_and_its_error_is_of_the_pairs() -> None:
    without = {("p", seed): 1.0 + seed for seed in range(4)}
    exactly = Ratio.of({where: 1.5 * value for where, value in without.items()} | {("q", 0): 99.0}, without)
    assert (exactly.value, exactly.error) == pytest.approx((1.5, 0.0))
    noisy = {("p", seed): 1.5 * (1.0 + seed) + (0.5 if seed % 2 else -0.5) for seed in range(4)}
    # Residuals of ±0.5 around the mean 0: a standard deviation of 0.577, over root 4, over the mean 2.5.
    assert Ratio.of(noisy, without).error == pytest.approx(0.5774 / 2 / 2.5, rel=1e-3)


def scores(mean: float, seeds: str, *, places: Sequence[str] = PLACES) -> Scores:
    return {(each, seed): mean for each in places for seed in whole_numbers(seeds)}


MET = Found(
    shares=scores(0.10, MEMORY_SEEDS),
    chance_shares=scores(0.5, MEMORY_SEEDS),
    memory=scores(0.3, MEMORY_SEEDS),
    chance_memory=scores(1.1, MEMORY_SEEDS),
    without=scores(0.30, RANDOM_SEEDS),
    fewer=scores(0.32, RANDOM_SEEDS),
    faulty=scores(0.33, RANDOM_SEEDS),
)


def test_figures_within_the_bars_miss_none() -> None:
    assert missed(MET, len(PLACES)) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"shares": scores(0.151, MEMORY_SEEDS)}, "memory: 15.1% of the later trials fail, the bar 15%"),
        (
            {"faulty": scores(0.348, RANDOM_SEEDS)},
            "at random: the regret is 1.16 ± 0.00 times that without faults, the bar 1.15",
        ),
        (
            {"shares": scores(0.1, MEMORY_SEEDS, places=PLACES[1:])},
            "memory: 19 of 20 problems and workers have 10 seeds",
        ),
        ({"without": scores(0.3, "100-118")}, "without faults: 0 of 20 problems and workers have 20 seeds"),
        ({"faulty": {}}, "at random: 0 of 20 problems and workers have 20 seeds"),
    ],
)
def test_a_bar_that_is_missed_is_told(changed: dict[str, Scores], told: str) -> None:
    assert missed(replace(MET, **changed), len(PLACES)) == [told]


def made_up(options: Sequence[str], path: Path, later: Sequence[int], faulty: float) -> None:
    """Runs as the program would leave them: these later trials fail in each, and the regret with faults at random is
    this.
    """
    kept = Runs(path)
    for key in chosen(options, whole_numbers(MEMORY_SEEDS), whole_numbers(RANDOM_SEEDS)):
        failed = (3, *later) if key.failing == "memory" else ()
        last = faulty if key.failing == "random" else 1.0
        kept.append(Run(key, (2.0,) * 53 + (1.1,) * 6 + (last,), 0, 0.0, failed=tuple(failed)))


@pytest.mark.parametrize(
    ("later", "faulty", "told"),
    [
        ((21, 22, 23, 24, 25, 26), 1.15, []),
        (
            (21, 22, 23, 24, 25, 26, 27),
            1.1501,
            [
                "memory: 17.5% of the later trials fail, the bar 15%",
                "at random: the regret is 1.15 ± 0.00 times that without faults, the bar 1.15",
            ],
        ),
    ],
    ids=["met", "missed"],
)
def test_the_program_fails_when_a_bar_is_missed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    later: Sequence[int],
    faulty: float,
    told: list[str],
) -> None:
    path, out = tmp_path / "runs.jsonl", tmp_path / "faults.json"
    monkeypatch.setattr(problems, "NAMES", tuple(problems.FUNCTIONS))
    made_up(problems.NAMES, path, later, faulty)
    assert faults.main(["--problems", "all", "--runs", str(path), "--out", str(out)]) == bool(told)
    form = json.loads(out.read_text())
    assert form["missed"] == told
    assert form["memory"]["share"] == pytest.approx(len(later) / 40)
    unit = form["at_random"]["without"]
    assert form["at_random"]["without_after_54"] == pytest.approx(1.1 * unit, abs=1e-4)
    printed = capsys.readouterr().out
    assert [line.removeprefix("MISSED ") for line in printed.splitlines() if "MISSED" in line] == told
    assert "## memory: trials after the first 20 that fail" in printed


def test_a_study_goes_on_when_trials_fail() -> None:
    ended = list(
        study(
            lambda ended, running: {"x": len(ended) + len(running)},
            lambda trial: Fault.TIMEOUT if trial.number % 2 else float(trial.number),
            lambda number: 1.0 + number % 3,
            workers=3,
            budget=9,
        )
    )
    assert sorted(end.trial.number for end in ended) == list(range(9))
    assert {end.trial.number for end in ended if end.fault} == {1, 3, 5, 7}
    assert all(isnan(end.loss) == (end.fault is not None) for end in ended)
