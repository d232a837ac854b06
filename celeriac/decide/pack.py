"""Packs: which trials train together in one process, and what follows when that went wrong?

Trials of one pack are of equal shape (the same values of all parameters that the space marks `shape: true`) and stand
at the same step, so that one loop trains them all. A fault of the whole pack says nothing of whose it was: the pack is
split, at no charge, and what happens to a trial alone is its own. It ends: memory halves a pack, and any other fault
has each of its trials run alone.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celeriac.domain.records import Fault, PackCandidate, PackChoices

#: So many waiting trials are looked at for each one that a pack may have.
LOOKED_AT = 8
#: The faults of a pack as a whole that may be one member's alone.
_SPLITS = frozenset({Fault.OUT_OF_MEMORY, Fault.USER_BUG, Fault.TIMEOUT, Fault.NOT_FINITE})


@dataclass(frozen=True, slots=True)
class PackDecision:
    """The numbers of the trials that the leader takes along, and why not more."""

    numbers: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SplitDecision:
    """The trials of the pack go on with so many of them together at most; `charges`: the first of them has the fault
    all the same.
    """

    most: int | None
    reason: str
    charges: bool = False


def shape_key(params: Mapping[str, Any], shape: Sequence[str]) -> str:
    """The same for trials of equal shape only; a parameter that is not active has no value."""
    return json.dumps([[name, params[name]] for name in sorted(shape) if name in params])


def take_along(choices: PackChoices, pack: int, shape: Sequence[str]) -> PackDecision:
    """Which of the waiting trials the leader takes along, oldest first."""
    lead = choices.lead
    if lead.short:
        return PackDecision((), f"trial {lead.number} ran out of memory by itself before: it runs alone")
    alike, most = shape_key(lead.params, shape), min(pack, _own_most(choices, lead, pack))
    for limit in choices.limits:
        if limit.by_memory and shape_key(limit.params, shape) == alike:
            most = min(most, limit.most)
    taken: list[int] = []
    for each in choices.others:
        if len(taken) + 1 >= most:
            return PackDecision(tuple(taken), f"{most} is the most that it may have")
        fits = shape_key(each.params, shape) == alike and each.step == lead.step and not each.short
        if fits and _own_most(choices, each, pack) > len(taken) + 1:
            most = min(most, _own_most(choices, each, pack))
            taken.append(each.number)
    where = f"at step {lead.step}" if lead.step >= 0 else "at their start"
    return PackDecision(tuple(taken), f"no more trials of this shape wait {where}")


def _own_most(choices: PackChoices, trial: PackCandidate, pack: int) -> int:
    return min((each.most for each in choices.limits if each.number == trial.number), default=pack)


def stay_together(starts: Mapping[int, int], lead: int) -> dict[int, str]:
    """Of these trials, by number, with the step that each begins at: those that do not stay with the leader, and why.
    A checkpoint that was not sound sets one back.
    """
    at = starts[lead]
    return {
        number: f"it begins at step {start} and its pack at step {at}: it goes on in another one"
        for number, start in starts.items()
        if start != at
    }


def after_pack_fault(fault: Fault, active: int, *, called: bool) -> SplitDecision | None:
    """What follows from a fault of the whole pack that `active` trials were in; None: it is theirs. `called`: whether
    the objective was called, and not only its module imported.
    """
    if active <= 1 or fault not in _SPLITS:
        return None
    if not called:
        reason = "its pack did not come so far that it was called: only the first trial of it is charged"
        return SplitDecision(None, reason, charges=True)
    if fault is Fault.OUT_OF_MEMORY:
        most = max(active // 2, 1)
        return SplitDecision(most, f"out of memory in a pack of {active}: its trials go on in packs of {most} at most")
    words = fault.replace("_", " ")
    return SplitDecision(1, f"{words} in a pack of {active}, whose of them is not known: each of them runs alone next")


def leaders(ready: Sequence[int], count: int, pack: int, queued: int = 0, *, whole: bool = False) -> tuple[int, ...]:
    """For which of the ready trials tickets are sent, `count` at most: each leads a pack, and takes along those up to
    the next. The `queued` leaders that no slot has yet take theirs before. `whole`: only full packs.
    """
    size = max(pack, 1)
    left = ready[queued * (size - 1) :]
    return tuple(left[: len(left) // size * size if whole else len(left)][::size][:count])


def packs_of(trials: int, pack: int) -> int:
    """How many packs so many trials make, at least."""
    return -(-trials // max(pack, 1))


def lead_number(number: int, pack: int) -> int:
    """The trial whose shape the suggestion of this number has."""
    return number - number % max(pack, 1)
