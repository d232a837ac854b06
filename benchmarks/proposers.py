"""What does a proposer of points cost a study, or win it? `make bench-agents` -> build/bench/proposers.json

Studies of 50 trials on four workers of a virtual clock, by the real sampler, on functions whose optimum is known. A
proposer has a point ready at every moment; `celeriac.decide.proposals` says when the study takes one, of at most 30 %
of its trials. `random` draws it from the space, `hostile` takes the truly worst of 64 draws, and `informed` knows each
parameter to a tenth of its range around the optimum. With `--unlimited` also without a look at how the points went:
what that look is worth. Costs are told in percent of the study's own final regret, and in the unit of the search's
comparison (random search's median after 40 trials); `fewer` is what the own trials cost that the points took the place
of. A file of `--runs` keeps each study, so that many can be run in pieces.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import sha256
from inspect import getsource
from math import pi, sqrt
from pathlib import Path
from random import Random
from statistics import fmean, variance
from typing import Any

from benchmarks.search.clock import Ended, Trial, duration, study
from benchmarks.search.methods import method, version_of
from benchmarks.search.problems import Params, Problem, problem
from benchmarks.search.runs import incumbent_regrets
from celeriac.decide import proposals
from celeriac.domain.records import ProposedSoFar
from celeriac.domain.space import Choice
from celeriac.domain.study_file.specs import PROPOSED_SHARE

TRIALS, WORKERS, SEEDS = 50, 4, 24
HOSTILE_OF = 64
KNOWN_TO = 0.1
#: A bad proposer may cost so much, in units; and the trials that its points displace, of the study's own regret. (The
#: whole cost in that measure is told with its error, which some hundred pairs do not bring below a tenth.)
MOST_COST = 0.05
OPTIMA: Mapping[str, Params] = {
    "branin": {"x": pi, "y": 2.275},
    "hartmann6": dict(
        zip((f"x{n}" for n in range(6)), (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573), strict=True)
    ),
    "ackley5": {f"x{n}": 0.0 for n in range(5)},
    "rosenbrock4m": {"x0": 1.0, "x1": 1.0, "k": 1, "c": "b"},
}
KINDS = ("random", "hostile", "informed")


def proposer(kind: str, of: Problem, rng: Random) -> Callable[[], dict[str, Any]]:
    """What a proposer says next."""
    space, best = of.space, OPTIMA[of.name]

    def near() -> dict[str, Any]:
        point = dict(best)
        for name, parameter in space.parameters.items():
            if not isinstance(parameter, Choice):
                low, high = parameter.low, parameter.high
                moved = best[name] + rng.uniform(-KNOWN_TO, KNOWN_TO) * (high - low)
                point[name] = type(best[name])(round(moved) if isinstance(low, int) else moved)
                point[name] = min(max(point[name], low), high)
        return space.validate(point)

    if kind == "informed":
        return near
    draws = HOSTILE_OF if kind == "hostile" else 1
    return lambda: max((space.sample(rng) for _ in range(draws)), key=of.truth)


@dataclass(frozen=True, slots=True)
class Run:
    """One study: its regret after each trial, in units, and how many points it took from outside."""

    regrets: tuple[float, ...]
    points: int


@dataclass(frozen=True, slots=True)
class Key:
    """What a run is of: `kind` "" has no proposer; `limited`: whether it is looked at how the points went."""

    name: str
    kind: str
    seed: int
    limited: bool
    version: str


def run(key: Key) -> Run:
    """Do the study of this key."""
    of = problem(key.name)
    ours, propose = method("ours", of.space, key.seed), None
    if key.kind:
        propose = proposer(key.kind, of, Random(f"proposer/{key.kind}/{key.name}/{key.seed}"))
    given: set[int] = set()
    begun = 0

    def ask(ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        nonlocal begun
        begun += 1
        if propose is not None and begun > 1:
            so_far = told(ended, given) if key.limited else ProposedSoFar(key.kind, len(given))
            if takes(so_far, begun - 1, key.limited):
                given.add(begun - 1)
                return propose()
        return ours(ended, running)

    ended = study(
        ask,
        lambda t: of.observe(t.params, key.seed, t.number),
        lambda n: duration(key.name, key.seed, n),
        WORKERS,
        TRIALS,
    )
    return Run(tuple(round(each / of.yard(), 6) for each in incumbent_regrets(of.regret, ended)), len(given))


def takes(so_far: ProposedSoFar, begun: int, limited: bool) -> bool:
    """Whether the study takes one more point now."""
    if not limited:
        return so_far.given + 1 <= PROPOSED_SHARE * (begun + 1)
    every = [so_far] if so_far.given else []
    return proposals.proposals_now(every, so_far.who, PROPOSED_SHARE, begun=begun, left=1).most > 0


def told(ended: Sequence[Ended], given: set[int]) -> ProposedSoFar:
    """How the points went, as the store counts it."""
    own = sorted(each.loss for each in ended if each.trial.number not in given)
    theirs = [each.loss for each in ended if each.trial.number in given]
    hits = sum(loss <= own[(len(own) - 1) // 2] for loss in theirs) if own else 0
    return ProposedSoFar("it", len(given), len(theirs), hits)


def all_of(keys: Sequence[Key], jobs: int, kept: Path | None) -> dict[Key, Run]:
    """The runs of these keys: those that a file has are not done again, the others are added to it one by one."""
    found = dict(_kept(kept)) if kept is not None and kept.exists() else {}
    missing = [key for key in keys if key not in found]
    with ProcessPoolExecutor(jobs) as pool:
        for key, done in zip(missing, pool.map(run, missing), strict=True):
            found[key] = done
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                with kept.open("a") as file:
                    file.write(json.dumps({"key": asdict(key), "run": asdict(done)}) + "\n")
    return found


def _kept(path: Path) -> Iterator[tuple[Key, Run]]:
    for line in path.read_text().splitlines():
        form = json.loads(line)
        yield Key(**form["key"]), Run(tuple(form["run"]["regrets"]), form["run"]["points"])


@dataclass(frozen=True, slots=True)
class Cost:
    """What a kind costs on the mean over the functions, `share` in parts of the study's own regret, each with its
    standard error (of pairs within a function: the functions themselves are no sample).
    """

    cost: float
    error: float
    share: float
    share_error: float


def cost(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> Cost:
    """Of (regret without, regret with) by function. The error of the ratio is by its first derivatives (Cochran,
    Sampling Techniques, section 6.11).
    """
    own = fmean(fmean(without for without, _ in each) for each in pairs.values())
    mean = fmean(fmean(there - without for without, there in each) for each in pairs.values())
    share = mean / own

    def error(beside: float) -> float:
        parts = [variance([b - a - beside * a for a, b in each]) / len(each) for each in pairs.values()]
        return sqrt(sum(parts)) / len(parts)

    return Cost(mean, error(0.0), share, error(share) / own)


def measured(names: Sequence[str], seeds: range, jobs: int, unlimited: bool, kept: Path | None) -> dict[str, Any]:
    """For each kind: what it costs, pair by pair, its points, and what so many own trials fewer cost."""
    search = version_of("ours")
    versions = {False: search, True: sha256((search + getsource(proposals)).encode()).hexdigest()[:12]}

    def key_of(name: str, kind: str, seed: int, limited: bool) -> Key:
        return Key(name, kind, seed, limited, versions[limited and bool(kind)])

    kinds = [*((kind, True) for kind in KINDS), *((kind, False) for kind in KINDS if unlimited)]
    wanted = [(kind, limited, s) for s in seeds for kind, limited in (("", True), *kinds)]
    keys = [key_of(name, kind, s, limited) for kind, limited, s in wanted for name in names]
    found = all_of(keys, jobs, kept)

    def runs(name: str, kind: str, limited: bool) -> list[Run]:
        return [found[key_of(name, kind, s, limited)] for s in seeds]

    def finals(kind: str, limited: bool) -> dict[str, float]:
        return {name: round(fmean(each.regrets[-1] for each in runs(name, kind, limited)), 4) for name in names}

    said: dict[str, Any] = {"without": finals("", True)}
    for kind, limited in kinds:
        pairs, fewer = {}, {}
        for name in names:
            both = list(zip(runs(name, "", True), runs(name, kind, limited), strict=True))
            pairs[name] = [(a.regrets[-1], b.regrets[-1]) for a, b in both]
            fewer[name] = [(a.regrets[-1], a.regrets[-1 - b.points]) for a, b in both]
        told_, less = cost(pairs), cost(fewer)
        said[kind if limited else f"{kind}, unlimited"] = {
            **{name: round(value, 4) for name, value in asdict(told_).items()},
            "fewer": [round(less.share, 4), round(less.share_error, 4)],
            "points": round(fmean(each.points for name in names for each in runs(name, kind, limited)), 1),
            "regret": finals(kind, limited),
        }
    return said


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, judge; 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proposers", description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=Path, help="a file that keeps each study")
    parser.add_argument("--functions", type=lambda text: text.split(","), default=list(OPTIMA))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--unlimited", action="store_true")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.seeds)
    found = measured(options.functions, seeds, options.jobs, options.unlimited, options.runs)
    holds = {
        **{kind: max(found[kind]["cost"], found[kind]["fewer"][0]) <= MOST_COST for kind in ("random", "hostile")},
        "informed": found["informed"]["cost"] + 2 * found["informed"]["error"] < 0,
    }
    form = {"trials": TRIALS, "workers": WORKERS, "seeds": [seeds[0], seeds[-1]], "share": PROPOSED_SHARE, **found}
    text = json.dumps({**form, "holds": holds}, indent=1)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
