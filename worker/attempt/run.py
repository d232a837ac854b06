"""One trial, start to finish: this page reads from top to bottom.

    lease      may this worker run this attempt? Postgres decides, once
    resume     from the newest complete checkpoint, or from the start
    begin      a warm process that holds the study's code gets the job
    follow     its reports, output and end; the clock, a drain, a revoke, a lost lease (`worker.attempt.follow`)
    judge      how the attempt ended, and what becomes of its trial: pure functions (`worker.attempt.conclude`)
    record     under the lease, once; while the store is away it waits, and the result is kept
    announce   tell the coordinator, and delete files that nobody needs any more

One value travels, `Run`, and one thread writes it. Whatever happens, no process of the trial stays when its slot
takes the next one: it ends while the next ticket is fetched, and is waited for before the next lease.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from celeriac.decide.gang import BEAT_S
from celeriac.domain.errors import (
    CeleriacError,
    LeaseLost,
    SpecInvalid,
    TryAgain,
    UnknownStudy,
    UnknownTrial,
    ValueRefused,
)
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Checkpoint, Fault, Lease, Refusal, Report
from celeriac.runtime.artefacts import ArtefactsUnavailable
from worker.attempt import checkpoints
from worker.attempt.classify import Cut
from worker.attempt.conclude import (
    announce,
    give_back,
    give_up,
    judge,
    leave_kind,
    put_off,
    record,
    refuse_study,
    refuse_value,
    step_aside,
)
from worker.attempt.context import WorkerContext
from worker.attempt.control import Unanswered
from worker.attempt.early_stop import pruner_of
from worker.attempt.follow import follow
from worker.attempt.free_memory import not_free
from worker.attempt.job import CodeDiffers, code_of, device_limits, job_of
from worker.attempt.logs import AttemptLog
from worker.attempt.membership import Membership
from worker.attempt.memory import BarredHere, check_kind
from worker.attempt.result_writer import AttemptStarted, Results
from worker.attempt.run_state import Run
from worker.attempt.stand_aside import passed_on, rest_if_sick
from worker.attempt.store_retry import StoreRetry, UntilStopped
from worker.attempt.uploads import AGAIN_S, Told, Uploads
from worker.process.events import Exit, Failed
from worker.process.failure import signature
from worker.process.frames import FrameTooLarge
from worker.process.trial_process import FAREWELL_S

log = logging.getLogger(__name__)

# How long reading a trial's checkpoints, to hash them, may take: tens of gigabytes from a slow disk.
READ_S = 900.0
# How long a slot waits for a storage that is away, before it takes another trial.
AWAY_S = 20.0


def run(ticket: RunTrial, context: WorkerContext) -> str:
    """Run one attempt of a trial; returns one line on what came of it, for the log and for Flower.

    A stale ticket is a no-op. Nothing that a trial does makes this raise; a failure of our own ends the attempt as
    infrastructure.
    """
    with context.control.sigterm_as_event():
        if left := passed_on(ticket, context):
            return left
        context.servers.finish()
        lease = take_lease(ticket, context)
        if isinstance(lease, Refusal):
            return f"nothing to do: {lease.reason}"
        return run_leased(ticket, lease, context)


def run_leased(ticket: RunTrial, lease: Lease, context: WorkerContext, membership: Membership | None = None) -> str:
    """Run the attempt of that lease; `membership`: of a gang's rank 0, whose lease it is as well."""
    with attempt_scope(ticket, lease, context, membership) as attempt:
        resume(attempt)
        begin(attempt)
        follow(attempt)
        end = judge(attempt)
        announce(attempt, record(attempt, end))
    rest_if_sick(lease, attempt.fault, context)
    return attempt.summary


# -- lease ---------------------------------------------------------------------------------------------------------
def take_lease(ticket: RunTrial, context: WorkerContext) -> Lease | Refusal:
    """Ask Postgres for the attempt; while the store is away this slot has nothing better to do than to ask again."""
    told_to_stop = Refusal("this worker was told to stop; the ticket will be sent again")
    if context.control.stopped():
        return told_to_stop
    retry = StoreRetry(f"study {ticket.study} trial {ticket.trial}", UntilStopped(context.control, grace_s=0.0))
    try:
        return retry(
            lambda: context.store.lease(
                ticket.study,
                ticket.trial,
                ticket.attempt,
                worker=context.slot.name,
                device=context.slot.device_uuid,
                device_kind=context.slot.kind,
                lease_s=context.settings.lease_s,
            )
        )
    except TryAgain:
        return told_to_stop
    except (UnknownStudy, UnknownTrial, SpecInvalid) as error:  # of a database before this one, or of a newer version
        return Refusal(str(error))


@contextmanager
def attempt_scope(
    ticket: RunTrial, lease: Lease, context: WorkerContext, membership: Membership | None = None
) -> Iterator[Run]:
    """The attempt's log, its lease and its results; leaves no process and no open lease behind, also when we fail
    ourselves.
    """
    keeper = context.lease_keeper
    kept = keeper.keep_otherwise(membership.renew, BEAT_S) if membership is not None else keeper.keep(lease.token)
    settings = context.settings
    output = AttemptLog(
        settings.log_root,
        lease.study_id,
        lease.number,
        lease.attempt,
        writer=context.log_writer,
        file_bytes=settings.log_file_bytes,
        tail_bytes=settings.log_tail_bytes,
    )
    root, storage = settings.checkpoint_root, context.checkpoint_storage
    retention = checkpoints.Retention(lease, context.store, context.janitor, root, storage)
    results = context.results.open(lease.token, tail=output.changed_tail, saved=retention.saved)
    uploads = None if storage is None else Uploads(storage, root, told_of(context, results, output))
    attempt = Run(context, ticket, lease, output, kept, results, retention, membership, uploads)
    try:
        with handle_failures(attempt):
            yield attempt
    except BaseException:
        end_process(attempt)
        raise
    finally:
        if uploads is not None:
            uploads.leave()
        context.results.leave(results)
        context.lease_keeper.leave(kept)
        output.close()
        if attempt.process is not None:
            attempt.process.farewell(FAREWELL_S)


