"""What does a proposer of points cost a study, or win it? `make bench-agents` -> build/bench/proposers.json

Studies of 50 trials on four workers of a virtual clock, by the real sampler, on functions whose optimum is known. A
proposer has a point ready at every moment; `celeriac.decide.proposals` says when the study takes one, of at most 30 %
of its trials. `random` draws it from the space, `hostile` takes the truly worst of 64 draws, and `informed` knows each
parameter to a tenth of its range around the optimum. With `--unlimited` also without a look at how the points went:
what that look is worth. The unit of regret is that of the search's comparison: random search's median after 40 trials.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import pi, sqrt
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

from benchmarks.search.clock import Ended, Trial, duration, study
from benchmarks.search.methods import method
from benchmarks.search.problems import Params, Problem, problem
from benchmarks.search.runs import incumbent_regrets
from celeriac.decide.proposals import proposals_now
from celeriac.domain.records import ProposedSoFar
from celeriac.domain.space import Choice
from celeriac.domain.study_file.specs import PROPOSED_SHARE

TRIALS, WORKERS, SEEDS = 50, 4, 24
HOSTILE_OF = 64
KNOWN_TO = 0.1
#: A bad proposer may cost so much, in units of regret.
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


def regret(name: str, kind: str, seed: int, is_limited: bool = True) -> tuple[float, int]:
    """The final regret of one study, in units, and how many points it took from outside."""
    of = problem(name)
    ours, propose = method("ours", of.space, seed), None
    if kind:
        propose = proposer(kind, of, Random(f"proposer/{kind}/{name}/{seed}"))
    given: set[int] = set()
    begun = 0

    def ask(ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        nonlocal begun
        begun += 1
        if propose is not None and begun > 1:
            so_far = told(ended, given) if is_limited else ProposedSoFar(len(given))
            if proposals_now(so_far, PROPOSED_SHARE, begun=begun - 1, left=1).most:
                given.add(begun - 1)
                return propose()
        return ours(ended, running)

    ended = study(
        ask, lambda t: of.observe(t.params, seed, t.number), lambda n: duration(name, seed, n), WORKERS, TRIALS
    )
    return list(incumbent_regrets(of.regret, ended))[-1] / of.yard(), len(given)


def told(ended: Sequence[Ended], given: set[int]) -> ProposedSoFar:
    """How the points went, as the store counts it."""
    own = sorted(each.loss for each in ended if each.trial.number not in given)
    theirs = [each.loss for each in ended if each.trial.number in given]
    hits = sum(loss <= own[(len(own) - 1) // 2] for loss in theirs) if own else 0
    return ProposedSoFar(len(given), len(theirs), hits)


def _one(job: tuple[str, str, int, bool]) -> tuple[float, int]:
    return regret(*job)


def measured(names: Sequence[str], seeds: int, jobs: int, unlimited: bool) -> dict[str, Any]:
    """For each kind: the mean cost over functions and seeds, pair by pair, with its standard error."""
    wanted = [("", True), *((kind, True) for kind in KINDS)]
    wanted += [(kind, False) for kind in KINDS if unlimited]
    every = [(name, kind, seed, limited) for kind, limited in wanted for name in names for seed in range(seeds)]
    with ProcessPoolExecutor(jobs) as pool:
        found = dict(zip(every, pool.map(_one, every), strict=True))
    told_: dict[str, Any] = {"without": _means(found, names, "", seeds, True)}
    for kind, limited in wanted[1:]:
        costs = [found[n, kind, s, limited][0] - found[n, "", s, True][0] for n in names for s in range(seeds)]
        told_[kind if limited else f"{kind}, unlimited"] = {
            "cost": round(fmean(costs), 4),
            "error": round(stdev(costs) / sqrt(len(costs)), 4),
            "points": round(fmean(found[n, kind, s, limited][1] for n in names for s in range(seeds)), 1),
            "regret": _means(found, names, kind, seeds, limited),
        }
    return told_


def _means(found: Mapping[Any, tuple[float, int]], names: Sequence[str], kind: str, seeds: int, limited: bool) -> Any:
    return {name: round(fmean(found[name, kind, s, limited][0] for s in range(seeds)), 4) for name in names}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, judge; 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proposers", description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--functions", type=lambda text: text.split(","), default=list(OPTIMA))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--unlimited", action="store_true")
    options = parser.parse_args(arguments)
    found = measured(options.functions, options.seeds, options.jobs, options.unlimited)
    holds = {
        **{kind: found[kind]["cost"] <= MOST_COST for kind in ("random", "hostile")},
        "informed": found["informed"]["cost"] + 2 * found["informed"]["error"] < 0,
    }
    form = {"trials": TRIALS, "workers": WORKERS, "seeds": options.seeds, "share": PROPOSED_SHARE, **found}
    text = json.dumps({**form, "holds": holds}, indent=1)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
