"""When a slot is put aside, and when a study pauses for want of its code."""

from datetime import timedelta

import pytest

from celeriac.decide.put_aside import FAULTS_IN_A_ROW, MOST_S, Streak, after_attempt
from celeriac.decide.without_code import without_code
from celeriac.domain.records import Fault, PutAside, StudyState
from tests.celeriac.decide.records import NOW, study

INFRASTRUCTURE = Fault.INFRASTRUCTURE


def waits(*ends: tuple[int, Fault | None]) -> list[float]:
    """What the slot does after each end, (trial, fault), one after the other."""
    streak, found = Streak(), []
    for number, fault in ends:
        decision = after_attempt(streak, (1, number), fault)
        streak = decision.streak
        found.append(decision.wait_s)
    return found


def test_several_trials_in_a_row_put_a_slot_aside_and_each_probe_that_fails_for_longer() -> None:
    faults = [(number, INFRASTRUCTURE) for number in range(8)]
    assert waits(*faults) == [0, 0, 10, 30, 90, 270, MOST_S, MOST_S]
    decision = after_attempt(Streak(((1, 1), (1, 2))), (2, 1), INFRASTRUCTURE)
    assert decision.reason.startswith("3 trials in a row ended here by faults of infrastructure: put aside for 10 s")


def test_one_trial_alone_says_nothing_about_its_slot() -> None:
    assert waits(*[(7, INFRASTRUCTURE)] * 6) == [0.0] * 6


@pytest.mark.parametrize("fault", [None, Fault.USER_BUG, Fault.OUT_OF_MEMORY, Fault.TIMEOUT])
def test_a_trial_that_ran_ends_the_streak(fault: Fault | None) -> None:
    faults = [(number, INFRASTRUCTURE) for number in range(FAULTS_IN_A_ROW)]
    assert waits(*faults[:2], (9, fault), *faults)[2:] == [0, 0, 0, 10]
    assert waits(*faults, (9, fault), *faults)[-1] == 10  # the wait begins anew, too


def test_an_attempt_that_somebody_ended_changes_nothing() -> None:
    assert waits((0, INFRASTRUCTURE), (1, INFRASTRUCTURE), (2, Fault.PREEMPTED), (3, INFRASTRUCTURE))[-1] == 10


def row(worker: str, study_id: int = 1, reason: str = "b: the code below /code is 2, the study's is 1") -> PutAside:
    return PutAside(worker, study_id, reason, NOW + timedelta(seconds=1), NOW + timedelta(seconds=30))


def test_a_study_pauses_when_every_slot_that_could_run_it_has_other_code() -> None:
    reason = without_code(study(), {"s0@a", "s0@b"}, [row("s0@a"), row("s0@b")])
    assert "no live worker has the code of this study: b: the code below /code is 2, the study's is 1;" in reason
    assert "`celeriac resume digits`" in reason


@pytest.mark.parametrize(
    ("slots", "rows"),
    [
        ({"s0@a", "s0@b"}, [row("s0@a")]),
        ({"s0@a"}, [row("s0@a", study_id=2)]),
        ({"s0@a"}, [row("s0@a", study_id=0)]),
        (set(), [row("s0@a")]),
    ],
)
def test_it_waits_while_a_slot_may_have_it(slots: set[str], rows: list[PutAside]) -> None:
    assert without_code(study(), slots, rows) == ""


def test_what_was_said_before_a_resume_is_over() -> None:
    resumed = study(resumed_at=NOW + timedelta(seconds=2))
    assert without_code(resumed, {"s0@a"}, [row("s0@a")]) == ""
    assert without_code(study(StudyState.PAUSED), {"s0@a"}, [row("s0@a")]) == ""