def told_of(context: WorkerContext, results: Results, output: AttemptLog) -> Told:
    """What becomes of checkpoints that were copied to the storage, or left out: a row, a line in the log, files that
    go.
    """
    root = context.settings.checkpoint_root

    def left_out(checkpoint: Checkpoint) -> None:
        context.janitor.put(f"deleting {checkpoint.path}", lambda: checkpoints.delete([checkpoint], root))

    return Told(lambda report: context.results.report(results, report), output.note, left_out)


@contextmanager
def handle_failures(attempt: Run) -> Iterator[None]:
    """Answer for what goes wrong in the block: an attempt that has lost its lease steps aside, our own failure hands
    it back.
    """
    try:
        yield
    except ArtefactsUnavailable as error:
        put_off(attempt, str(error))
    except CeleriacError as error:
        end_process(attempt)
        if isinstance(error, LeaseLost):
            step_aside(attempt, error)
        elif isinstance(error, ValueRefused):
            refuse_value(attempt, error)
        else:
            give_up(attempt, error)
    except BarredHere as error:
        end_process(attempt)
        leave_kind(attempt, str(error))
    except CodeDiffers as error:
        end_process(attempt)
        refuse_study(attempt, str(error))
    except Exception as error:
        log.exception("%s: the runner failed", attempt.name)
        end_process(attempt)
        give_back(attempt, f"the runner failed: {type(error).__name__}: {error}")


def end_process(attempt: Run) -> None:
    """Leave no process of an attempt that came to no end of its own."""
    if attempt.process is not None:
        attempt.process.kill(0.0)


# -- code, checkpoint, process -------------------------------------------------------------------------------------
def resume(attempt: Run) -> None:
    """Choose the newest checkpoint whose hash holds; if there are only unsound ones, start over and say so."""
    attempt.pruner = pruner_of(attempt.lease)
    root, control = attempt.context.settings.checkpoint_root, attempt.context.control
    if not attempt.lease.checkpoints:
        return
    try:
        attempt.resumed, refused = found(attempt)
    except Unanswered as error:
        if control.stopped():
            attempt.cut = Cut.DRAIN if control.draining() else Cut.REVOKED
        attempt.has_checkpoint = True
        attempt.exit = Exit(lost=f"the checkpoints in {root} could not be read: {error}")
        return
    for reason in refused:
        attempt.log.note(reason)
    if attempt.resumed is None:
        attempt.notes.append("no checkpoint of an earlier attempt is sound: started over")
        attempt.log.note(attempt.notes[-1])
    else:
        attempt.has_checkpoint, attempt.last_step = True, attempt.resumed.step
        if attempt.pruner is not None:
            attempt.pruner.resume(reports_before(attempt, attempt.resumed.step))


def found(attempt: Run) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint to go on from, and what is wrong with newer ones. A storage that is away is asked again for a
    while. Raises Unanswered, ArtefactsUnavailable.
    """
    context, before = attempt.context, attempt.lease.checkpoints
    root, storage = context.settings.checkpoint_root, context.checkpoint_storage
    until = time.monotonic() + AWAY_S
    while True:
        try:
            return context.control.in_time(lambda: checkpoints.newest_sound(before, root, storage), within_s=READ_S)
        except ArtefactsUnavailable:
            if time.monotonic() >= until or context.control.stopped():
                raise
            context.control.pause(AGAIN_S)


def reports_before(attempt: Run, step: int) -> list[Report]:
    """What earlier attempts reported up to this step; a store that is away is waited for, unless the worker is told to
    stop.
    """
    context, lease = attempt.context, attempt.lease
    retry = StoreRetry(attempt.name, UntilStopped(context.control, grace_s=0.0))
    try:
        found = retry(lambda: context.store.own_reports(lease.token))
    except TryAgain:
        return []
    return [report for report in found if report.step <= step]


def begin(attempt: Run) -> None:
    """Give the job to a warm process, and have noted what the attempt runs with."""
    if attempt.over:
        return
    context = attempt.context
    check_kind(attempt.lease, context)
    code = code_of(attempt.lease, context)
    context.put_aside.studies.pop(attempt.lease.study_id, None)
    if flaw := not_free(attempt.lease, context.slot.device_uuid, context.probe, context.control):
        attempt.exit = Exit(lost=flaw)
        return
    job = job_of(
        attempt.lease,
        attempt.resumed,
        checkpoint_root=context.settings.checkpoint_root,
        has_gpu=context.slot.has_cuda,
        limits=device_limits(attempt.lease, context),
        judged=attempt.pruner is not None and not attempt.pruner.who.exempt,
        model_bytes=context.settings.model_bytes,
    )
    attempt.started_at = time.monotonic()
    attempt.deadline = attempt.started_at + context.settings.import_s
    started = AttemptStarted(code.fingerprint, attempt.last_step, str(attempt.log.path))
    context.results.start(attempt.results, started)
    try:
        attempt.process = context.servers.take(code)
        attempt.process.start(job)
    except FrameTooLarge as error:
        attempt.last = Failed(Fault.USER_BUG, str(error), "", signature("job", "too large"))
        attempt.exit = attempt.process.kill(0.0) if attempt.process else None
    except OSError as error:
        attempt.exit = Exit(lost=f"no process could be started on this host: {error}")
