"""Why does a study wait, which place in the line has it, and when is its next trial expected to start?

An estimate from rows: slots become free as trials end, each after the mean length of its study's trials, and go to the
studies in the order of `celeriac.decide.share`. Who is behind by less than a trial is known to the coordinator alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import floor

from celeriac.decide.deadlines import ends_in_s, urgent, usable, will_it_be_done
from celeriac.decide.share import Slots, in_line, share
from celeriac.domain.records import Claim


@dataclass(frozen=True, slots=True)
class WaitDecision:
    """`place` in the line for the next slot, 1 is next (None: it wants none); `slots`: its part of the fleet, in trials
    at once; `of`: the slots that may run it; seconds until its next start and its end are expected (None: nobody
    knows); `late`: why its deadline will be missed, or "".
    """

    reason: str
    slots: int = 0
    of: int = 0
    place: int | None = None
    starts_s: float | None = None
    ends_s: float | None = None
    late: str = ""


def why_it_waits(
    study_id: int, claims: Sequence[Claim], slots: Slots, now: datetime, *, suiting: int | None = None
) -> WaitDecision:
    """What the study waits for. `suiting`: so many GPUs, or CPU slots, suit it (None: any of its class does)."""
    claims = urgent(claims, slots)
    mine = next((each for each in claims if each.study_id == study_id), None)
    if mine is None:
        return WaitDecision("it is over")
    of_class = slots.of(mine.gpus)
    of = of_class if suiting is None else min(suiting, of_class)
    part = min(share(study_id, claims, slots).slots, floor(of / mine.width))
    if not mine.may_run:
        return WaitDecision("it is paused", part, of)
    late = will_it_be_done(mine, part, of, now)
    lanes = min(part, usable(mine, of))
    ends_s = ends_in_s(mine, lanes) if lanes else None
    if not of:
        return WaitDecision("no live slot can run it", 0, 0, late=late.reason)
    line = in_line(mine.gpus, claims, slots)
    if study_id not in line:
        return WaitDecision("all that it may run at once runs", part, of, ends_s=ends_s, late=late.reason)
    place = line.index(study_id) + 1
    ours = [each for each in claims if bool(each.gpus) == bool(mine.gpus)]
    idle = max(floor(of_class - sum(each.running * each.width for each in claims if each.gpus or not mine.gpus)), 0)
    starts_s = 0.0 if idle >= place else _free_after_s(ours, place - idle)
    busy = f"{of_class - idle} of {of_class} {'GPUs' if mine.gpus else 'slots'} are busy"
    return WaitDecision(f"{busy}, and it is number {place} in the line", part, of, place, starts_s, ends_s, late.reason)


def _free_after_s(claims: Sequence[Claim], count: int) -> float | None:
    """When so many running trials will have ended; None while no length is known."""
    a_second = sum(each.running / each.mean_s for each in claims if each.mean_s)
    return count / a_second if a_second else None
