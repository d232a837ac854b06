"""What the runs say: tables with spread, paired wins, and the bars. Pure: runs and yardsticks come in, figures and
text go out.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, median, stdev
from typing import Any

from benchmarks.search.runs import Run

#: The modes by their names in search.json, and their workers.
MODES = {"sequential": 1, "workers_10": 10}
OURS = "ours"
MEAN_AT_MOST = {"sequential": 0.28, "workers_10": 0.40}
WINS_AT_LEAST = {
    "tpe": {"sequential": 0.70, "workers_10": 0.65},
    "gp": {"sequential": 0.65, "workers_10": 0.65},
    "skopt": {"sequential": 0.65, "workers_10": 0.65},
}
#: Compared by the mean of the paired differences, which may be so many standard errors above 0.
NOT_WORSE_THAN = "botorch"
NOISE_ERRORS = 2.0
LEAST_PROBLEMS = 9
LEAST_SEEDS = {"botorch": 3}  # else 10

#: One method's final normalised regrets, by (problem, seed).
Scores = Mapping[tuple[str, int], float]


@dataclass(frozen=True)
class Pairs:
    """Two methods on the same problems and seeds: `differences` are the first's regret minus the second's."""

    differences: Scores

    @classmethod
    def of(cls, first: Scores, second: Scores) -> "Pairs":
        """On what both have run."""
        return cls({where: first[where] - second[where] for where in sorted(first.keys() & second.keys())})

    @property
    def wins(self) -> int:
        """How often the first's regret is the smaller."""
        return sum(d < 0 for d in self.differences.values())

    @property
    def ties(self) -> int:
        """How often both are the same."""
        return sum(d == 0 for d in self.differences.values())

    @property
    def share(self) -> float:
        """The share of wins; a tie is half a win. NaN without pairs."""
        count = len(self.differences)
        return (self.wins + self.ties / 2) / count if count else float("nan")

    def __str__(self) -> str:
        return f"{self.wins}/{self.ties}/{len(self.differences) - self.wins - self.ties}"


def error_of_mean(scores: Scores) -> float:
    """The standard error of the mean over problems, seeds being the chance; over all where a problem has one seed
    only.
    """
    groups = list(by_problem(scores).values())
    if not scores or len(scores) == 1:
        return float("nan")
    if min(map(len, groups)) < 2:
        return stdev(scores.values()) / sqrt(len(scores))
    count = len(scores)
    return sqrt(sum((len(group) / count) ** 2 * stdev(group) ** 2 / len(group) for group in groups))


def by_problem(scores: Scores) -> dict[str, list[float]]:
    """The regrets of each problem."""
    found: dict[str, list[float]] = {}
    for (problem, _), score in scores.items():
        found.setdefault(problem, []).append(score)
    return found


def scores_of(runs: Iterable[Run], yards: Mapping[str, float]) -> dict[str, dict[tuple[str, int], float]]:
    """The final normalised regrets of runs of one mode, by method."""
    found: dict[str, dict[tuple[str, int], float]] = {}
    for run in runs:
        normalised = run.regrets[-1] / yards[run.key.problem]
        found.setdefault(run.key.method, {})[run.key.problem, run.key.seed] = normalised
    return found


def figures(scores: Mapping[str, Scores]) -> dict[str, Any]:
    """One mode's part of search.json."""
    found: dict[str, Any] = {name: round(fmean(of.values()), 4) for name, of in scores.items() if of}
    for name in scores:
        if name != OURS and OURS in scores:
            pairs = Pairs.of(scores[OURS], scores[name])
            if pairs.differences:
                found[f"wins_vs_{name}"] = round(pairs.share, 4)
                found[f"pairs_vs_{name}"] = {
                    "wins_ties_losses": str(pairs),
                    "difference": round(fmean(pairs.differences.values()), 4),
                    "error": round(error_of_mean(pairs.differences), 4),
                }
    return found


def missed(modes: Mapping[str, Mapping[str, Scores]]) -> list[str]:
    """The bars that these scores miss, in words; none when all are met."""
    found = []
    for mode, scores in modes.items():
        found += _missing_runs(mode, scores)
        ours = scores.get(OURS, {})
        if not ours:
            continue
        mean = fmean(ours.values())
        if mean > MEAN_AT_MOST[mode]:
            found.append(f"{mode}: the mean regret is {mean:.3f}, the bar {MEAN_AT_MOST[mode]}")
        for peer, least in WINS_AT_LEAST.items():
            pairs = Pairs.of(ours, scores.get(peer, {}))
            if pairs.differences and pairs.share < least[mode]:
                found.append(f"{mode}: wins against {peer} are {pairs.share:.1%} ({pairs}), the bar {least[mode]:.0%}")
        found += _worse(mode, Pairs.of(ours, scores.get(NOT_WORSE_THAN, {})))
    return found


