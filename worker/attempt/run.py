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

import time

from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Fault, Lease, Refusal
from worker.attempt.conclude import announce, judge, record
from worker.attempt.context import WorkerContext
from worker.attempt.follow import follow
from worker.attempt.free_memory import not_free
from worker.attempt.job import code_of, device_limits, job_of
from worker.attempt.membership import Membership
from worker.attempt.memory import check_kind
from worker.attempt.pack import run_pack
from worker.attempt.result_writer import AttemptStarted
from worker.attempt.resume import resume
from worker.attempt.run_state import Run
from worker.attempt.scope import attempt_scope
from worker.attempt.stand_aside import passed_on, rest_if_sick
from worker.attempt.store_retry import answered
from worker.process.events import Exit, Failed
from worker.process.failure import signature
from worker.process.frames import FrameTooLarge


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
        if lease.plan.pack:
            return run_pack(lease, context)
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
    """Ask Postgres for the attempt."""
    return answered(
        f"study {ticket.study} trial {ticket.trial}",
        context.control,
        lambda: context.store.lease(
            ticket.study,
            ticket.trial,
            ticket.attempt,
            worker=context.slot.name,
            device=context.slot.device_uuid,
            device_kind=context.slot.kind,
            lease_s=context.settings.lease_s,
        ),
    )


# -- code and process -----------------------------------------------------------------------------------------------
def begin(attempt: Run) -> None:
    """Give the job to a warm process, and have noted what the attempt runs with."""
    if attempt.over:
        return
    context = attempt.context
    check_kind(attempt.lease, context)
    code = code_of(attempt.lease, context)
    context.left_to_others.studies.pop(attempt.lease.study_id, None)
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
