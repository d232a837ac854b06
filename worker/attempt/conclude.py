"""How an attempt ends: what it came to, written under the lease, and told.

One thread does it, the runner's, before the slot takes its next ticket: ends are written in their order. Whatever
Postgres answers,
the slot goes on: an end that cannot be written is said, and its lease is left to lapse.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from celeriac.decide.retry import RetryDecision, after_fault
from celeriac.domain.errors import CeleriacError, IllegalTransition, LeaseLost, ValueRefused
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import TrialEnded
from celeriac.domain.records import ENDED, Fault, Lease, TrialRecord, TrialState
from celeriac.store.api import AttemptEnd
from worker.attempt import classify
from worker.attempt.blame import blamed
from worker.attempt.classify import Cut, Evidence, Verdict
from worker.attempt.control import Unanswered
from worker.attempt.follow import note_kept
from worker.attempt.job import code_of
from worker.attempt.keep_model import keep_model, stand_by_score, tidy_models
from worker.attempt.memory import after_this, not_here
from worker.attempt.run_state import Run
from worker.attempt.stand_aside import without_code
from worker.attempt.store_retry import StoreRetry, UntilStopped
from worker.process.events import Exit, Returned, Stopped
from worker.process.failure import from_words

log = logging.getLogger(__name__)

# How long after a SIGTERM the main process may take to write down that it was a user's revoke.
REVOKE_WORD_S = 2.0
REVOKED = "revoked by a user"
# The faults after which a trial may go on, from a checkpoint.
GOES_ON = (Fault.PREEMPTED, Fault.INFRASTRUCTURE, Fault.OUT_OF_MEMORY)
# So long a checkpoint may take to be copied, also when the trial took all of the grace to write it.
LEAST_S = 1.0
# A trial whose checkpoints cannot be reached is not tried again before so many seconds are over.
PUT_OFF_S = 60.0


def judge(attempt: Run) -> AttemptEnd:
    """Say what the attempt came to, and decide what becomes of its trial. Raises LeaseLost when there is nothing to
    say, CodeDiffers.
    """
    attempt.context.results.leave(attempt.results)
    stand_by_score(attempt, lambda: evidence_of(attempt))
    if attempt.lost is not None and not isinstance(attempt.last, Returned):
        raise attempt.lost
    if attempt.results.refused is not None:
        raise attempt.results.refused
    if attempt.results.dropped:
        attempt.notes.append(f"reports were not written: {attempt.results.dropped}")
    verdict = blamed(attempt, classify.classify(evidence_of(attempt)))
    if verdict.fault is Fault.PREEMPTED and attempt.kept.asked_back:
        attempt.notes.append(attempt.kept.asked_back)
    if verdict.fault in GOES_ON:
        bring_home(attempt)
    attempt.model = keep_model(attempt)
    if verdict.fault is Fault.USER_BUG and not attempt.by_member:  # or was the code taken from under the trial?
        code_of(attempt.lease, attempt.context, afresh=True)
    return end_of(attempt, verdict)


def bring_home(attempt: Run) -> None:
    """Have the checkpoints copied that still wait, for the attempt that comes next; a storage that is slow or away
    costs them. A worker that was told to stop has the rest of its grace for it.
    """
    context, uploads = attempt.context, attempt.uploads
    if uploads is None or not uploads.used:
        return
    grace_s = min(context.settings.checkpoint_grace_s, max(attempt.hand_back_by - time.monotonic(), LEAST_S))
    try:
        context.control.in_time(uploads.settled, within_s=grace_s, grace_s=grace_s)
    except Unanswered:
        attempt.notes.append("its newest checkpoint is not in the storage: it goes on from the one before")
    uploads.leave()
    note_kept(attempt, uploads.newest)


def evidence_of(attempt: Run) -> Evidence:
    """What is known of how it ended."""
    return Evidence(
        last=attempt.last,
        exit=attempt.exit or Exit(),
        cut=attempt.cut,
        timeout_s=attempt.lease.plan.timeout_s,
        import_s=attempt.context.settings.import_s,
        last_step=attempt.last_step,
        memory_limit_bytes=attempt.context.memory_limit_bytes,
        stop=attempt.pruner.decision if attempt.pruner else None,
        keeps_score=attempt.pruner is not None and attempt.pruner.keeps_score,
        printed=attempt.log.tail() if attempt.exit and attempt.exit.signal is not None else "",
    )


def end_of(attempt: Run, verdict: Verdict) -> AttemptEnd:
    """The verdict as the attempt's end, with what was measured, and its model where it has a score."""
    attempt.fault = Fault.PREEMPTED if attempt.by_member else verdict.fault
    attempt.log.close()
    decision = None if verdict.fault is None else _after_fault(attempt, verdict.fault)
    end = classify.attempt_end(verdict, decision, attempt.notes)
    returned = attempt.last if isinstance(attempt.last, Returned) else None
    peaks = (each.peak_memory_bytes for each in (returned, attempt.exit) if each)
    return replace(
        end,
        device_s=attempt.device_s,
        peak_memory_bytes=max(peaks, default=0),
        gpu_peak_bytes=returned.gpu_peak_bytes if returned else 0,
        log_tail=attempt.log.tail(),
        micro_batch=attempt.micro_batch,
        short_kind=attempt.short_kind,
        model=attempt.model if end.score is not None else None,
    )


