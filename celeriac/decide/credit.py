"""How far behind its part of the fleet is each study? Weighted deficit round robin, in device-seconds.

What is handed out between two looks is credited to all by their weights, and charged to those who took it: a trial is
charged when it begins, with the mean length of trials like it times the slots that it holds, so that a study whose
trials were long by chance is not charged for that. A study that comes has neither credit nor debt: what others had
before it came is no matter. Both are bounded: who could not use its part is made up for a few trials only, and who had
more is soon in turn again. Nothing is lost when the accounts are forgotten: all begin level.

Source: Shreedhar and Varghese, Efficient fair queueing using deficit round robin, 1996.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import sqrt

from celeriac.domain.records import Claim

#: Trials take about as long when their mean lengths differ by no more than this factor; by more while few are finished,
#: for single trials of one kind differ that much.
ALIKE, ALIKE_AT_FIRST = 2.0, 4.0
#: So many trials a study may be behind, and ahead, for each slot that it has.
MOST_BEHIND, MOST_AHEAD = 16.0, 8.0


@dataclass(frozen=True, slots=True)
class Account:
    """Of one study: how many trials it had begun at the last look, and what it is owed, in device-seconds."""

    begun: int
    owed_s: float = 0.0


def settled(before: Mapping[int, Account], claims: Sequence[Claim]) -> dict[int, Account]:
    """The accounts after what was handed out since; those who want nothing have none."""
    after: dict[int, Account] = {}
    for gpus in (True, False):
        ours = [each for each in claims if bool(each.gpus) == gpus and each.may_run and each.demand]
        after |= _settled(before, ours)
    return after


def trials_behind(accounts: Mapping[int, Account], claims: Collection[Claim]) -> dict[int, float]:
    """By how many of its trials each study is behind; less than 0: ahead."""
    lengths = {gpus: Lengths([each for each in claims if bool(each.gpus) == gpus]) for gpus in (True, False)}
    return {
        each.study_id: accounts[each.study_id].owed_s / (lengths[bool(each.gpus)].of(each) * each.width)
        for each in claims
        if each.study_id in accounts
    }


def _settled(before: Mapping[int, Account], claims: Sequence[Claim]) -> dict[int, Account]:
    if not claims:
        return {}
    old = {each.study_id: before.get(each.study_id, Account(each.begun)) for each in claims}
    if not any(each.finished for each in claims):
        return old  # nobody knows yet what to charge
    lengths, total = Lengths(claims), sum(each.weight for each in claims)
    length_s = {each.study_id: lengths.of(each) * each.width for each in claims}
    took_s = {each.study_id: (each.begun - old[each.study_id].begun) * length_s[each.study_id] for each in claims}
    # What bounds have cut off is credited too, so that all together are owed nothing.
    given_s = (sum(took_s.values()) - sum(each.owed_s for each in old.values())) / total
    after = {}
    for each in claims:
        owed_s = old[each.study_id].owed_s + each.weight * given_s - took_s[each.study_id]
        unit_s = length_s[each.study_id] * max(each.held, 1)
        after[each.study_id] = Account(each.begun, min(max(owed_s, -MOST_AHEAD * unit_s), MOST_BEHIND * unit_s))
    return after


class Lengths:
    """How long do a study's trials take, on average over those studies whose trials take about as long?"""

    def __init__(self, claims: Collection[Claim]) -> None:
        finished = sum(each.finished for each in claims)
        self._mean_s = sum(each.ran_s for each in claims) / finished if finished else 0.0
        ordered = sorted((self._own_s(each), each.ran_s, each.finished) for each in claims)
        self._own = [own_s for own_s, _, _ in ordered]
        self._device = list(accumulate((device_s for _, device_s, _ in ordered), initial=0.0))
        self._finished = list(accumulate((count for _, _, count in ordered), initial=0))

    def of(self, claim: Claim) -> float:
        """Device-seconds, above 0; while nobody knows, each trial counts as one second."""
        own_s = self._own_s(claim)
        alike = ALIKE + ALIKE_AT_FIRST / sqrt(max(claim.finished, 1))
        first, last = bisect_left(self._own, own_s / alike), bisect_right(self._own, own_s * alike)
        finished = self._finished[last] - self._finished[first]
        mean_s = (self._device[last] - self._device[first]) / finished if finished else own_s
        return mean_s if mean_s > 0 else 1.0

    def _own_s(self, claim: Claim) -> float:
        """While none of its trials is finished, as long as the others', or as long as its first have run."""
        if claim.mean_s is not None:
            return claim.mean_s
        return max(self._mean_s, claim.age_s if claim.running else 0.0)
