"""The seam between a study and whatever proposes its trials.

    suggest(space, observations, pending, count, seed) -> proposals

Rules: pure (no clock, no global random state, no row is read); never a point that was observed or is pending; fewer
than `count` proposals mean that the space has no further point; nothing but plain JSON values comes out. Since trials
are numbered without gaps, the next trial's number is the number of trials known so far (`next_number`), and each
proposal draws its randomness from (seed, number) alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from math import isfinite
from random import Random
from typing import Any, Protocol

from celeriac.domain.provenance import By
from celeriac.domain.records import Fault, Goal, Params, PendingTrial, Source, TrialRecord, TrialState
from celeriac.domain.space import Space

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


class Kind(StrEnum):
    """What an observation is; all that a sampler learns comes by this one road."""

    FINISHED = "finished"  # scored
    PRUNED = "pruned"  # stopped early: `loss` is its last report's, `rungs` how it went until then
    INFEASIBLE = "infeasible"  # failed by its own fault (`fault`): points like it are to be avoided
    PRIOR = "prior"  # no trial of this study: learned elsewhere, and counted with its noise and weight
    VOID = "void"  # cancelled, or lost to the infrastructure: it says nothing, but the point was had


@dataclass(frozen=True, slots=True)
class Observation:
    """A point and what became of it.

    `loss` is the score turned so that less is better, finite; None where there is none. `noise` is the variance of the
    loss that is known beyond what the model estimates (squared units of the loss); `weight`, in (0, 1], is how much it
    counts: its variance is divided by it. `rungs` are the losses at the early-stopping rungs that it reached, in
    order; `device` is the kind of the device that it ran on, "" when unknown; `oom_device_kinds` are the kinds on
    which it ran out of memory before, or at last.
    """

    point: Point
    kind: Kind
    loss: float | None = None
    noise: float = 0.0
    weight: float = 1.0
    fault: Fault | None = None
    rungs: tuple[tuple[int, float], ...] = ()
    device: str = ""
    oom_device_kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """Parameters, and how they were found (plain JSON, kept with the trial; see `celeriac.domain.provenance`).

    A model tells `mean` (its median), `low` and `high` (90 % interval, noise apart), `expected_gain` over the
    `incumbent`, all in units of the loss, and `feasible`, the chance that the trial runs, once one has failed.
    """

    params: dict[str, Any]
    how: Mapping[str, Any]


class Sampler(Protocol):
    """See the module's rules."""

    def __call__(
        self, space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
    ) -> list[Proposal]:
        """At most `count` proposals for the trials that come next."""


def point_of(space: Space, trial: TrialRecord | PendingTrial) -> Point:
    """The point of a trial's row. Raises SpaceInvalid when its parameters do not fit the space."""
    params = space.validate(trial.params)
    return Point(trial.number, params, tuple(space.to_unit(params)), space.key(params), trial.source)


def observed(space: Space, goal: Goal, trial: TrialRecord) -> Observation:
    """What a trial that ended teaches."""
    sign = -1.0 if goal == "maximize" else 1.0
    point = point_of(space, trial)
    void = Observation(point, Kind.VOID)
    rungs = tuple((rung, sign * value) for rung, value in trial.rungs if isfinite(value))
    ran = replace(void, rungs=rungs, device=trial.device_kind, oom_device_kinds=trial.oom_device_kinds)
    score = {TrialState.SCORED: trial.score, TrialState.PRUNED: trial.last_value}.get(trial.state)
    if score is not None and not isfinite(score):  # no sampler is ever told a NaN
        return replace(ran, kind=Kind.INFEASIBLE, fault=Fault.NOT_FINITE)
    if score is not None:
        kind = Kind.FINISHED if trial.state is TrialState.SCORED else Kind.PRUNED
        return replace(ran, kind=kind, loss=sign * score)
    if trial.state is TrialState.FAILED and trial.fault not in (None, *_NOT_ITS_FAULT):
        return replace(ran, kind=Kind.INFEASIBLE, fault=trial.fault, device=_failed_on(trial))
    return void


def _failed_on(trial: TrialRecord) -> str:
    """The kind of the device that it failed on: of a gang on several kinds, the one that was out of memory."""
    known = trial.oom_device_kinds
    elsewhere = trial.fault is Fault.OUT_OF_MEMORY and known and trial.device_kind not in known
    return known[-1] if elsewhere else trial.device_kind


_NOT_ITS_FAULT = (Fault.INFRASTRUCTURE, Fault.PREEMPTED)


def next_number(observations: Sequence[Observation], pending: Sequence[Point]) -> int:
    """The number of the trial that the next proposal becomes; a prior is no trial of this study."""
    return sum(o.kind is not Kind.PRIOR for o in observations) + len(pending)


def seen_keys(observations: Sequence[Observation], pending: Iterable[Point]) -> set[str]:
    """The keys of all points that must not be proposed again. A prior's point may be: tonight it may score
    otherwise.
    """
    return {o.point.key for o in observations if o.kind is not Kind.PRIOR}.union(p.key for p in pending)


def proposed(space: Space, params: dict[str, Any], number: int) -> Point:
    """The point that a proposal will be, for the proposals after it."""
    return Point(number, params, tuple(space.to_unit(params)), space.key(params), Source.SUGGESTED)


def dice(seed: int, number: int, purpose: str) -> Random:
    """The randomness of one proposal: the same for the same study seed and trial number, on every host."""
    return Random(int.from_bytes(sha256(f"{seed}/{number}/{purpose}".encode()).digest()[:8], "big"))


def one_by_one(
    suggested: Callable[[int, set[str]], Proposal | None],
    space: Space,
    observations: Sequence[Observation],
    pending: Sequence[Point],
    count: int,
) -> list[Proposal]:
    """What `suggested(number, keys that must not come again)` proposes for each trial in turn, until it is None."""
    seen, first = seen_keys(observations, pending), next_number(observations, pending)
    proposals: list[Proposal] = []
    for number in range(first, first + count):
        proposal = suggested(number, seen)
        if proposal is None:
            break
        seen.add(space.key(proposal.params))
        proposals.append(proposal)
    return proposals


def at_random(space: Space, seen: set[str], seed: int, number: int, reason: str = "") -> Proposal | None:
    """A random point that is not in `seen`, and why it is one; None when the space has none left."""
    params = unseen(space, seen, dice(seed, number, "random"))
    return None if params is None else Proposal(params, {"by": By.RANDOM, **({"reason": reason} if reason else {})})


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