def _after_fault(attempt: Run, fault: Fault) -> RetryDecision:
    memory, elsewhere = None, False
    if fault is Fault.OUT_OF_MEMORY:
        kind = attempt.short_kind or attempt.context.slot.kind
        memory, elsewhere = after_this(attempt.lease, attempt.micro_batch, kind, attempt.context)
    return after_fault(
        fault,
        faults=attempt.lease.faults,
        retry_attempts=attempt.lease.plan.retry_attempts,
        has_checkpoint=attempt.has_checkpoint,
        has_progressed=attempt.has_progressed,
        memory=memory,
        elsewhere=elsewhere,
    )


def record(attempt: Run, end: AttemptEnd) -> TrialRecord:
    """Write the last reports and the end, until the store has them.

    A worker that is told to stop meanwhile, or was before, gives up after the checkpoint's grace: the lease lapses,
    and the trial runs again. Raises LeaseLost (the store has kept the result as late evidence), ValueRefused,
    TryAgain.
    """
    context = attempt.context
    revoked = attempt.cut is Cut.REVOKED and context.control.revoked(attempt.ticket, REVOKE_WORD_S)

    def write() -> TrialRecord:
        write_last_reports(attempt)
        learn_space(attempt)
        return cancel(attempt, end) if revoked else context.store.finish_attempt(attempt.lease.token, end)

    return StoreRetry(f"{attempt.name}: its end", _until_stopped(attempt))(write)


def learn_space(attempt: Run) -> None:
    """Have the trial's row say what its objective asked for, and the study's space take it in: before its end, which
    is what the search looks at. A trial that came to its end asked for all that it has.
    """
    if not attempt.asked:
        return
    whole = isinstance(attempt.last, Returned | Stopped)
    params = {} if whole else dict(attempt.lease.params)
    params |= {name: value for name, (value, _) in attempt.asked.items()}
    forms = {name: form for name, (_, form) in attempt.asked.items()}
    with suppress(LeaseLost):  # the end will say it again
        attempt.context.store.learn_space(attempt.lease.token, params, forms)


def write_last_reports(attempt: Run) -> None:
    """Write what the result writer left. A result is worth more than its reports: what the store refuses for no known
    reason is dropped.
    """
    try:
        attempt.results.flush(attempt.context.store)
    except LeaseLost:
        pass  # the end will say it again, and is kept as evidence
    except CeleriacError:
        raise
    except Exception as error:
        log.error("%s: its last reports are not written: %s: %s", attempt.name, type(error).__name__, error)
        attempt.results.drop(str(error))


def _until_stopped(attempt: Run) -> UntilStopped:
    context = attempt.context
    return UntilStopped(context.control, grace_s=context.settings.checkpoint_grace_s)


def cancel(attempt: Run, end: AttemptEnd) -> TrialRecord:
    """A user revoked the ticket: the trial is CANCELLED, never retried; also if the main process was faster."""
    store, ticket = attempt.context.store, attempt.ticket
    try:
        return store.cancel_ticket(ticket.study, ticket.trial, ticket.attempt, REVOKED)
    except IllegalTransition:  # it has ended otherwise meanwhile: this says how
        return store.finish_attempt(attempt.lease.token, end)


