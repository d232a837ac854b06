"""Which trials of a study fail, and how: the same for every method, and for every run of the same problem and seed."""

from collections.abc import Callable, Mapping
from random import Random

from benchmarks.search.clock import Trial
from benchmarks.search.problems import Problem
from celeriac.domain.records import Fault

Fails = Callable[[Trial], Fault | None]

SHARE_AT_RANDOM = 0.1


def failing(name: str, of: Problem, seed: int) -> Fails:
    """What ends a trial of this study, if anything does. Raises ValueError naming the known ways."""
    if name not in WAYS:
        raise ValueError(f"no way to fail is called {name!r} (known: {', '.join(WAYS)})")
    return WAYS[name](of, seed)


def short_parameter(of: Problem, seed: int) -> str:
    """The parameter that plays the batch size."""
    return Random(f"memory/{of.name}/{seed}").choice(of.space.names)


def _none(of: Problem, seed: int) -> Fails:
    return lambda trial: None


def _memory(of: Problem, seed: int) -> Fails:
    """Out of memory from the middle of one parameter on: half of the space, or somewhat more where it has few
    values.
    """
    column = of.space.names.index(short_parameter(of, seed))

    def fails(trial: Trial) -> Fault | None:
        return Fault.OUT_OF_MEMORY if of.space.to_unit(trial.params)[column] >= 0.5 else None

    return fails


def _random(of: Problem, seed: int) -> Fails:
    """One trial in ten, wherever it is: a NaN or a crash."""

    def fails(trial: Trial) -> Fault | None:
        chance = Random(f"fault/{of.name}/{seed}/{trial.number}")
        if chance.random() >= SHARE_AT_RANDOM:
            return None
        return chance.choice((Fault.NOT_FINITE, Fault.USER_BUG))

    return fails


WAYS: Mapping[str, Callable[[Problem, int], Fails]] = {"none": _none, "memory": _memory, "random": _random}
