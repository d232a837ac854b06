"""Each class of fault has advice of its own, told once for all trials that need it."""

import pytest

from celeriac.domain.records import Fault, TrialRecord, TrialState
from celeriac.report.advice import advice, advice_by_class
from tests.celeriac.decide.records import trial


def _failed(number: int, fault: Fault, detail: str = "", **more: object) -> TrialRecord:
    return trial(number, TrialState.FAILED, fault=fault, detail=detail, **more)


def test_every_class_has_advice() -> None:
    told = {fault: advice(_failed(1, fault), "digits") for fault in Fault}
    assert all(told.values())
    assert len(set(told.values())) == len(Fault)
    assert advice(trial(1, TrialState.SCORED), "digits") == ""


@pytest.mark.parametrize(
    ("fault", "detail", "says"),
    [
        (Fault.OUT_OF_MEMORY, "CUDA out of memory; not again on A100", "trial.batch_plan"),
        (Fault.OUT_OF_MEMORY, "attempt 2 follows with at most 32 samples at once instead of 64", "half of the samples"),
        (Fault.OUT_OF_MEMORY, "held 400 MiB, over CELERIAC_TRIAL_MEMORY_BYTES=1", "look for a leak"),
        (Fault.INFRASTRUCTURE, "CUDA error: uncorrectable ECC error (sick device)", "nvidia-smi"),
        (Fault.INFRASTRUCTURE, "killed by SIGKILL from outside", "celeriac doctor"),
        (Fault.USER_BUG, "KeyError: 'a'", "`celeriac logs digits 1`"),
    ],
)
def test_what_is_known_of_the_fault_decides_the_advice(fault: Fault, detail: str, says: str) -> None:
    assert says in advice(_failed(1, fault, detail), "digits")


def test_trials_with_the_same_advice_share_a_line() -> None:
    failed = [_failed(n, Fault.USER_BUG) for n in range(9)] + [
        _failed(9, Fault.NOT_FINITE),
        trial(10, TrialState.SCORED),
    ]
    bugs, nan = advice_by_class(failed, "digits")
    assert bugs.startswith("user_bug (trials 0, 1, 2, 3, 4, 5, …): the traceback is in `celeriac logs digits 0`")
    assert nan.startswith("not_finite (trial 9): the search avoids")