def announce(attempt: Run, trial: TrialRecord) -> None:
    """Tell the coordinator; checkpoints of a trial that has ended are deleted. Neither is waited for, nor worth a
    failure.
    """
    lease, context = attempt.lease, attempt.context
    attempt.summary = described(lease, trial.state, trial.score, trial.detail)
    log.info("%s", attempt.summary)
    ended = TrialEnded(lease.study_id, lease.number, lease.attempt, trial.ended_no or 0)
    context.announce(ended, attempt.summary)
    if trial.state in ENDED and (wrote_checkpoints(attempt) or attempt.scored is not None):
        forget_checkpoints(attempt)
    tidy_models(attempt, trial)


# -- other ends ----------------------------------------------------------------------------------------------------
def step_aside(attempt: Run, lost: LeaseLost) -> None:
    """Somebody else owns the trial, or it was stopped: end the process at once and write nothing more."""
    attempt.summary = f"{attempt.name}: stepped aside, {lost.reason}"
    log.info("%s", attempt.summary)
    if wrote_checkpoints(attempt):
        forget_checkpoints(attempt)
    tidy_models(attempt, None)


def refuse_value(attempt: Run, error: ValueRefused) -> None:
    """The trial told something that Postgres cannot hold, and would tell it again: its own fault."""
    words = from_words(Fault.USER_BUG, f"a value of the trial's was refused: {error}", "value", "refused")
    _end_otherwise(attempt, words.detail, lambda: end_of(attempt, classify.of_words(words)))


def refuse_study(attempt: Run, reason: str) -> None:
    """The study's code is not on this host: the attempt ends at no charge, and others run the trial."""
    _end_otherwise(attempt, reason, lambda: without_code(attempt.lease, reason, attempt.context))


def leave_kind(attempt: Run, reason: str) -> None:
    """The trial ran out of memory on this kind of device: it runs on another one, or not at all."""
    _end_otherwise(attempt, reason, lambda: not_here(attempt.lease, reason, attempt.context))


def give_back(attempt: Run, detail: str) -> None:
    """Our own failure, or one of the database's that nobody expects: end the attempt as infrastructure, if the store
    takes that.
    """
    words = from_words(Fault.INFRASTRUCTURE, detail)
    _end_otherwise(attempt, words.detail, lambda: end_of(attempt, classify.of_words(words)))


def give_up(attempt: Run, error: CeleriacError) -> None:
    """The store stayed away until this worker had to stop, or refuses the end: nothing more is tried."""
    attempt.summary = f"{attempt.name}: its lease is left to lapse, {error}"
    log.warning("%s", attempt.summary)


def _end_otherwise(attempt: Run, detail: str, decide: Callable[[], AttemptEnd]) -> None:
    """End the attempt without its result. What stands in the way of that too is said, and the lease is left to
    lapse.
    """
    attempt.context.results.leave(attempt.results)
    attempt.summary = f"{attempt.name}: {detail}"
    try:
        end = decide()
        retry = StoreRetry(f"{attempt.name}: its end", _until_stopped(attempt))
        announce(attempt, retry(lambda: attempt.context.store.finish_attempt(attempt.lease.token, end)))
    except CeleriacError as error:
        log.warning("%s: its lease is left to lapse: %s", attempt.name, error)
    except Exception as error:
        log.error("%s: its lease is left to lapse: %s: %s", attempt.name, type(error).__name__, error)


def put_off(attempt: Run, reason: str) -> None:
    """The storage of its checkpoints does not answer: the trial is given back at no charge, and tried again later."""
    detail = f"its checkpoints cannot be reached from {attempt.context.settings.host}: {reason}"
    end = AttemptEnd(AttemptEvent.RELEASE, TrialEvent.PARK, detail=detail, wait_s=PUT_OFF_S)
    _end_otherwise(attempt, detail, lambda: end)


def wrote_checkpoints(attempt: Run) -> bool:
    """Whether the trial has any, or this attempt has written one that nobody knows of."""
    return attempt.has_checkpoint or (attempt.uploads is not None and attempt.uploads.used)


def forget_checkpoints(attempt: Run) -> None:
    """Delete all checkpoints of a trial that has ended. Failing that, they cost space until the study is pruned."""
    if attempt.uploads is not None:
        attempt.uploads.leave()
    try:
        attempt.retention.forget_all()
    except Exception as error:
        log.warning("%s: its checkpoints are left: %s", attempt.name, error)


def described(lease: Lease, state: TrialState, score: float | None, detail: str) -> str:
    """One line for the log and for Flower: which attempt, and what came of it."""
    value = detail if score is None else f"{score:g}"
    return f"{lease.study} trial {lease.number} attempt {lease.attempt}: {state} {value}".rstrip()
