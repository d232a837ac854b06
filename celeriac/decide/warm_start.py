"""Where does a night start? Which trials come first, which earlier studies count, and how they fit a changed space.

The first trials are the slice's champion and the best of its last night; they are also what tells how far tonight's
data agree with the past. A slice without a past starts from its sisters' best. All else that the past says is for the
sampler, which gives each earlier study as much weight as tonight's scores allow. Pure: records in, one decision out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from celeriac.domain.errors import SpaceInvalid
from celeriac.domain.records import Goal, Params, Source
from celeriac.domain.space import Choice, Float, Int, Parameter, Space

NIGHTS, SISTERS = 6, 8
#: Trials of one earlier study that are looked at: its newest.
MOST_TRIALS = 300
MOST_FIRST = 2


@dataclass(frozen=True, slots=True)
class PastTrial:
    """A scored trial of an earlier study."""

    number: int
    params: Params
    score: float


@dataclass(frozen=True, slots=True)
class PastStudy:
    """An earlier study's scored trials, and the space that they were of. `gap`: nights
    before tonight; `is_sister`: of another slice.
    """

    study: str
    gap: int
    is_sister: bool
    space: Space
    goal: Goal
    trials: tuple[PastTrial, ...]


@dataclass(frozen=True, slots=True)
class FirstTrial:
    """A trial that comes before any suggestion, and why."""

    params: Params
    source: Source
    reason: str


@dataclass(frozen=True, slots=True)
class WarmStartDecision:
    """`first`: the night's first trials (behind the default, if there is one). `changes`: what was done to fit the
    past into a changed space, a line a parameter.
    """

    first: tuple[FirstTrial, ...]
    changes: tuple[str, ...]
    reason: str


def warm_start(
    space: Space, default: Params | None, champion: Params | None, past: Sequence[PastStudy]
) -> WarmStartDecision:
    """Decide for tonight's `space`; `champion`: its parameters, None where the slice has none; `past`: newest first."""
    wanted: list[tuple[Params, Source, str]] = []
    if champion is not None:
        wanted.append((champion, Source.CHAMPION, "the slice's champion"))
    own = [each for each in past if not each.is_sister and each.trials]
    nearest = own[:1] or [each for each in past if each.trials]
    wanted += [(best.params, Source.PRIOR, _why(best, each)) for each in nearest for best in [_best(each)]]
    first: dict[str, FirstTrial] = {}
    taken = set() if default is None else {space.key(default)}
    for params, source, reason in wanted:
        fitting = moved(params, space, default)
        key = space.key(fitting)
        if key not in taken and len(first) < MOST_FIRST:
            changed = "" if dict(params) == fitting else ", moved into tonight's space"
            first[key] = FirstTrial(fitting, source, reason + changed)
            taken.add(key)
    newest = nearest[0].space if nearest else space
    return WarmStartDecision(tuple(first.values()), tuple(changes(newest, space, default)), _reason(own, past))


def _reason(own: Sequence[PastStudy], past: Sequence[PastStudy]) -> str:
    sisters = sum(each.is_sister for each in past)
    if own:
        return f"{len(own)} earlier nights of the slice and {sisters} of its sisters count"
    return f"the slice has no past: it starts from {sisters} sisters" if sisters else "there is no past to start from"


def _why(best: PastTrial, of: PastStudy) -> str:
    whose = "a sister" if of.is_sister else "the last night"
    return f"the best of {whose}: trial {best.number} of {of.study}, {best.score:.6g}"


def _best(study: PastStudy) -> PastTrial:
    sign = -1.0 if study.goal == "maximize" else 1.0
    return min(study.trials, key=lambda trial: (sign * trial.score, trial.number))


def fitted(params: Params, space: Space, default: Params | None) -> dict[str, Any] | None:
    """An earlier trial's parameters as a point of `space`; None where a value is not in its range any more, so that the
    trial says nothing of this space. An added parameter counts as its default, or the middle of its range; a removed
    one is left out.
    """
    try:
        return space.validate(_filled(params, space, default, {}))
    except SpaceInvalid:
        return None


def moved(params: Params, space: Space, default: Params | None) -> dict[str, Any]:
    """As `fitted`, but what is out of range is moved to the nearest end, and an option that is gone becomes the
    default, or the first.
    """
    instead = {name: _nearest(parameter, params.get(name)) for name, parameter in space.parameters.items()}
    return space.validate(_filled({}, space, default, {k: v for k, v in instead.items() if v is not None}))


def _filled(params: Params, space: Space, default: Params | None, instead: Params) -> dict[str, Any]:
    """The parameters that are active in `space`: those of `instead`, the trial's, the default's, or middling ones."""
    middle = space.from_unit([0.5] * len(space.names))
    values: dict[str, Any] = {}
    for name in space.names:
        if name not in space.active(values):
            continue
        known = (each[name] for each in (instead, params, default or {}, middle) if name in each)
        values[name] = next(known, space.parameters[name].from_unit(0.5))
    return values


def _nearest(parameter: Parameter, value: Any) -> Any:
    """The value of the parameter that is nearest to this one; None where there is no saying."""
    try:
        return parameter.fit(value)
    except ValueError:
        pass
    if isinstance(parameter, Choice) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    inside = min(max(value, parameter.low), parameter.high)
    return parameter.from_unit(parameter.to_unit(round(inside) if isinstance(parameter, Int) else float(inside)))


def changes(before: Space, now: Space, default: Params | None) -> Iterator[str]:
    """What differs between two nights' spaces and what that does to earlier trials, a line a parameter."""
    old, new = before.parameters, now.parameters
    for name in (*new, *(each for each in old if each not in new)):
        if name not in old:
            counts = (default or {}).get(name, new[name].from_unit(0.5))
            yield f"{name} is new: earlier trials count as if they had had {counts!r}"
        elif name not in new:
            yield f"{name} is gone: earlier trials count without it"
        elif replace(old[name], when=None) != replace(new[name], when=None):
            yield f"{name} {_change(old[name], new[name])}"


def _change(old: Parameter, new: Parameter) -> str:
    leave = "earlier trials outside of it do not count"
    if type(old) is not type(new):
        return f"is another kind of parameter: {leave}"
    if isinstance(old, Choice) and isinstance(new, Choice):
        gone = [option for option in old.options if option not in new.options]
        return f"has no option {', '.join(map(repr, gone))} any more: {leave}" if gone else "has new options"
    if isinstance(old, Float | Int) and isinstance(new, Float | Int):
        if new.low <= old.low and new.high >= old.high and (new.low, new.high) != (old.low, old.high):
            return f"is wider, [{new.low}, {new.high}]: all earlier trials count"
        if (new.low, new.high) == (old.low, old.high):
            return "has another scale or step: earlier trials on its values count"
        return f"is narrower or moved, [{new.low}, {new.high}]: {leave}"
    return leave


def gaps(due: Sequence[Any], tonight: Any) -> Mapping[Any, int]:
    """How many nights before tonight each due time lies: the distinct ones counted backwards, tonight's 0."""
    return {at: gap for gap, at in enumerate(sorted({*due, tonight}, reverse=True))}
