"""Which tickets are sent again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.lost import lost
from celeriac.records import TrialRecord, TrialState
from tests.celeriac.decide.records import trial

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)


def queued(number: int, age_s: float) -> TrialRecord:
    return trial(number, TrialState.QUEUED, queued_at=NOW - timedelta(seconds=age_s))


def test_a_queue_long_enough_has_lost_nothing() -> None:
    assert lost([queued(1, 60), queued(2, 60)], 2, NOW, patience_s=3).again == ()


def test_a_flushed_queue_gets_all_its_tickets_again_oldest_first() -> None:
    rows = [queued(1, 10), queued(2, 60), queued(3, 30)]
    decision = lost(rows, 0, NOW, patience_s=3)
    assert [t.number for t in decision.again] == [2, 3, 1]
    assert decision.reason == "3 of 3 queued trials have no ticket"


def test_a_fresh_row_is_given_time() -> None:
    assert lost([queued(1, 1)], 0, NOW, patience_s=3).again == ()


@given(st.lists(st.floats(0, 100), max_size=20), st.integers(0, 25))
def test_never_more_tickets_than_rows(ages: list[float], tickets: int) -> None:
    rows = [queued(number, age) for number, age in enumerate(ages)]
    again = lost(rows, tickets, NOW, patience_s=3).again
    assert len(again) <= max(len(rows) - tickets, 0)
    assert len({t.number for t in again}) == len(again)
