"""How many points from outside a study takes."""

import pytest

from celeriac.decide.proposals import proposals_now
from celeriac.domain.records import ProposedSoFar


@pytest.mark.parametrize(
    ("so_far", "begun", "most"),
    [
        (ProposedSoFar(), 1, 1),  # the first is always allowed
        (ProposedSoFar(given=1), 1, 0),
        (ProposedSoFar(given=1), 9, 2),
        (ProposedSoFar(given=10, ended=10, hits=10), 49, 5),  # good ones have the whole share
        (ProposedSoFar(given=4, ended=4, hits=0), 49, 0),  # bad ones do not
        (ProposedSoFar(given=4, ended=4, hits=2), 49, 5),
    ],
)
def test_a_share_times_how_they_went(so_far: ProposedSoFar, begun: int, most: int) -> None:
    assert proposals_now(so_far, 0.3, begun=begun, left=100).most == most


def test_a_bad_proposer_comes_to_a_few_points_and_a_good_one_to_its_share() -> None:
    def taken(hits: bool, trials: int = 200) -> int:
        given = 0
        for begun in range(1, trials):
            so_far = ProposedSoFar(given, given, given if hits else 0)
            given += proposals_now(so_far, 0.3, begun=begun, left=trials - begun).most > 0
        return given

    assert taken(True) == 60
    assert taken(False) == 7


def test_the_reason_says_what_would_allow_more() -> None:
    assert "share: 0" in proposals_now(ProposedSoFar(), 0.0, begun=5, left=5).reason
    assert "extend" in proposals_now(ProposedSoFar(), 0.3, begun=10, left=0).reason
    assert "0 of 4 such trials" in proposals_now(ProposedSoFar(4, 4, 0), 0.3, begun=20, left=9).reason
