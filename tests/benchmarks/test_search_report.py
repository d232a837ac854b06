"""The report of `benchmarks.search`: means, paired wins, and bars that fail when they are missed."""

import json
from math import sqrt
from pathlib import Path
from statistics import stdev

import pytest

from benchmarks.search import problems, report, runs
from benchmarks.search.__main__ import main
from benchmarks.search.comparison import keys
from benchmarks.search.report import Pairs, Scores, error_of_mean, figures, missed, scores_of, seeds_in_words
from benchmarks.search.runs import Key, Run, Runs

PROBLEMS = [f"p{number}" for number in range(10)]
PEERS = {"tpe": 0.43, "gp": 0.5, "skopt": 0.9, "botorch": 0.3, "random": 1.0}


def _scores(mean: float, *, seeds: int = 10, problems: int = 10) -> dict[tuple[str, int], float]:
    """Regrets with this mean that differ from seed to seed."""
    return {
        (problem, seed): mean + 0.01 * (seed - (seeds - 1) / 2)
        for problem in PROBLEMS[:problems]
        for seed in range(seeds)
    }


def _modes(**changed: Scores) -> dict[str, dict[str, Scores]]:
    """Both modes, all bars met, but for what is changed in both."""
    whole = {"ours": _scores(0.2), **{name: _scores(mean) for name, mean in PEERS.items()}} | changed
    return {mode: dict(whole) for mode in report.MODES}


def test_runs_that_meet_all_bars_miss_none() -> None:
    assert missed(_modes()) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"ours": _scores(0.29)}, ["sequential: the mean regret is 0.290, the bar 0.28"]),
        (
            {"tpe": _scores(0.43) | {(problem, seed): 0.0 for problem in PROBLEMS for seed in range(4)}},
            [
                "sequential: wins against tpe are 60.0% (60/0/40), the bar 70%",
                "workers_10: wins against tpe are 60.0% (60/0/40), the bar 65%",
            ],
        ),
        (
            {"gp": _scores(0.5) | {(problem, seed): 0.0 for problem in PROBLEMS for seed in range(4)}},
            [
                "sequential: wins against gp are 60.0% (60/0/40), the bar 65%",
                "workers_10: wins against gp are 60.0% (60/0/40), the bar 65%",
            ],
        ),
        (
            {"skopt": _scores(0.1)},
            [
                "sequential: wins against skopt are 0.0% (0/0/100), the bar 65%",
                "workers_10: wins against skopt are 0.0% (0/0/100), the bar 65%",
            ],
        ),
    ],
)
def test_a_bar_that_is_missed_is_told(changed: dict[str, Scores], told: list[str]) -> None:
    assert missed(_modes(**changed)) == told


def test_the_parallel_bar_is_its_own() -> None:
    modes = _modes()
    modes["workers_10"]["ours"] = _scores(0.41)
    modes["workers_10"]["botorch"] = _scores(0.41)
    assert missed(modes) == ["workers_10: the mean regret is 0.410, the bar 0.4"]


def test_botorch_may_be_better_within_the_noise_only() -> None:
    noisy = {
        (problem, seed): 0.19 + 0.2 * (1 if (seed + place) % 2 else -1)
        for place, problem in enumerate(PROBLEMS)
        for seed in range(3)
    }
    modes = _modes(botorch=noisy)
    assert missed(modes) == []
    steady = {where: score - 0.05 for where, score in _scores(0.2).items() if where[1] < 3}
    assert [bar.split(",")[0] for bar in missed(_modes(botorch=steady))] == [
        "sequential: worse than botorch beyond the noise",
        "workers_10: worse than botorch beyond the noise",
    ]


def test_too_few_runs_miss_the_bar() -> None:
    modes = _modes(gp=_scores(0.5, seeds=9), skopt={}, ours=_scores(0.2, problems=8))
    assert [bar for bar in missed(modes) if bar.startswith("sequential")] == [
        "sequential: ours has 8 of 9 problems with 10 seeds",
        "sequential: gp has 0 of 9 problems with 10 seeds",
        "sequential: skopt has 0 of 9 problems with 10 seeds",
    ]
    assert len(missed({"sequential": {}})) == 6


