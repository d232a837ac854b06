"""The seam between a study and whatever proposes its trials.

    suggest(space, observations, pending, count, seed) -> proposals

Rules: pure (no clock, no global random state, no row is read); never a point that was observed or is pending; fewer than
`count` proposals mean that the space has no further point; nothing but plain JSON values comes out. Since trials are
numbered without gaps, the next trial's number is the number of points known so far (`next_number`), and each
proposal draws its randomness from (seed, number) alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from random import Random
from typing import Any, Protocol

from celeriac.records import Goal, Params, Source, TrialRecord, TrialState
from celeriac.space import Space

_TRIES = 64
_FEW = 4096


@dataclass(frozen=True, slots=True)
class Point:
    """A trial's place in the space: `unit` is it in the unit box, `key` the same for equal points only."""

    number: int
    params: Params
    unit: tuple[float, ...]
    key: str
    source: Source


@dataclass(frozen=True, slots=True)
class Observation:
    """A trial that ended. `loss` is its score turned so that less is better, None where it has none.

    `infeasible`: it failed by its own fault (a bug, a NaN, a timeout, out of memory), so points like it are to be avoided; a
    trial that was cancelled, or lost to the infrastructure, says nothing.
    """

    point: Point
    loss: float | None
    infeasible: bool


@dataclass(frozen=True, slots=True)
class Proposal:
    """Parameters, and how they were found (plain JSON, kept with the trial)."""

    params: dict[str, Any]
    how: Mapping[str, Any]


class Sampler(Protocol):
    """See the module's rules."""

    def __call__(
        self,
        space: Space,
        observations: Sequence[Observation],
        pending: Sequence[Point],
        count: int,
        seed: int,
    ) -> list[Proposal]:
        """At most `count` proposals for the trials that come next."""


def point_of(space: Space, trial: TrialRecord) -> Point:
    """The point of a trial's row. Raises SpaceInvalid when its parameters do not fit the space."""
    params = space.validate(trial.params)
    return Point(trial.number, params, tuple(space.to_unit(params)), space.key(params), trial.source)


def observed(space: Space, goal: Goal, trial: TrialRecord) -> Observation:
    """What a trial that ended teaches. A pruned trial counts with its last report."""
    sign = -1.0 if goal == "maximize" else 1.0
    value = trial.last_value if trial.state is TrialState.PRUNED else trial.score
    known = value is not None and trial.state in (TrialState.SCORED, TrialState.PRUNED)
    own_fault = trial.state is TrialState.FAILED and trial.fault not in (None, *_NOT_ITS_FAULT)
    return Observation(
        point_of(space, trial), sign * value if known and value is not None else None, own_fault
    )


_NOT_ITS_FAULT = ("infrastructure", "preempted")


def next_number(observations: Sequence[Observation], pending: Sequence[Point]) -> int:
    """The number of the trial that the next proposal becomes."""
    return len(observations) + len(pending)


def seen_keys(observations: Sequence[Observation], pending: Iterable[Point]) -> set[str]:
    """The keys of all points that must not be proposed again."""
    return {o.point.key for o in observations}.union(p.key for p in pending)


def proposed(space: Space, params: dict[str, Any], number: int) -> Point:
    """The point that a proposal will be, for the proposals after it."""
    return Point(number, params, tuple(space.to_unit(params)), space.key(params), Source.SUGGESTED)


def dice(seed: int, number: int, purpose: str) -> Random:
    """The randomness of one proposal: the same for the same study seed and trial number, on every host."""
    return Random(int.from_bytes(sha256(f"{seed}/{number}/{purpose}".encode()).digest()[:8], "big"))


def unseen(space: Space, seen: set[str], rng: Random) -> dict[str, Any] | None:
    """A random configuration that is not in `seen`, or None when the space has none left."""
    size = space.cardinality()
    if size is not None and len(seen) >= size:
        return None
    for _ in range(_TRIES):
        params = space.sample(rng)
        if space.key(params) not in seen:
            return params
    return _drawn_from_rest(space, seen, rng, size)


def _drawn_from_rest(space: Space, seen: set[str], rng: Random, size: int | None) -> dict[str, Any] | None:
    """From a space nearly used up: any of the rest with equal chance, or the first of it where the space is large."""
    rest = (params for params in space.grid() if space.key(params) not in seen)
    if size is None or size > _FEW:
        return next(rest, None)
    few = list(rest)
    return rng.choice(few) if few else None
