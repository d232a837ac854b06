"""Should `sampler: auto` take another model than `bayesian` for some spaces? Spaces that are said not to suit a
Gaussian process.

Choices with many options, conditions, many parameters, and losses that are regression trees themselves: each family's
seeds are functions of their own. Sixty trials, ten workers on the virtual clock of the comparison.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import mean
from typing import Any

from benchmarks.search.clock import Trial, duration, study
from benchmarks.search.methods import method
from benchmarks.search.report import markdown
from celeriac.domain.space import Choice, Float, Int, Parameter, Space

BUDGET, WORKERS = 60, 10
METHODS = ("ours", "ours:forest")

Loss = Callable[[Mapping[str, Any]], float]


def choices(parameters: int, options: int, rng: Random) -> tuple[Space, Loss]:
    """An effect of each option, and of each pair of options for as many pairs of parameters as there are parameters."""
    names = [f"c{n:02d}" for n in range(parameters)]
    alone = {name: [rng.gauss(0, 1) for _ in range(options)] for name in names}
    pairs = [(rng.choice(names), rng.choice(names)) for _ in names]
    together = [[[rng.gauss(0, 1) for _ in range(options)] for _ in range(options)] for _ in pairs]

    def loss(params: Mapping[str, Any]) -> float:
        effects: float = sum(alone[name][params[name]] for name in names)
        for (a, b), table in zip(pairs, together, strict=True):
            effects += table[params[a]][params[b]]
        return effects

    return Space({name: Choice(tuple(range(options))) for name in names}), loss


def conditions(models: int, rng: Random) -> tuple[Space, Loss]:
    """A choice of a model, each with four numbers and a choice of its own."""
    parameters: dict[str, Parameter] = {"model": Choice(tuple(f"m{n}" for n in range(models)))}
    best: dict[str, Any] = {}
    for model in (f"m{n}" for n in range(models)):
        for n in range(4):
            parameters[f"{model}x{n}"] = Float(0, 1, when={"model": model})
            best[f"{model}x{n}"] = rng.random()
        parameters[f"{model}k"] = Choice(("a", "b", "c"), when={"model": model})
        best[f"{model}k"] = rng.choice("abc")
    level = {f"m{n}": 0.5 * rng.random() for n in range(models)}
    slope = {f"m{n}": 0.5 + 2 * rng.random() for n in range(models)}

    def loss(params: Mapping[str, Any]) -> float:
        model = str(params["model"])
        away: float = sum((params[f"{model}x{n}"] - best[f"{model}x{n}"]) ** 2 for n in range(4))
        wrong = 0.3 if params[f"{model}k"] != best[f"{model}k"] else 0.0
        return level[model] + slope[model] * away + wrong

    return Space(parameters), loss


def many(parameters: int, rng: Random) -> tuple[Space, Loss]:
    """Parameters of all kinds, of which eight matter."""
    kinds = (Float(0, 1), Float(1e-4, 1, log=True), Int(1, 16), Choice(("a", "b", "c")))
    space = Space({f"p{n:03d}": kinds[n % 4] for n in range(parameters)})
    best = {name: rng.random() for name in rng.sample(space.names, 8)}

    def loss(params: Mapping[str, Any]) -> float:
        unit = dict(zip(space.names, space.to_unit(params), strict=True))
        return sum((n + 1) / 8 * abs(unit[name] - at) for n, (name, at) in enumerate(best.items()))

    return space, loss


def trees(parameters: int, depth: int, rng: Random) -> tuple[Space, Loss]:
    """The sum of four random regression trees: nothing about it is smooth."""
    kinds = (Float(0, 1), Int(1, 16), Choice(tuple("abcdef")))
    space = Space({f"p{n:02d}": kinds[n % 3] for n in range(parameters)})

    def grown(left: int) -> Any:
        if not left:
            return rng.gauss(0, 1)
        return rng.randrange(parameters), rng.random(), grown(left - 1), grown(left - 1)

    forest = [grown(depth) for _ in range(4)]

    def loss(params: Mapping[str, Any]) -> float:
        unit, total = space.to_unit(params), 0.0
        for tree in forest:
            while isinstance(tree, tuple):
                tree = tree[2] if unit[tree[0]] < tree[1] else tree[3]
            total += tree
        return total

    return space, loss


FAMILIES: Mapping[str, Callable[[Random], tuple[Space, Loss]]] = {
    "16 choices of 4": lambda rng: choices(16, 4, rng),
    "20 choices of 5": lambda rng: choices(20, 5, rng),
    "8 choices of 16": lambda rng: choices(8, 16, rng),
    "6 choices of 30": lambda rng: choices(6, 30, rng),
    "6 models with 5 parameters each": lambda rng: conditions(6, rng),
    "50 parameters of which 8 matter": lambda rng: many(50, rng),
    "80 parameters of which 8 matter": lambda rng: many(80, rng),
    "120 parameters of which 8 matter": lambda rng: many(120, rng),
    "200 parameters of which 8 matter": lambda rng: many(200, rng),
    "trees of depth 5 on 12 parameters": lambda rng: trees(12, 5, rng),
}


def best(name: str, space: Space, loss: Loss, seed: int) -> float:
    """The least loss of one study."""
    ask = method(name, space, seed)

    def value(trial: Trial) -> float:
        return loss(trial.params)

    ended = study(ask, value, lambda number: duration("choosing", seed, number), WORKERS, BUDGET)
    return min(end.loss for end in ended)


def row(family: str, seeds: Sequence[int]) -> list[str]:
    """A family's line: each method's mean gain over random search, and how often the last one wins against the
    first.
    """
    gains: dict[str, list[float]] = {name: [] for name in METHODS}
    for seed in seeds:
        space, loss = FAMILIES[family](Random(f"choosing/{family}/{seed}"))
        chance = best("random", space, loss, seed)
        for name in METHODS:
            gains[name].append(chance - best(name, space, loss, seed))
    wins = sum(b > a for a, b in zip(gains[METHODS[0]], gains[METHODS[-1]], strict=True))
    return [family, *(f"{mean(gains[name]):.2f}" for name in METHODS), f"{wins} of {len(seeds)}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search.choosing", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many functions of each family")
    parser.add_argument("--families", type=lambda text: text.split(","), default=list(FAMILIES))
    options = parser.parse_args(arguments)
    head = ["gain over random search", "bayesian", "forest", "forest is better"]
    rows = []
    for family in options.families:
        rows.append(row(family, range(options.seeds)))
        print(rows[-1], flush=True)
    print(markdown(head, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