def test_a_tie_is_half_a_win_and_is_told() -> None:
    ours = {("p", 0): 0.1, ("p", 1): 0.2, ("q", 0): 0.3, ("q", 1): 0.3}
    theirs = {("p", 0): 0.1, ("p", 1): 0.3, ("q", 0): 0.2, ("q", 1): 0.4, ("q", 9): 0.0}
    pairs = Pairs.of(ours, theirs)
    assert (str(pairs), pairs.share) == ("2/1/1", 0.625)
    found = figures({"ours": ours, "tpe": theirs})
    assert found["wins_vs_tpe"] == 0.625
    assert found["pairs_vs_tpe"]["wins_ties_losses"] == "2/1/1"
    assert found["ours"] == 0.225
    assert found["tpe"] == 0.2


def test_the_error_counts_seeds_as_chance_and_problems_as_given() -> None:
    """Two problems far apart, each with little noise: the mean over them is known well."""
    scores = {("p", 0): 0.1, ("p", 1): 0.2, ("q", 0): 5.1, ("q", 1): 5.2}
    spread = stdev([0.1, 0.2])
    assert error_of_mean(scores) == pytest.approx(sqrt(2 * 0.25 * spread**2 / 2))
    alone = {("p", 0): 0.1, ("q", 0): 5.1}
    assert error_of_mean(alone) == pytest.approx(stdev([0.1, 5.1]) / sqrt(2))


def _run(method: str, problem: str, seed: int, regrets: tuple[float, ...], repeats: int = 0) -> Run:
    return Run(Key(method, problem, 1, seed, len(regrets)), regrets, repeats, cpu_s=0.5)


def test_regrets_are_counted_in_yardsticks_at_the_end() -> None:
    runs = [_run("ours", "p", 0, (9.0, 2.0)), _run("ours", "q", 0, (9.0, 2.0))]
    assert scores_of(runs, {"p": 4.0, "q": 2.0}) == {"ours": {("p", 0): 0.5, ("q", 0): 1.0}}


def test_the_tables_name_seeds_spread_and_losses() -> None:
    runs = [
        _run("ours", "p", 100, (9.0, 2.0)),
        _run("ours", "p", 101, (9.0, 4.0)),
        _run("tpe", "p", 100, (9.0, 1.0), repeats=1),
        _run("tpe", "p", 101, (9.0, 1.0)),
    ]
    text = report.text("sequential", runs, {"p": 4.0}, ["ours", "tpe", "random"])
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "| ours | 0.750 | 0.250 | nan | 0.750 | 2 | 100-101 | 250.0 | 0.0 % |" in lines
    assert "| tpe | 0.250 | 0.000 | nan | 0.250 | 2 | 100-101 | 250.0 | 25.0 % |" in lines
    assert "| tpe | 0/0/2 | 0.0% | 0.750 | 0.250 | +0.500 ± 0.250 | p |" in lines
    assert "| p | 0.750 ± 0.354 | 0.250 ± 0.000 |" in lines


def test_seeds_in_words() -> None:
    assert seeds_in_words([100, 101, 101, 102, 7, 9]) == "7, 9, 100-102"


def test_judging_made_up_runs_writes_the_figures_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one problem with one seed, ours is behind: every bar that runs can miss is told, and the exit code says so."""
    monkeypatch.setattr(runs, "version_of", lambda name: "made up")
    path, out = tmp_path / "runs.jsonl", tmp_path / "search.json"
    yard = problems.problem("branin").yard()
    regrets = {"ours": 0.5, "tpe": 0.25, "gp": 0.25, "skopt": 0.75, "random": 1.0}
    for key in keys(list(regrets), ["branin"], [100], [1, 10], 60):
        Runs(path).append(Run(key, (9.0 * yard, regrets[key.method] * yard), 0, 0.5))
    chosen = ["--methods", ",".join(regrets), "--problems", "branin", "--seeds", "100"]
    assert main([*chosen, "--show", "--judge", "--runs", str(path), "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "MISSED sequential: the mean regret is 0.500, the bar 0.28" in printed
    assert "MISSED workers_10: wins against tpe are 0.0% (0/0/1), the bar 65%" in printed
    form = json.loads(out.read_text())
    for mode in report.MODES:
        assert {name: form[mode][name] for name in regrets} == regrets
        assert [form[mode][f"wins_vs_{name}"] for name in ("tpe", "gp", "skopt", "random")] == [0, 0, 1, 1]
    assert form["seeds"] == dict.fromkeys(sorted(regrets), "100")
    assert f"MISSED {form['missed'][0]}" in printed