def _missing_runs(mode: str, scores: Mapping[str, Scores]) -> list[str]:
    found = []
    for name in (OURS, *WINS_AT_LEAST, NOT_WORSE_THAN, "random"):
        least = LEAST_SEEDS.get(name, 10)
        groups = by_problem(scores.get(name, {}))
        full = sum(len(group) >= least for group in groups.values())
        if full < LEAST_PROBLEMS:
            found.append(f"{mode}: {name} has {full} of {LEAST_PROBLEMS} problems with {least} seeds")
    return found


def _worse(mode: str, pairs: Pairs) -> list[str]:
    if len(pairs.differences) < 2:
        return []  # told as missing
    mean, error = fmean(pairs.differences.values()), error_of_mean(pairs.differences)
    if mean <= NOISE_ERRORS * error:
        return []
    return [
        f"{mode}: worse than {NOT_WORSE_THAN} beyond the noise, by {mean:.3f} with an error of {error:.3f} ({pairs})"
    ]


def text(mode: str, runs: Collection[Run], yards: Mapping[str, float], order: Sequence[str]) -> str:
    """One mode's tables, in Markdown."""
    scores = scores_of(runs, yards)
    names = [name for name in order if name in scores]
    parts = [f"## {mode}: normalised regret (1: 40 random trials, 0: the optimum)", _means(runs, scores, names)]
    if OURS in names and len(names) > 1:
        parts.append(_paired(scores, names))
    parts.append(_problems(scores, names))
    return "\n\n".join(parts)


def _means(runs: Iterable[Run], scores: Mapping[str, Scores], names: Sequence[str]) -> str:
    spent: dict[str, list[Run]] = {}
    for run in runs:
        spent.setdefault(run.key.method, []).append(run)
    rows = []
    for name in names:
        of, did = scores[name], spent[name]
        means = [fmean(group) for group in by_problem(of).values()]
        evaluations = sum(len(run.regrets) for run in did)
        rows.append(
            [
                name,
                f"{fmean(of.values()):.3f}",
                f"{error_of_mean(of):.3f}",
                f"{stdev(means) if len(means) > 1 else float('nan'):.3f}",
                f"{median(of.values()):.3f}",
                f"{len(of)}",
                seeds_in_words({seed for _, seed in of}),
                f"{1000 * sum(run.cpu_s for run in did) / evaluations:.1f}",
                f"{100 * sum(run.repeats for run in did) / evaluations:.1f} %",
            ]
        )
    head = ["method", "mean", "± error", "sd over problems", "median", "runs", "seeds", "CPU ms a trial", "repeated"]
    return markdown(head, rows)


def _paired(scores: Mapping[str, Scores], names: Sequence[str]) -> str:
    rows = []
    for name in names:
        pairs = Pairs.of(scores[OURS], scores[name])
        if name == OURS or not pairs.differences:
            continue
        same = pairs.differences.keys()
        losing = [problem for problem, group in sorted(by_problem(pairs.differences).items()) if fmean(group) > 0]
        rows.append(
            [
                name,
                str(pairs),
                f"{pairs.share:.1%}",
                f"{fmean(scores[OURS][where] for where in same):.3f}",
                f"{fmean(scores[name][where] for where in same):.3f}",
                f"{fmean(pairs.differences.values()):+.3f} ± {error_of_mean(pairs.differences):.3f}",
                ", ".join(losing) or "none",
            ]
        )
    head = [f"{OURS} against", "W/T/L", "wins (ties half)", "its mean", "theirs", "difference", "loses on"]
    return markdown(head, rows)


def _problems(scores: Mapping[str, Scores], names: Sequence[str]) -> str:
    groups = {name: by_problem(scores[name]) for name in names}
    every = dict.fromkeys(problem for name in names for problem in groups[name])
    rows = [[problem, *(_spread(groups[name].get(problem, [])) for name in names)] for problem in every]
    return markdown(["problem: mean ± sd", *names], rows)


def _spread(group: Sequence[float]) -> str:
    if not group:
        return "-"
    return f"{fmean(group):.3f}" + (f" ± {stdev(group):.3f}" if len(group) > 1 else "")


def seeds_in_words(seeds: Iterable[int]) -> str:
    """Such as `100-109` or `0-2, 7`."""
    parts: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that reads well as plain text too."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
