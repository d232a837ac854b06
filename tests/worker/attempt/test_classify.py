"""How evidence becomes a verdict, and a verdict the attempt's end. Pure."""

import signal
from collections.abc import Sequence
from typing import Any

import pytest

from celeriac.decide.memory import after_memory
from celeriac.decide.retry import after_fault
from celeriac.decide.stop_early import StopDecision
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault, MemoryFault
from celeriac.store.api import AttemptEnd
from worker.attempt.classify import MAX_TEXT, Cut, Evidence, Verdict, attempt_end, classify, clean, clean_metrics
from worker.process.events import Exit, Failed, Returned, Stopped

SCORE = Returned(0.5, {"holdout": 0.4}, 3)


def _killed(**more: Any) -> Exit:
    return Exit(signal=signal.SIGKILL, **more)


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(last=SCORE),
        Evidence(last=SCORE, cut=Cut.TIMEOUT),
        Evidence(last=SCORE, cut=Cut.LEASE_LOST, exit=_killed()),
        Evidence(last=SCORE, exit=Exit(signal=signal.SIGSEGV)),
    ],
)
def test_a_score_that_arrived_is_a_score(evidence: Evidence) -> None:
    verdict = classify(evidence)
    assert (verdict.fault, verdict.score, verdict.step) == (None, 0.5, 3)


@pytest.mark.parametrize(
    ("evidence", "fault", "words"),
    [
        (Evidence(exit=Exit(code=0)), Fault.USER_BUG, "exited with code 0: return a score"),
        (Evidence(exit=Exit(code=3), last_step=4), Fault.USER_BUG, "code 3 after step 4"),
        (Evidence(exit=Exit(code=70)), Fault.INFRASTRUCTURE, "outside the objective"),
        (Evidence(exit=Exit(lost="its server ended by signal 9")), Fault.INFRASTRUCTURE, "its server ended"),
        (Evidence(), Fault.INFRASTRUCTURE, "lost"),
        (Evidence(exit=_killed()), Fault.INFRASTRUCTURE, "killed by SIGKILL from outside"),
        (Evidence(exit=Exit(signal=signal.SIGTERM)), Fault.INFRASTRUCTURE, "SIGTERM from outside"),
        (Evidence(exit=Exit(signal=signal.SIGQUIT)), Fault.INFRASTRUCTURE, "SIGQUIT from outside"),
        (Evidence(exit=Exit(signal=signal.SIGTERM), printed="std::bad_alloc"), Fault.INFRASTRUCTURE, "from outside"),
        (Evidence(exit=Exit(signal=signal.SIGABRT), printed="std::bad_alloc"), Fault.OUT_OF_MEMORY, "for memory"),
        (Evidence(exit=Exit(signal=signal.SIGSEGV)), Fault.USER_BUG, "crashed with SIGSEGV"),
        (Evidence(exit=Exit(signal=signal.SIGSEGV, oom_kills=1)), Fault.USER_BUG, "crashed with SIGSEGV"),
        (Evidence(exit=Exit(signal=signal.SIGABRT)), Fault.USER_BUG, "crashed with SIGABRT"),
        (Evidence(exit=Exit(signal=63)), Fault.USER_BUG, "signal 63"),
        (Evidence(exit=_killed(oom_kills=1)), Fault.OUT_OF_MEMORY, "killed by the kernel for memory"),
        (Evidence(exit=_killed(peak_memory_bytes=95), memory_limit_bytes=100), Fault.OUT_OF_MEMORY, "for memory"),
        (Evidence(exit=_killed(peak_memory_bytes=80), memory_limit_bytes=100), Fault.INFRASTRUCTURE, "outside"),
        (Evidence(last=Stopped("preempt", 2), last_step=2), Fault.PREEMPTED, "handed back after step 2"),
        (Evidence(cut=Cut.TIMEOUT, timeout_s=1.5, exit=_killed()), Fault.TIMEOUT, "timeout of 1.5 s"),
        (Evidence(cut=Cut.IMPORT, import_s=300, exit=_killed()), Fault.USER_BUG, "still busy after 300 s"),
        (Evidence(cut=Cut.DRAIN, exit=_killed()), Fault.PREEMPTED, "told to stop"),
        (Evidence(cut=Cut.REVOKED, exit=_killed()), Fault.PREEMPTED, "ended by its worker"),
        (
            Evidence(cut=Cut.TIMEOUT, timeout_s=1.0, last=Failed(Fault.USER_BUG, "SystemExit", "", "x")),
            Fault.TIMEOUT,
            "timeout",
        ),
        (Evidence(last=Failed(Fault.NOT_FINITE, "nan", "", "s")), Fault.NOT_FINITE, "nan"),
    ],
)
def test_each_end_has_its_class_and_its_words(evidence: Evidence, fault: Fault, words: str) -> None:
    verdict = classify(evidence)
    assert verdict.fault is fault
    assert words in verdict.detail
    assert verdict.signature


def test_equal_crashes_have_equal_signatures_wherever_they_happened() -> None:
    one = classify(Evidence(exit=Exit(signal=signal.SIGSEGV), last_step=1))
    two = classify(Evidence(exit=Exit(signal=signal.SIGSEGV), last_step=7))
    other = classify(Evidence(exit=Exit(signal=signal.SIGABRT), last_step=7))
    assert one.signature == two.signature != other.signature


