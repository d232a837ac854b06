"""How many points from outside may a study take now, from whom?

A proposer is a person, a script or an agent. Nobody knows beforehand whether its points are good, so each is trusted by
what its own came to: a point *hits* when it scores at least as well as the median of the study's own scored trials. The
trust is the probability that more than half of a proposer's points would hit, after `h` hits of `n` ended points, with
every rate held alike likely before, and one miss counted that never was: the tail of a Beta(1 + h, 2 + n - h)
distribution, which is a sum of binomial terms (Gelman et al., Bayesian Data Analysis, section 2.4). So it begins at a
quarter, is halved by each point of one whose points are all bad, and goes to 1 for one whose points are good. A
proposer has the study's share times its trust.

A name of which no point has ended yet is trusted by what those of all came to, and all such names count as one: another
name brings nobody more. The share is of the trials begun so far, not of the budget: points that come all at once,
before anything is known of them, cost the most. Figures: docs/explanation/search-evidence.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, comb, floor

from celeriac.domain.records import ProposedSoFar

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ProposalsDecision:
    """`most`: so many points may be added now; `reason`: why no more, with what would allow more."""

    most: int
    reason: str


def trust(hits: int, ended: int) -> float:
    """The probability that more than half of the points would hit; `hits` of `ended` did, and one more missed."""
    counted = ended + 2
    return float(sum(comb(counted, k) for k in range(hits + 1)) / 2**counted)


def proposals_now(
    so_far: Sequence[ProposedSoFar], who: str, share: float, *, begun: int, left: int
) -> ProposalsDecision:
    """Decide for the proposer called `who`, of all that were `so_far`. `share`: of the study's trials, at most, for all
    proposers; `begun`: its trials so far, whatever became of them; `left`: those of its budget that are neither
    finished nor under way.
    """
    if share <= 0:
        return ProposalsDecision(0, "its file says `proposers: {share: 0}`: it takes no points from outside")
    if left <= 0:
        return ProposalsDecision(0, "all trials of its budget are finished or under way: give it more (`extend`)")
    every = sum(each.given for each in so_far)
    record = next((each for each in so_far if each.who == who and each.ended), _newcomer(so_far))
    own = max(share * trust(record.hits, record.ended), _ROUNDING)  # the trust of a thousand misses is a float's zero
    room = min(_whole(own * (begun + 1)) - record.given, _whole(share * (begun + 1)) - every)
    most = min(max(room, 0 if every else 1), left)
    then = ceil(max((record.given + most + 1) / own, (every + most + 1) / share) - 1 - _ROUNDING)
    told = f"it has taken {every} of its {begun} trials from outside"
    if record.ended:
        whose = f"the {record.ended} of {who}" if record.who else f"all {record.ended}"
        told += f"; of {whose} that ended, {record.hits} did as well as the median of its own trials"
    return ProposalsDecision(
        most, f"{told}: so it takes up to {own:.1%} of its trials from {who}, the next one when {then} have begun"
    )


def _newcomer(so_far: Sequence[ProposedSoFar]) -> ProposedSoFar:
    """Of whom nothing has ended yet: the points of all such names, with what those of all names came to."""
    given = sum(each.given for each in so_far if not each.ended)
    return ProposedSoFar("", given, sum(each.ended for each in so_far), sum(each.hits for each in so_far))


def _whole(count: float) -> int:
    """`count` rounded down, where a whole number may have come out a little less."""
    return floor(count + _ROUNDING)
