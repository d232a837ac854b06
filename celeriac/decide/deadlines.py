"""Will a study be done by its firing's deadline, what helps, and how much sooner should its turn come?

The expected time is the trials that are left, times the mean length of those that are finished, over the slots of its
share. A study whose part is too small for its deadline gets a larger weight, as much as it needs, at most MOST_BOOST
times its own. One that could not make it with every slot that may run it, or whose deadline is over, gets none:
others would miss theirs for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil, floor

from celeriac.decide.share import Slots
from celeriac.domain.records import Claim

#: A deadline never multiplies a weight by more.
MOST_BOOST = 4.0
#: So much longer than expected the rest may take before a deadline is missed.
HEADROOM = 1.25
#: So near a deadline whatever is not done is announced, whether its trials' length is known or not.
LAST_CALL_S = 30.0


@dataclass(frozen=True, slots=True)
class DeadlineDecision:
    """`reason`: why a deadline cannot be met, and what would help; "" where there is nothing to announce. `ends_s`:
    seconds until the last trial's expected end; None: nobody knows.
    """

    reason: str
    ends_s: float | None = None

    @property
    def is_late(self) -> bool:
        """Whether the deadline will be missed."""
        return bool(self.reason)


def urgent(claims: Sequence[Claim], slots: Slots) -> list[Claim]:
    """The claims, with larger weights where deadlines ask for them."""
    weights = {
        gpus: sum(each.weight for each in claims if bool(each.gpus) == gpus and each.may_run and each.demand)
        for gpus in (True, False)
    }
    return [_urgent(each, slots.of(each.gpus), weights[bool(each.gpus)]) for each in claims]


def _urgent(claim: Claim, slots: int, weights: float) -> Claim:
    work_s = _work_s(claim)
    if not work_s or claim.deadline_s is None or claim.deadline_s <= 0 or not claim.may_run:
        return claim
    needed = work_s / claim.deadline_s
    if needed > usable(claim, slots):
        return claim
    fair = slots / claim.width * claim.weight / weights
    return replace(claim, weight=claim.weight * min(max(HEADROOM * needed / fair, 1.0), MOST_BOOST))


def usable(claim: Claim, slots: int) -> int:
    """The trials that it could run at once, if it had all slots."""
    return min(floor(slots / claim.width), claim.demand)


def _work_s(claim: Claim) -> float | None:
    """Device-seconds that its trials will still take; None while none is finished."""
    return None if claim.mean_s is None else claim.mean_s * claim.to_come


def ends_in_s(claim: Claim, share: float) -> float | None:
    """Seconds until its last trial is expected to end, with so many at once."""
    work_s = _work_s(claim)
    return None if work_s is None or share <= 0 else work_s / share


def will_it_be_done(claim: Claim, share: int, slots: int, now: datetime) -> DeadlineDecision:
    """Whether the study will be done in time on its share, in trials at once. `slots`: all that may run it."""
    mine, late_s = min(share, floor(slots / claim.width)), claim.deadline_s
    ends_s = ends_in_s(claim, mine)
    if late_s is None or late_s <= 0 or not claim.to_come:
        return DeadlineDecision("", ends_s)
    at = f"{now + timedelta(seconds=late_s):%H:%M} UTC"
    if ends_s is None:
        if late_s > LAST_CALL_S and slots:
            return DeadlineDecision("")
        why = "no live slot can run it" if not slots else "none of its trials is finished"
        helps = (
            "start a worker that can" if not slots else "more slots, a higher priority or a later deadline would help"
        )
        return DeadlineDecision(
            f"its deadline {at} will be missed: {claim.to_come:g} trials are left and {why}; {helps}"
        )
    if ends_s <= late_s and late_s > LAST_CALL_S:
        return DeadlineDecision("", ends_s)
    return DeadlineDecision(f"its deadline {at} will be missed: {_told(claim, mine, ends_s, late_s)}", ends_s)


def _told(claim: Claim, share: int, ends_s: float, late_s: float) -> str:
    """The expectation, and what would help."""
    mean_s, slots = claim.mean_s or 0.0, share * claim.width
    expected = (
        f"{claim.to_come:g} trials of {mean_s:.3g} s on {slots:g} slot{'s' if slots != 1 else ''} take "
        f"{ends_s / 60:.3g} min, and {late_s / 60:.3g} min are left"
    )
    needed, fit = ceil(HEADROOM * mean_s * claim.to_come / late_s), floor(late_s * share / mean_s) if mean_s else 0
    more = f"{ceil(needed * claim.width)} slots would do" if needed > share else "a later deadline would do"
    if needed > claim.demand:
        more = "no number of slots would do"
    # A trial takes its time, however many slots there are.
    fewer = f"a budget of {claim.finished + fit} trials" if claim.finished + fit else "a later deadline"
    return f"{expected}; {more}, or {fewer}"
