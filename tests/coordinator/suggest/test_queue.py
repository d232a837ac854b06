"""Who asked what: one question a study, the newest counts, and an answer is good at its turn only."""

from typing import Any

from celeriac.domain.records import Source, Suggestion
from coordinator.suggest.assignment import Asking
from coordinator.suggest.messages import GUESSED_S, SuggestRequest, SuggestResult
from coordinator.suggest.queue import TRIES, SuggestionQueue
from tests.celeriac.decide.records import study


def question(study_id: int = 1, turn: int = 5, first: int = 3, count: int = 2, **changes: Any) -> SuggestRequest:
    return SuggestRequest(study(id=study_id, turn=turn, **changes), first, count)


def answer_to(asked: SuggestRequest, **changes: Any) -> SuggestResult:
    suggestions = tuple(Suggestion({"x": k}, Source.SUGGESTED) for k in range(asked.count))
    return SuggestResult(asked.study.id, asked.first, **{"suggestions": suggestions, **changes})


def test_a_question_waits_is_worked_on_and_answered_once() -> None:
    ledger, asked = SuggestionQueue(), question()
    assert ledger.answer(asked) is None
    assert ledger.asking() == [Asking(1)]
    assert ledger.hand_out(1, suggester=1) is asked
    assert ledger.asking() == []
    assert ledger.knows(1) == 1
    assert ledger.answer(question()) is None  # another turn asks the same: it is worked on already
    assert ledger.asking() == []
    found = answer_to(asked)
    assert ledger.done(asked, found)
    assert ledger.answer(question()) is found
    assert ledger.answer(question(turn=6, first=5)) is None
    assert ledger.asking() == [Asking(1, home=1)]


def test_studies_are_served_in_the_order_in_which_they_asked_and_ask_again_at_the_end() -> None:
    ledger = SuggestionQueue()
    first = question(1)
    for asked in (first, question(2), question(3)):
        ledger.answer(asked)
    ledger.hand_out(1, suggester=0)
    ledger.done(first, answer_to(first))
    ledger.answer(first)
    ledger.answer(question(1, turn=6, first=5))
    assert [each.study_id for each in ledger.asking()] == [2, 3, 1]


def test_the_newest_question_counts_and_keeps_its_place() -> None:
    ledger, newer = SuggestionQueue(), question(turn=6)
    ledger.answer(question())
    ledger.answer(question(2))
    ledger.answer(newer)
    assert [each.study_id for each in ledger.asking()] == [1, 2]
    assert ledger.hand_out(1, suggester=0) is newer


def test_an_answer_for_a_turn_that_is_over_is_dropped() -> None:
    ledger, asked = SuggestionQueue(), question()
    ledger.answer(asked)
    ledger.hand_out(1, suggester=0)
    newer = question(turn=6)
    assert ledger.answer(newer) is None
    assert ledger.asking() == []  # one at a time
    ledger.done(asked, answer_to(asked))
    assert ledger.asking() == [Asking(1, home=0)]
    assert ledger.answer(newer) is None
    assert ledger.hand_out(1, suggester=0) is newer


def test_an_answer_for_other_trials_is_dropped() -> None:
    ledger, asked = SuggestionQueue(), question(first=3)
    ledger.answer(asked)
    ledger.hand_out(1, suggester=0)
    ledger.done(asked, answer_to(asked))
    assert ledger.answer(question(first=2)) is None


def test_tickets_that_were_sent_meanwhile_change_no_answer() -> None:
    ledger, asked = SuggestionQueue(), question(turn=5)
    ledger.answer(asked)
    ledger.carry(1, 5)
    ledger.hand_out(1, suggester=0)
    ledger.carry(1, 6)
    ledger.carry(1, 3)  # of a turn that it was never good at
    ledger.done(asked, answer_to(asked))
    ledger.carry(1, 7)
    ledger.carry(2, 7)
    assert ledger.answer(question(turn=8)) is not None


def test_a_process_that_dies_costs_a_try_and_the_last_try_tells_the_study() -> None:
    ledger, asked = SuggestionQueue(), question()
    ledger.answer(asked)
    ledger.answer(question(2))
    for tried in range(1, TRIES):
        assert ledger.hand_out(1, suggester=tried) is asked
        assert not ledger.lost(asked, "was killed by SIGKILL")
        ledger.vacate(tried)
        assert ledger.asking() == [Asking(2), Asking(1)]
    ledger.hand_out(1, suggester=0)
    assert ledger.lost(asked, "was killed by SIGKILL")
    found = ledger.answer(question())
    assert found is not None
    assert found.error == (
        "no suggestion could be made, 2 times in a row: the process that makes them was killed by SIGKILL"
    )


def test_an_answer_in_between_forgives_the_deaths_before_it() -> None:
    ledger = SuggestionQueue()
    for turn in range(5, 8):
        asked = question(turn=turn)
        ledger.answer(asked)
        ledger.hand_out(1, suggester=0)
        assert not ledger.lost(asked, "was killed by SIGKILL")
        ledger.hand_out(1, suggester=0)
        assert ledger.done(asked, answer_to(asked))
        assert ledger.answer(asked) is not None


def test_what_comes_for_a_forgotten_study_is_dropped() -> None:
    ledger, asked, again = SuggestionQueue(), question(), question()
    ledger.answer(asked)
    ledger.hand_out(1, suggester=0)
    ledger.keep_only([2, 3])
    assert ledger.knows(0) == 0
    assert not ledger.done(asked, answer_to(asked))
    assert not ledger.lost(asked, "was killed by SIGKILL")
    ledger.answer(again)  # it was resumed, and asks the same
    ledger.hand_out(1, suggester=1)
    assert not ledger.done(asked, answer_to(asked))
    assert ledger.done(again, answer_to(again))


def test_a_silent_store_is_no_answer_and_the_next_turn_asks_again() -> None:
    ledger, asked = SuggestionQueue(), question()
    ledger.answer(asked)
    ledger.hand_out(1, suggester=0)
    assert not ledger.done(asked, answer_to(asked, suggestions=(), silent=True))
    assert ledger.asking() == []
    assert ledger.answer(question()) is None
    assert ledger.asking() == [Asking(1, home=0)]


def test_what_a_suggestion_takes_is_learned() -> None:
    ledger, asked = SuggestionQueue(), question()
    assert ledger.suggest_s(1) == GUESSED_S
    for turn in range(5, 25):
        asked = question(turn=turn)
        ledger.answer(asked)
        ledger.hand_out(1, suggester=0)
        ledger.done(asked, answer_to(asked, took_s=2.0))
        assert ledger.answer(asked) is not None
    assert abs(ledger.suggest_s(1) - 2.0) < 0.01
    ledger.answer(asked)
    ledger.hand_out(1, suggester=0)
    ledger.done(asked, answer_to(asked, suggestions=(), error="no", took_s=0.0))
    assert abs(ledger.suggest_s(1) - 2.0) < 0.01
