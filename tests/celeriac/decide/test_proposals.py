"""How many points from outside a study takes, from whom."""

import pytest

from celeriac.decide.proposals import proposals_now, trust
from celeriac.domain.records import ProposedSoFar


def most(*so_far: ProposedSoFar, who: str = "ada", begun: int, share: float = 0.3, left: int = 1000) -> int:
    return proposals_now(so_far, who, share, begun=begun, left=left).most


@pytest.mark.parametrize(
    ("hits", "ended", "expected"),
    [(0, 0, 1 / 4), (0, 1, 1 / 8), (0, 3, 1 / 32), (1, 1, 1 / 2), (4, 4, 57 / 64), (1, 2, 5 / 16), (0, 2000, 0.0)],
)
def test_trust_is_the_probability_that_most_would_hit(hits: int, ended: int, expected: float) -> None:
    """Against integrals of x^h (1 - x)^(n + 1 - h) from a half to one, by hand."""
    assert trust(hits, ended) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("so_far", "begun", "expected"),
    [
        ((), 1, 1),  # the first is always taken
        ((ProposedSoFar("ada", 1),), 1, 0),
        ((ProposedSoFar("ada", 1),), 39, 2),  # a quarter of the share while nothing is known: 3 of 40
        ((ProposedSoFar("ada", 10, 10, 10),), 49, 4),  # 4083 / 4096 * 0.3 * 50, less 10
        ((ProposedSoFar("ada", 2, 2, 0),), 158, 0),
        ((ProposedSoFar("ada", 2, 2, 0),), 159, 1),  # 0.3 / 16 * 160 = 3
        ((ProposedSoFar("ada", 2000, 2000, 0),), 1_000_000, 0),
    ],
)
def test_a_share_times_trust(so_far: tuple[ProposedSoFar, ...], begun: int, expected: int) -> None:
    assert most(*so_far, begun=begun) == expected


def test_a_bad_proposer_comes_to_a_few_points_and_a_good_one_to_its_share() -> None:
    def taken(hits: bool, trials: int) -> int:
        given = 0
        for begun in range(1, trials):
            given += most(*([ProposedSoFar("ada", given, given, given * hits)] if given else []), begun=begun) > 0
        return given

    assert taken(True, 200) == 60
    assert [taken(False, trials) for trials in (50, 200, 1000)] == [1, 3, 4]


def test_each_proposer_is_judged_by_its_own_points() -> None:
    good, bad = ProposedSoFar("ada", 10, 10, 9), ProposedSoFar("eve", 2, 2, 0)
    assert most(good, bad, who="ada", begun=59) == 6  # of 18 for all, 12 are taken
    assert most(good, bad, who="eve", begun=59) == 0
    assert most(good, bad, who="newcomer", begun=59) == 6
    assert most(ProposedSoFar("ada", 18, 18, 18), who="newcomer", begun=59) == 0, "the share is for all of them"


def test_another_name_for_each_point_brings_a_bad_proposer_no_more() -> None:
    def taken(trials: int) -> int:
        so_far: list[ProposedSoFar] = []
        for begun in range(1, trials):
            if most(*so_far, who=f"eve{begun}", begun=begun):
                so_far.append(ProposedSoFar(f"eve{begun}", 1, 1, 0))
        return len(so_far)

    assert [taken(trials) for trials in (50, 200, 1000)] == [2, 4, 7]
    names = [ProposedSoFar(f"eve{n}", 1) for n in range(3)]  # none of them has ended yet
    assert most(*names, who="eve9", begun=20) == 0
    assert most(*names, who="eve1", begun=59) == 1, "they count as one: a quarter of 0.3 * 60, less 3"
    assert most(ProposedSoFar("ada", 5, 5, 0), names[1], who="eve1", begun=59) == 0, "as bad as all that have ended"


def test_the_reason_says_what_would_allow_more() -> None:
    assert "share: 0" in proposals_now((), "ada", 0.0, begun=5, left=5).reason
    assert "extend" in proposals_now((), "ada", 0.3, begun=10, left=0).reason
    for so_far in ((), (ProposedSoFar("ada", 2, 2, 0),), (ProposedSoFar("ada", 5, 4, 4), ProposedSoFar("eve", 1))):
        for begun in (1, 5, 17, 40):
            reason = proposals_now(so_far, "ada", 0.3, begun=begun, left=900).reason
            now, then = most(*so_far, begun=begun), int(reason.rpartition("when ")[2].split()[0])
            assert most(*so_far, begun=then) > now >= most(*so_far, begun=then - 1), reason
    told = proposals_now((ProposedSoFar("ada", 2, 2, 0),), "ada", 0.3, begun=20, left=9).reason
    assert "of the 2 of ada that ended, 0 did as well as the median of its own trials" in told
    assert "of all 2 that ended" in proposals_now((ProposedSoFar("ada", 2, 2, 0),), "eve", 0.3, begun=20, left=9).reason