BEHIND = StopDecision(True, "rung 3: 0.1 is not among the best 1 of 2 (cutoff 0.2)")
NAN = StopDecision(True, "rung 3: nan is worse than every number", Fault.NOT_FINITE)


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(last=Stopped("stop", 4), last_step=4, stop=BEHIND),
        Evidence(last=Stopped("stop", 4, 0.9), last_step=4, stop=BEHIND),
        Evidence(last=Stopped("preempt", 4), last_step=4, stop=BEHIND),
        Evidence(exit=_killed(), last_step=4, stop=BEHIND),
        Evidence(cut=Cut.TIMEOUT, timeout_s=1.0, exit=_killed(), last_step=4, stop=BEHIND),
        Evidence(cut=Cut.DRAIN, exit=_killed(), last_step=4, stop=BEHIND, keeps_score=True),
    ],
)
def test_a_trial_that_was_stopped_early_is_pruned_however_it_ended(evidence: Evidence) -> None:
    verdict = classify(evidence)
    assert verdict == Verdict(None, BEHIND.reason, step=4, pruned=True)
    end = _end(verdict, notes=["started over"])
    assert (end.attempt_event, end.trial_event, end.fault) == (AttemptEvent.PRUNE, TrialEvent.PRUNE, None)
    assert (end.score, end.step, end.detail) == (None, 4, f"started over; {BEHIND.reason}")


def test_a_score_that_came_before_the_trial_heard_of_it_is_a_score() -> None:
    verdict = classify(Evidence(last=SCORE, stop=BEHIND))
    assert (verdict.score, verdict.pruned, verdict.detail) == (0.5, False, "")


def test_a_bug_of_a_trial_that_was_stopped_early_is_shown() -> None:
    verdict = classify(Evidence(last=Failed(Fault.USER_BUG, "in the clean-up", "", "s"), stop=BEHIND))
    assert (verdict.fault, verdict.detail) == (Fault.USER_BUG, "in the clean-up")


def test_a_score_returned_after_the_stop_counts_where_the_rule_keeps_it() -> None:
    told = Evidence(last=Stopped("stop", 4, 0.9, {"holdout": 0.8}), last_step=4, stop=BEHIND, keeps_score=True)
    verdict = classify(told)
    assert verdict == Verdict(None, BEHIND.reason, score=0.9, metrics={"holdout": 0.8}, step=4)
    assert _end(verdict).trial_event is TrialEvent.SCORE


def test_a_stop_by_a_nan_is_a_fault() -> None:
    verdict = classify(Evidence(last=Stopped("stop", 4), last_step=4, stop=NAN))
    assert verdict.fault is Fault.NOT_FINITE
    assert verdict.detail == "stopped early: rung 3: nan is worse than every number"
    assert verdict.signature


SMALLER = after_memory([MemoryFault("A100", 64)])


def _end(verdict: Verdict, notes: Sequence[str] = (), **more: Any) -> AttemptEnd:
    known: dict[str, Any] = {"faults": {}, "retry_attempts": 2, "has_checkpoint": False, **more}
    decision = None if verdict.fault is None else after_fault(verdict.fault, **known)
    return attempt_end(verdict, decision, notes)


@pytest.mark.parametrize(
    ("fault", "more", "attempt", "trial"),
    [
        (Fault.USER_BUG, {}, AttemptEvent.FAULT, TrialEvent.FAIL),
        (Fault.INFRASTRUCTURE, {}, AttemptEvent.FAULT, TrialEvent.RETRY),
        (Fault.INFRASTRUCTURE, {"faults": {Fault.INFRASTRUCTURE: 5}}, AttemptEvent.FAULT, TrialEvent.FAIL),
        (Fault.OUT_OF_MEMORY, {}, AttemptEvent.FAULT, TrialEvent.FAIL),
        (Fault.OUT_OF_MEMORY, {"elsewhere": True}, AttemptEvent.FAULT, TrialEvent.RETRY),
        (Fault.OUT_OF_MEMORY, {"memory": SMALLER}, AttemptEvent.FAULT, TrialEvent.RETRY),
        (
            Fault.OUT_OF_MEMORY,
            {"faults": {Fault.OUT_OF_MEMORY: 1}, "memory": SMALLER, "elsewhere": True},
            AttemptEvent.FAULT,
            TrialEvent.FAIL,
        ),
        (Fault.PREEMPTED, {"has_checkpoint": True}, AttemptEvent.RELEASE, TrialEvent.PARK),
        (Fault.PREEMPTED, {}, AttemptEvent.RELEASE, TrialEvent.RETRY),
        (Fault.TIMEOUT, {}, AttemptEvent.FAULT, TrialEvent.FAIL),
    ],
)
def test_the_end_follows_the_retry_decision(
    fault: Fault, more: dict[str, Any], attempt: AttemptEvent, trial: TrialEvent
) -> None:
    end = _end(Verdict(fault, "what happened", traceback="t", signature="s"), **more)
    assert (end.attempt_event, end.trial_event, end.fault) == (attempt, trial, fault)
    said_more = fault not in (Fault.USER_BUG, Fault.TIMEOUT)  # a fault that is never retried needs no reason for it
    assert end.detail.startswith("what happened; ") is said_more
    assert end.detail.startswith("what happened")


def test_a_score_keeps_the_notes() -> None:
    end = _end(Verdict(None, score=1.0), notes=["started over"])
    assert (end.score, end.detail) == (1.0, "started over")


def test_text_that_postgres_cannot_hold_is_written_so_that_it_can() -> None:
    assert clean("a\0b\udc80") == "a\\x00b\\udc80"
    assert clean("x" * MAX_TEXT) == "x" * MAX_TEXT
    assert len(clean("x" * (MAX_TEXT + 5))) == MAX_TEXT + 1
    assert clean_metrics({"k\0": "v\0", "n": 1.5}) == {"k\\x00": "v\\x00", "n": 1.5}
