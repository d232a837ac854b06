"""When a study ends before its budget: each reason, and what breaks a row of suggestions."""

from typing import Any

import pytest

from celeriac.decide.stop_study import newest_needed, reason_to_end
from celeriac.decide.turn import Limits, what_next
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Counts, Source, StudyState, TrialRecord, TrialState
from celeriac.domain.stop_rules import StopStudy
from tests.celeriac.decide.records import snapshot, study, trial

PLATEAU = StopStudy(min_gain=0.001, suggestions=3)
REGRET = StopStudy(max_regret=0.01, suggestions=2)


def suggested(*promises: Any, key: str = "expected_gain", first: int = 7) -> list[TrialRecord]:
    """Suggestions that promise this, oldest first; None promises nothing."""
    whys = [{} if each is None else {key: each} for each in promises]
    return [trial(first + k, TrialState.WAITING, why=why) for k, why in enumerate(whys)]


@pytest.mark.parametrize(
    ("goal", "best", "ends"),
    [
        ("maximize", 0.98, False),
        ("maximize", 0.99, True),
        ("minimize", 0.98, True),
        ("minimize", 1.0, False),
        ("maximize", None, False),
    ],
)
def test_a_target_is_reached_by_a_score(goal: str, best: float | None, ends: bool) -> None:
    reason = reason_to_end(StopStudy(0.99), study(goal=goal, best_score=best, best_number=4), [])
    assert reason == (f"trial 4 with {best} reached the target 0.99" if ends else "")


def test_a_plateau_is_a_row_of_suggestions_that_promise_too_little() -> None:
    reason = reason_to_end(PLATEAU, study(), suggested(1e-4, 0.0009, 0.0))
    assert reason == ("plateau: trials 7 to 9 were expected to gain less than 0.001 (the most: 0.0009)")
    assert reason_to_end(StopStudy(min_gain=1, suggestions=1), study(), suggested(0.5)) == (
        "plateau: trial 7 was expected to gain less than 1 (the most: 0.5)"
    )


@pytest.mark.parametrize(
    "newest",
    [
        suggested(1e-4, 0.001, 1e-4),
        suggested(1e-4, 1e-4),
        suggested(1e-4, None, 1e-4),
        suggested(1e-4, "nan", 1e-4),
        suggested(1e-4, float("nan"), 1e-4),
        suggested(1e-4, True, 1e-4),
        [*suggested(1e-4, 1e-4), trial(9, TrialState.WAITING, source=Source.PRIOR, why={"expected_gain": 0.0})],
    ],
)
def test_one_that_promises_more_or_nothing_breaks_the_row(newest: list[TrialRecord]) -> None:
    assert reason_to_end(PLATEAU, study(), newest) == ""


def test_a_regret_bound_ends_the_study() -> None:
    key = "regret_bound"
    assert reason_to_end(REGRET, study(), suggested(0.01, 0.002, key=key)) == (
        "when trials 7 to 8 were suggested, the best was at most 0.01 from the optimum (bounded by 0.01)"
    )
    assert reason_to_end(REGRET, study(), suggested(0.02, 0.002, key=key)) == ""
    assert reason_to_end(REGRET, study(), suggested(0.01, 0.002)) == ""


@pytest.mark.parametrize(
    ("goal", "why", "ends"),
    [
        ("maximize", {"low": 0.1, "high": 0.905, "incumbent": 0.9}, True),
        ("maximize", {"low": 0.1, "high": 0.95, "incumbent": 0.9}, False),
        ("maximize", {"low": 0.1, "high": 0.85, "incumbent": 0.9}, True),
        ("minimize", {"low": 0.895, "high": 2.0, "incumbent": 0.9}, True),
        ("minimize", {"low": 0.8, "high": 2.0, "incumbent": 0.9}, False),
        ("maximize", {"low": 0.1, "high": 0.95, "incumbent": 0.9, "regret_bound": 0.001}, True),
        ("maximize", {"high": 0.905}, False),
    ],
)
def test_without_a_bound_of_the_sampler_the_interval_tells(goal: str, why: dict[str, float], ends: bool) -> None:
    newest = [trial(number, TrialState.WAITING, why=why) for number in (7, 8)]
    assert bool(reason_to_end(REGRET, study(goal=goal), newest)) is ends


def test_only_what_is_asked_for_is_read() -> None:
    asked = [newest_needed(stop) for stop in (None, StopStudy(0.9), PLATEAU, REGRET)]
    assert asked == [0, 0, 3, 2]


def test_the_study_ends_with_the_reason_and_its_progress() -> None:
    running = study(counts=Counts(scored=8, running=2))
    limits = Limits(60, stop=PLATEAU)
    decision = what_next(snapshot(running), limits, 2, newest=suggested(0.0, 0.0, 0.0))
    assert decision.event is StudyEvent.FINISH
    assert decision.reason.endswith("(the most: 0)")
    assert what_next(snapshot(running), limits, 2, newest=suggested(0.1, 0.0, 0.0)).event is None
    paused = study(StudyState.PAUSED, counts=Counts(scored=8))
    assert what_next(snapshot(paused), limits, 2, newest=suggested(0.0, 0.0, 0.0)).event is None
