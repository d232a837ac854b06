"""What happens to a trial whose attempt ended in a fault? Each class of fault has its own answer
(docs/reference/faults.md has the table).

infrastructure   again, free; the sixth such fault in a row fails the trial, so that a trial that kills its hosts ends.
                 A checkpoint beyond all earlier ones is progress and starts the count again. The first retry comes at
                 once, later ones after growing waits: a sick host must not use up the retries in a second
preempted        again, free, from its checkpoint if there is one
out_of_memory    once again with a smaller micro-batch where the script uses the batch plan; then, or without a plan, on
                 another kind of device if there is one; then FAILED (infeasible). `retry: {attempts}` bounds both
not_finite       FAILED at once: the same parameters give the same NaN
timeout          FAILED at once: the same parameters take the same time
user_bug         FAILED at once, with the traceback
"""

from collections.abc import Mapping
from dataclasses import dataclass

from celeriac.decide.memory import MemoryDecision
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Fault

FREE_RETRIES = 5
#: Seconds before each free retry.
WAITS_S = (0.0, 2.0, 10.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """How the attempt ends, how its trial moves, and why.

    is_final: faults of this class are never retried. forgives: this fault is counted as the trial's first of its class.
    wait_s: no ticket is sent for the trial before so many seconds are over.
    """

    attempt_event: AttemptEvent
    trial_event: TrialEvent
    reason: str
    is_final: bool = False
    forgives: bool = False
    wait_s: float = 0.0


def after_fault(
    fault: Fault,
    *,
    faults: Mapping[str, int],
    retry_attempts: int = 1,
    has_checkpoint: bool,
    has_progressed: bool = False,
    lease_lapsed: bool = False,
    memory: MemoryDecision | None = None,
    elsewhere: bool = False,
) -> RetryDecision:
    """Decide for one fault; `faults` counts the trial's earlier ones by class, without this one.

    Of faults of memory only: `retry_attempts`; `memory`, what all attempts that ran out of it mean, this one included;
    `elsewhere`, whether a kind of device is there on which it may run. `has_progressed`: this attempt brought a
    checkpoint further than all before it. `lease_lapsed`: nobody saw the attempt end, its lease ran out; it is then
    superseded rather than faulted.
    """
    before = faults.get(fault, 0)
    ended = AttemptEvent.SUPERSEDE if lease_lapsed else AttemptEvent.FAULT
    if fault is Fault.PREEMPTED:
        if has_checkpoint:
            return RetryDecision(AttemptEvent.RELEASE, TrialEvent.PARK, "pre-empted; goes on from its checkpoint")
        return RetryDecision(AttemptEvent.RELEASE, TrialEvent.RETRY, "pre-empted without a checkpoint; starts over")
    if fault is Fault.INFRASTRUCTURE:
        return _of_infrastructure(ended, before, has_progressed)
    if fault is Fault.OUT_OF_MEMORY:
        goes_on = before + 1 < retry_attempts and (elsewhere or (memory is not None and memory.smaller))
        how = "on another kind of device" if memory is None or not memory.smaller else memory.reason
        if goes_on:
            return RetryDecision(ended, TrialEvent.RETRY, f"attempt {before + 2} of {retry_attempts} follows {how}")
        not_again = "" if memory is None or memory.smaller else f"; {memory.reason}"
        return RetryDecision(ended, TrialEvent.FAIL, f"out of memory in {before + 1} attempts{not_again}")
    return RetryDecision(ended, TrialEvent.FAIL, f"{fault.replace('_', ' ')}: never retried", is_final=True)


def _of_infrastructure(ended: AttemptEvent, before: int, has_progressed: bool) -> RetryDecision:
    number = 1 if has_progressed else before + 1
    if number > FREE_RETRIES:
        told = f"infrastructure fault number {number} without a new checkpoint: {FREE_RETRIES} free retries are used up"
        return RetryDecision(ended, TrialEvent.FAIL, told)
    wait_s = WAITS_S[number - 1]
    told = f"infrastructure fault; free retry {number} of {FREE_RETRIES}" + (f" in {wait_s:g} s" if wait_s else "")
    if has_progressed and before:
        told += ", counted anew since a checkpoint was added"
    return RetryDecision(ended, TrialEvent.RETRY, told, forgives=has_progressed, wait_s=wait_s)
