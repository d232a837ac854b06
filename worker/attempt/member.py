"""A member's part of a round, for all ranks but 0: the same script, the same checkpoint, and no report of its own.

It ends when the round does, and its end is the round's, unless its objective returned. What it reports counts nothing:
rank 0 reports, saves and returns the score. What became of its process is written in its row, for rank 0 to judge.
"""

import logging
import math
import time
from dataclasses import dataclass

from celeriac.decide.gang import BEAT_S
from celeriac.domain.errors import CeleriacError, TryAgain
from celeriac.domain.records import Fault, Lease
from celeriac.runtime.artefacts import ArtefactsUnavailable
from worker.attempt import checkpoints, classify
from worker.attempt.classify import Cut, Evidence, Verdict
from worker.attempt.context import WorkerContext
from worker.attempt.control import Unanswered
from worker.attempt.free_memory import not_free
from worker.attempt.heartbeat import KeptLease
from worker.attempt.job import CodeDiffers, code_of, job_of
from worker.attempt.logs import AttemptLog
from worker.attempt.membership import Membership
from worker.attempt.resume import READ_S
from worker.attempt.stand_aside import without_code
from worker.attempt.store_retry import StoreRetry, UntilStopped
from worker.attempt.wakeup import wait
from worker.process.events import Ended, Exit, Failed, Noted, Printed, Returned, Started, Stopped
from worker.process.frames import FrameTooLarge
from worker.process.trial_process import FAREWELL_S, TrialProcess

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Part:
    """One member's part on its way; written by the runner's thread only."""

    context: WorkerContext
    lease: Lease
    membership: Membership
    log: AttemptLog
    kept: KeptLease
    process: TrialProcess | None = None
    last: Returned | Stopped | Failed | None = None
    exit: Exit | None = None
    cut: Cut | None = None
    deadline: float = math.inf

    @property
    def over(self) -> bool:
        """Whether its process has said its last word, or is gone."""
        return self.last is not None or self.exit is not None

    @property
    def name(self) -> str:
        """For the log."""
        rank = self.lease.place.rank if self.lease.place else "?"
        return f"{self.lease.study} trial {self.lease.number} attempt {self.lease.attempt} rank {rank}"


def follow_round(lease: Lease, membership: Membership, context: WorkerContext) -> str:
    """Run this member's part until it ends or the round does; what came of it, in a line."""
    output = context.open_log(lease, lease.place.rank if lease.place else 0)
    part = Part(context, lease, membership, output, context.lease_keeper.keep_otherwise(membership.renew, BEAT_S))
    try:
        verdict = _verdict(part)
        said = f"{part.name}: {end(part, verdict)}"
    finally:
        if part.process is not None and not part.over:
            part.process.kill(0.0)
        context.lease_keeper.leave(part.kept)
        output.close()
        if part.process is not None:
            part.process.farewell(FAREWELL_S)
    log.info("%s", said)
    return said


def _verdict(part: Part) -> Verdict | None:
    """Run it; None when the round was over first."""
    try:
        begin(part)
        follow(part)
    except CodeDiffers as error:
        detail = without_code(part.lease, str(error), part.context).detail
        return Verdict(Fault.PREEMPTED, detail)
    except Exception as error:
        log.exception("%s: the runner failed", part.name)
        return Verdict(Fault.INFRASTRUCTURE, f"the runner failed: {type(error).__name__}: {error}")
    if part.kept.lost is not None:
        return None
    settings = part.context.settings
    return classify.classify(
        Evidence(
            last=part.last,
            exit=part.exit or Exit(),
            cut=part.cut,
            import_s=settings.import_s,
            memory_limit_bytes=part.context.memory_limit_bytes,
            printed=part.log.tail() if part.exit and part.exit.signal is not None else "",
        )
    )


def begin(part: Part) -> None:
    """Give the job to a warm process, resumed from the checkpoint that rank 0 resumes from: both look alike."""
    context, lease = part.context, part.lease
    code, root, resumed = code_of(lease, context), context.settings.checkpoint_root, None
    if lease.checkpoints:
        try:
            resumed, refused = context.control.in_time(
                lambda: checkpoints.newest_sound(lease.checkpoints, root, context.checkpoint_storage), within_s=READ_S
            )
        except (Unanswered, ArtefactsUnavailable) as error:
            part.exit = Exit(lost=f"the checkpoints in {root} could not be read: {error}")
            return
        for reason in refused:
            part.log.note(reason)
    if flaw := not_free(lease, context.slot.device_uuid, context.probe, context.control):
        part.exit = Exit(lost=flaw)
        return
    job = job_of(lease, resumed, checkpoint_root=root, has_gpu=context.slot.has_cuda, judged=False, model_bytes=0)
    part.deadline = time.monotonic() + context.settings.import_s
    try:
        part.process = context.servers.take(code)
        part.process.hears_elsewhere()
        part.process.start(job)
    except (FrameTooLarge, OSError) as error:
        part.exit = Exit(lost=f"no process could be started on this host: {error}")


def follow(part: Part) -> None:
    """Take in what its process says, until its end or the round's; hand the trial back when this worker drains."""
    context, process, leave_by = part.context, part.process, math.inf
    while process is not None and not part.over:
        watched = [process.fileno(), context.wakeup.fileno(), context.control.terminated_fd]
        if leave_by == math.inf:
            watched.append(context.control.drain_fd)
        wait(watched, min(part.deadline, leave_by) - time.monotonic())
        context.wakeup.clear()
        take_in(part, process)
        if leave_by == math.inf and context.control.draining():
            part.membership.leaving = "a member's worker was told to stop"
            context.lease_keeper.hurry(part.kept)
            leave_by = time.monotonic() + context.settings.checkpoint_grace_s
        cut = None if part.over else reason_to_cut(part, leave_by, time.monotonic())
        if cut is not None:
            part.cut = cut
            part.exit = process.kill(0.0)
    if process is not None:
        take_in(part, process)


def reason_to_cut(part: Part, leave_by: float, now: float) -> Cut | None:
    """Why its process must end now, if it must."""
    if part.kept.lost is not None:
        return Cut.LEASE_LOST
    if part.context.control.terminated or now >= leave_by:
        return Cut.DRAIN
    return Cut.IMPORT if now >= part.deadline else None


def take_in(part: Part, process: TrialProcess) -> None:
    """Its output goes to this host's log; its reports nowhere."""
    for event in process.receive():
        match event:
            case Printed():
                part.log.write(event.data)
            case Noted():
                part.log.note(event.text)
            case Started():
                part.deadline = math.inf
            case Returned() | Stopped() | Failed():
                part.last = event
            case Ended():
                part.exit = event.exit


def end(part: Part, verdict: Verdict | None) -> str:
    """Write what became of it, for rank 0; nothing when the round was over first."""
    if verdict is None:
        return "its round is over"
    context, stopped = part.context, isinstance(part.last, Stopped)
    fault = None if stopped else verdict.fault  # one that stopped as it was told waits for rank 0 to say so
    detail = "" if fault is None else verdict.detail
    write = StoreRetry(f"{part.name}: its end", UntilStopped(context.control, grace_s=context.settings.kill_grace_s))
    token, words = part.membership.token, {"traceback": verdict.traceback, "signature": verdict.signature}
    try:
        write(lambda: context.store.end_membership(token, fault=fault, detail=detail, **words))
    except (TryAgain, CeleriacError) as error:
        return f"its membership is left to lapse: {error}"
    return detail or "its part is done"
