"""Which study a free suggester works for: in the order of asking, where it is known, and nobody waits for ever."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.suggest.assignment import PATIENCE_S, Asking, AssignDecision, SuggesterState, assign

NO_PROCESS = (SuggesterState(0), SuggesterState(1))


def test_the_first_that_asked_comes_first_and_one_process_is_enough() -> None:
    assert assign([Asking(7), Asking(3)], NO_PROCESS) == AssignDecision(7, 0, "no process knows it")
    one_runs = (SuggesterState(0), SuggesterState(1, runs=True, knows=5))
    assert assign([Asking(3)], one_runs) == AssignDecision(3, 1, "no process knows it")


def test_a_busy_process_is_no_reason_to_wait_while_another_may_be_started() -> None:
    suggesters = (SuggesterState(0, runs=True, busy_s=0.0, knows=1), SuggesterState(1))
    assert assign([Asking(3)], suggesters) == AssignDecision(3, 1, "no process knows it")


def test_a_study_stays_where_it_is_known() -> None:
    suggesters = (SuggesterState(0, runs=True, knows=9), SuggesterState(1, runs=True, knows=0))
    assert assign([Asking(3, home=0)], suggesters) == AssignDecision(3, 0, "its process is free")
    busy = (SuggesterState(0, runs=True, busy_s=PATIENCE_S / 2, knows=9), SuggesterState(1, runs=True))
    assert assign([Asking(3, home=0)], busy) is None
    assert assign([Asking(3, home=0), Asking(4)], busy) == AssignDecision(4, 1, "no process knows it")


def test_a_study_moves_when_its_process_is_busy_for_long() -> None:
    hangs = (SuggesterState(0, runs=True, busy_s=90.0, knows=9), SuggesterState(1, runs=True, knows=2))
    assert assign([Asking(3, home=0)], hangs) == AssignDecision(3, 1, "its process has been busy for 90.0 s")


def test_nobody_is_served_while_all_are_busy() -> None:
    busy = (SuggesterState(0, runs=True, busy_s=90.0), SuggesterState(1, runs=True, busy_s=0.1))
    assert assign([Asking(3, home=0), Asking(4)], busy) is None
    assert assign([], NO_PROCESS) is None


@given(
    st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1, max_size=5),
    st.lists(st.sampled_from([None, 0.0, 5.0]), min_size=3, max_size=3),
)
def test_a_free_process_never_waits_for_one_that_hangs(homes: list[int | None], busy: list[float | None]) -> None:
    suggesters = [SuggesterState(number, runs=True, busy_s=each) for number, each in enumerate(busy)]
    asking = [Asking(study_id, home) for study_id, home in enumerate(homes)]
    decision = assign(asking, suggesters)
    if decision is not None:
        assert suggesters[decision.suggester].busy_s is None
        assert decision.reason
    elif None in busy:
        assert all(home is not None and busy[home] == 0.0 for home in homes)
