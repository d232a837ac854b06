"""How many points from outside may a study take now?

A proposer is a person, a script or an agent. Nobody knows beforehand whether its points are good, so it is trusted by
what they came to: a point *hits* when it scores at least as well as the median of the study's own scored trials. After
`h` hits of `n` ended points the trust is (1 + h) / (1 + n), the mean of a share of which nothing is known but that it
began well; the study takes its share times the trust. So a proposer whose points are bad comes to a few of them, and
one whose points are good has the whole share. The share is of the trials begun so far, not of the budget: points that
come all at once, before anything is known of them, cost the most. Figures: docs/explanation/search-evidence.md.
"""

from dataclasses import dataclass
from math import floor

from celeriac.domain.records import ProposedSoFar


@dataclass(frozen=True, slots=True)
class ProposalsDecision:
    """`most`: so many points may be added now; `reason`: why no more, with what would allow more."""

    most: int
    reason: str


def proposals_now(so_far: ProposedSoFar, share: float, *, begun: int, left: int) -> ProposalsDecision:
    """Decide. `share`: of the study's trials, at most; `begun`: its trials so far, whatever became of them; `left`:
    those of its budget that are neither finished nor under way.
    """
    if share <= 0:
        return ProposalsDecision(0, "its file says `proposers: {share: 0}`: it takes no points from outside")
    trust = (1 + so_far.hits) / (1 + so_far.ended)
    allowed = max(1, floor(share * trust * (begun + 1)))
    most = max(min(allowed - so_far.given, left), 0)
    if left <= 0:
        return ProposalsDecision(0, "all trials of its budget are finished or under way: give it more (`extend`)")
    took = f"it has taken {so_far.given} of its {begun} trials from outside, and may take {share:.0%} of them"
    if trust == 1:
        return ProposalsDecision(most, f"{took}: the next is allowed after a few more trials")
    judged = f"{so_far.hits} of {so_far.ended} such trials that ended were at least as good as the median of its own"
    return ProposalsDecision(most, f"{took}, times {trust:.2f} by how they went ({judged})")
