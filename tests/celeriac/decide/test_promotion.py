"""Who becomes a slice's champion."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.decide.promotion import judge
from celeriac.domain.records import Champion, Source, TrialRecord, TrialState
from tests.celeriac.decide.records import study, trial


def scored(number: int, score: float, **changes: Any) -> TrialRecord:
    return trial(number, TrialState.SCORED, score=score, **changes)


DEFAULT = scored(0, 0.8, source=Source.DEFAULT)
OLD = Champion(
    schedule="flights",
    slice={"airport": "JFK"},
    study_id=4,
    study="flights/airport=JFK/2026-11-23",
    trial=7,
    params={},
    score=0.99,
    default_score=0.5,
    metrics={},
    promoted=True,
    reason="",
    decided_at=datetime(2026, 11, 23, tzinfo=UTC),
)


def test_the_best_that_beats_the_default_is_promoted_whatever_another_night_scored() -> None:
    decision = judge(study(), scored(5, 0.9), DEFAULT, OLD)
    assert decision.promoted
    assert "trial 5 with 0.9 beat trial 0 (the default) with 0.8" in decision.reason


def test_less_is_better_where_the_study_minimises() -> None:
    assert judge(study(goal="minimize"), scored(5, 0.7), DEFAULT, None).promoted
    assert not judge(study(goal="minimize"), scored(5, 0.9), DEFAULT, None).promoted


@pytest.mark.parametrize(
    ("best", "first", "words"),
    [
        (None, DEFAULT, "no trial was scored"),
        (DEFAULT, DEFAULT, "nothing beat trial 0"),
        (scored(5, 0.8), DEFAULT, "is no better than trial 0"),
        (scored(5, 0.9), None, "trial 0 does not exist"),
        (scored(5, 0.9), trial(0, TrialState.FAILED, source=Source.DEFAULT), "trial 0 is FAILED"),
    ],
)
def test_otherwise_the_champion_stays_and_the_reason_says_why(
    best: TrialRecord | None, first: TrialRecord | None, words: str
) -> None:
    decision = judge(study(), best, first, OLD)
    assert not decision.promoted
    assert words in decision.reason
    assert "the champion stays trial 7 of flights/airport=JFK/2026-11-23" in decision.reason


def test_without_a_default_the_first_suggestion_is_what_must_be_beaten() -> None:
    decision = judge(study(), scored(5, 0.9), replace(DEFAULT, source=Source.SUGGESTED), None)
    assert decision.promoted
    assert "a first suggestion" in decision.reason
    assert "no champion yet" in judge(study(), None, None, None).reason
