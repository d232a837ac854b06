"""Does a study that waits for a slot get one that another study holds? Which running trials are asked back?

Only between clearly different weights (`priority`, raised where a deadline is near): a study may take from those whose
weight is at most a third of its own, once it has had less than its fair share for `after_s`, and no more than that
share. It takes from who holds more than its own fair share; only a study that has no slot at all takes more than that.

No thrashing: a trial is asked back at most once an hour, and only within a minute after its own attempt has written a
checkpoint, so it loses at most what it did since then. Studies whose trials do not fit every slot of their class
(shares, gangs, wishes) neither take nor give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from celeriac.decide.share import Slots, class_shares
from celeriac.domain.records import Claim, RunningAttempt

#: So many times the other's weight is clearly more.
CLEARLY = 3.0
#: A trial is not asked back again before so long is over.
ONCE_S = 3600.0
#: A checkpoint is recent for so long.
RECENT_S = 60.0


@dataclass(frozen=True, slots=True)
class Shortage:
    """A study that lacks slots: it may take `trials` of them, from the studies `of` (how many each may give), the
    lightest first.
    """

    study_id: int
    weight: float
    trials: int
    waited_s: float
    of: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class PreemptDecision:
    """The attempts to ask back, by their tokens, and what they are told."""

    tokens: tuple[str, ...]
    reason: str


def short_since(before: Mapping[int, float], claims: Sequence[Claim], slots: Slots, now_s: float) -> dict[int, float]:
    """Since when each study has had less than its fair share while no slot was free, by any clock's seconds. Empty
    where no weight is clearly more than another's.
    """
    weights = [each.weight for each in claims if each.may_run]
    if not weights or max(weights) < CLEARLY * min(weights):
        return {}
    return {study_id: before.get(study_id, now_s) for gpus in (1, 0) for study_id in _short(gpus, claims, slots)}


def shortages(
    since: Mapping[int, float], claims: Sequence[Claim], slots: Slots, now_s: float, after_s: float
) -> list[Shortage]:
    """The studies that have been short for longer than `after_s`, the heaviest first."""
    found = []
    for gpus in (1, 0):
        for study_id, lacks in _short(gpus, claims, slots).items():
            waited_s = now_s - since.get(study_id, now_s)
            if waited_s >= after_s:
                found.append(_shortage(study_id, lacks, waited_s, claims, slots))
    return sorted((each for each in found if each.of), key=lambda each: (-each.weight, each.study_id))


def whom_to_ask_back(
    shortage: Shortage, name: str, running: Sequence[RunningAttempt], now: datetime
) -> PreemptDecision:
    """Which of these running attempts make room: those that wrote a checkpoint last, in the order of `shortage.of`.

    One that was asked already, and still runs, counts as a slot that comes.
    """
    left = shortage.trials - sum(each.preempted_at is not None for each in running)
    chosen: list[str] = []
    for study_id, most in shortage.of.items():
        may = [each for each in running if each.study_id == study_id and _may_be_asked(each, now)]
        may.sort(key=lambda each: (each.saved_at or now, each.number), reverse=True)
        chosen += [each.token for each in may[: max(min(most, left - len(chosen)), 0)]]
    reason = (
        f"study {name} of weight {shortage.weight:.3g} has waited {shortage.waited_s:.0f} s for its share of the slots"
    )
    return PreemptDecision(tuple(chosen), reason)


def _may_be_asked(attempt: RunningAttempt, now: datetime) -> bool:
    if attempt.preempted_at is not None or attempt.saved_at is None:
        return False
    before = attempt.preempted_before_at
    is_rested = before is None or now - before >= timedelta(seconds=ONCE_S)
    return is_rested and now - attempt.saved_at <= timedelta(seconds=RECENT_S)


def _short(gpus: int, claims: Sequence[Claim], slots: Slots) -> dict[int, int]:
    """The studies of this demand class that could use another slot and have less than their fair share, and how many
    trials each lacks; none while a slot is free.
    """
    fleet = class_shares(gpus, claims, slots)
    if fleet.free >= 1:
        return {}
    return {
        each.study_id: fleet.fair[each.study_id] - each.running
        for each in claims
        if each.study_id in fleet.fair
        and each.resources.is_plain
        and each.queued + each.ready
        and each.running < fleet.fair[each.study_id]
    }


def _shortage(study_id: int, lacks: int, waited_s: float, claims: Sequence[Claim], slots: Slots) -> Shortage:
    """With the tickets of others that lie ahead: the slots that become free first go to them."""
    mine = next(each for each in claims if each.study_id == study_id)
    ours = [each for each in claims if bool(each.gpus) == bool(mine.gpus)]
    fair = class_shares(mine.gpus, claims, slots).fair
    others = [
        each for each in ours if each.resources.is_plain and each.running and mine.weight >= CLEARLY * each.weight
    ]
    others.sort(key=lambda each: (each.weight, each.study_id))
    gives = {each.study_id: each.running - fair.get(each.study_id, 0) for each in others}
    gives = {each: count for each, count in gives.items() if count > 0}
    if not gives and not mine.running and others:
        gives = {others[0].study_id: 1}
    ahead = sum(each.queued for each in ours if each.study_id != study_id)
    return Shortage(study_id, mine.weight, lacks + ahead, waited_s, gives)
