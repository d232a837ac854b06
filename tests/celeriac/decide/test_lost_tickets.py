"""How many tickets are sent again."""

from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.lost_tickets import lost


def test_a_queue_long_enough_has_lost_nothing() -> None:
    assert lost(2, 2).again == lost(2, 3).again == 0
    assert lost(2, 2).reason == "2 tickets wait for 2 queued trials"


def test_a_flushed_queue_gets_all_its_tickets_again() -> None:
    decision = lost(3, 0)
    assert (decision.again, decision.reason) == (3, "3 of 3 queued trials have no ticket")


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_what_waits_and_what_is_sent_again_are_all_that_is_queued(queued: int, tickets: int) -> None:
    assert lost(queued, tickets).again == max(queued, tickets) - tickets
