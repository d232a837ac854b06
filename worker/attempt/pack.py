"""Several trials in one process, start to finish: this page reads from top to bottom.

    take along  waiting trials of equal shape, each under a lease of its own (`celeriac.decide.pack`)
    resume      each from its own newest checkpoint; those at another step than the leader go on elsewhere
    begin       a warm process gets the job with all of them
    follow      what each tells goes to its own attempt; one that ends is judged and recorded while the others go on
    end         what the process' own end means for those that had not ended

Each trial is a `Run` as any other (`worker.attempt.run`), and its steps are the same functions. Only the process is
common to all, and with it the clock, a drain and the output.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from celeriac.decide.pack import LOOKED_AT, SplitDecision, after_pack_fault, stay_together, take_along
from celeriac.domain.errors import CeleriacError
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import RunTrial
from celeriac.domain.records import Fault, Lease
from celeriac.store.api import AttemptEnd
from worker.attempt import classify
from worker.attempt.conclude import GOES_ON, announce, bring_home, evidence_of, judge, record
from worker.attempt.context import WorkerContext
from worker.attempt.follow_pack import follow_pack
from worker.attempt.free_memory import not_free
from worker.attempt.job import code_of, device_limits, job_of_pack
from worker.attempt.memory import check_kind
from worker.attempt.pack_leases import PackLeases
from worker.attempt.pack_run import PackRun
from worker.attempt.result_writer import AttemptStarted
from worker.attempt.resume import resume
from worker.attempt.run_state import Run
from worker.attempt.scope import handle_failures, opened
from worker.attempt.stand_aside import rest_if_sick
from worker.process.events import Exit, Failed
from worker.process.failure import signature
from worker.process.frames import FrameTooLarge
from worker.process.trial_process import FAREWELL_S

log = logging.getLogger(__name__)


def run_pack(lead: Lease, context: WorkerContext) -> str:
    """Run the leased trial and those that it takes along; returns a line on what came of them. Raises nothing that a
    trial does.
    """
    leases = [lead, *taken_along(lead, context)]
    with pack_scope(leases, context) as pack:
        with handled(pack):
            resume_all(pack)
            begin(pack)
            follow_pack(pack, lambda member: conclude(pack, member))
        with handled(pack):
            end_all(pack)
    rest_if_sick(lead, pack.fault, context)
    return pack.summary


# -- take along ----------------------------------------------------------------------------------------------------
def taken_along(lead: Lease, context: WorkerContext) -> list[Lease]:
    """The leases of the trials that come along; a store that is away now costs their company, and not the leader."""
    pack, shape = lead.plan.pack, lead.plan.shape
    if pack < 2:
        return []
    try:
        decision = take_along(context.store.pack_choices(lead.token, pack * LOOKED_AT), pack, shape)
        found = context.store.lease_along(lead.token, decision.numbers) if decision.numbers else []
    except CeleriacError as error:
        log.warning("%s trial %d runs alone: %s", lead.study, lead.number, error)
        return []
    log.info("%s trial %d takes %d along: %s", lead.study, lead.number, len(found), decision.reason)
    return found


@contextmanager
def pack_scope(leases: Sequence[Lease], context: WorkerContext) -> Iterator[PackRun]:
    """What each of them works with, and the one process; no lease and no process is left behind."""
    keeper = context.lease_keeper
    kept = PackLeases(context.store, context.wakeup, [each.token for each in leases], context.settings.lease_s)
    renewed = keeper.keep_otherwise(kept.renew, context.settings.heartbeat_s)
    with ExitStack() as stack:
        stack.callback(keeper.leave, renewed)
        members = [
            stack.enter_context(opened(ticket_of(each), each, context, kept.kept[each.token], sharers=len(leases)))
            for each in leases
        ]
        pack = PackRun(context, members, kept)
        try:
            yield pack
        except BaseException:
            pack.end_process()
            raise
        finally:
            if pack.process is not None:
                pack.process.farewell(FAREWELL_S)


def ticket_of(lease: Lease) -> RunTrial:
    """What a ticket for this attempt says."""
    return RunTrial(lease.study_id, lease.number, lease.attempt)


@contextmanager
def handled(pack: PackRun) -> Iterator[None]:
    """Our own failure ends all that had not ended, each as it would end alone."""
    try:
        yield
    except Exception as error:
        pack.end_process()
        for member in pack.open:
            with_care(pack, member, lambda failed=error: _raise(failed))  # type: ignore[misc]


def with_care(pack: PackRun, member: Run, work: Callable[[], None]) -> None:
    """The last step of one trial; whatever goes wrong with it is no matter of the others."""
    with handle_failures(member):
        work()
    pack.leave(member)


def _raise(error: Exception) -> None:
    raise error


# -- resume, begin -------------------------------------------------------------------------------------------------
def resume_all(pack: PackRun) -> None:
    """Each from its own checkpoint. Who may not run here, cannot be read, or begins elsewhere, leaves."""
    for member in pack.open:
        ready = False
        with handle_failures(member):
            check_kind(member.lease, pack.context)
            resume(member)
            ready = True
        if not ready:
            pack.leave(member)
        elif member.over:  # its checkpoints could not be read, or this worker was told to stop
            conclude(pack, member)
    if not pack.open:
        return
    starts = {member.lease.number: start_of(member) for member in pack.open}
    for number, reason in stay_together(starts, pack.open[0].lease.number).items():
        hand_on(pack, pack.member(number), SplitDecision(None, reason))


def start_of(member: Run) -> int:
    """The step that it begins at."""
    return 0 if member.resumed is None else member.resumed.step + 1


def begin(pack: PackRun) -> None:
    """Give the job to a warm process, and have noted what each attempt runs with."""
    if not pack.open:
        return
    context, members = pack.context, pack.open
    code = code_of(members[0].lease, context)
    context.left_to_others.studies.pop(members[0].lease.study_id, None)
    if flaw := not_free(members[0].lease, context.slot.device_uuid, context.probe, context.control):
        pack.exit = Exit(lost=flaw)
        return
    job = job_of_pack(
        [(each.lease, each.resumed, each.pruner is not None and not each.pruner.who.exempt) for each in members],
        checkpoint_root=context.settings.checkpoint_root,
        has_gpu=context.slot.has_cuda,
        model_bytes=context.settings.model_bytes,
        limits=device_limits(members[0].lease, context),
    )
    now = time.monotonic()
    pack.clock.begin(now, len(members))
    pack.deadline = now + context.settings.import_s
    for each in members:
        each.clock, each.started_at = pack.clock, now
        started = AttemptStarted(code.fingerprint, each.last_step, str(each.log.path))
        context.results.start(each.results, started)
        if len(members) > 1:
            each.log.note(f"in a pack of {len(members)}, led by trial {members[0].lease.number}")
    try:
        pack.process = context.servers.take(code)
        pack.process.start(job)
    except FrameTooLarge as error:
        pack.last = Failed(Fault.USER_BUG, str(error), "", signature("job", "too large"))
        pack.end_process()
    except OSError as error:
        pack.exit = Exit(lost=f"no process could be started on this host: {error}")


# -- ends ----------------------------------------------------------------------------------------------------------
def conclude(pack: PackRun, member: Run) -> None:
    """What one trial came to: judged, recorded and announced as that of any attempt."""

    def work() -> None:
        end = judge(member)
        announce(member, record(member, end))

    with_care(pack, member, work)


def end_all(pack: PackRun) -> None:
    """The process has ended, or said its last word: what that means for the trials that had not ended."""
    for member in pack.open:
        member.last, member.exit = member.last or pack.last, member.exit or pack.exit
        member.cut = member.cut or pack.cut_of(member)
    faults = {each.lease.number: fault_of(each) for each in pack.open}
    active = sum(fault is not None for fault in faults.values())
    charged = False
    for member in pack.open:
        fault = faults[member.lease.number]
        split = None if fault is None else after_pack_fault(fault, active, called=pack.called)
        if split is None or (split.charges and not charged):
            charged = True
            conclude(pack, member)
        else:
            hand_on(pack, member, split, fault)


def fault_of(member: Run) -> Fault | None:
    """The fault that the process' end is for this trial; None where it has a score, a verdict of its own, or nothing to
    tell.
    """
    if member.scored is not None or member.lost is not None or member.results.refused is not None:
        return None
    return classify.classify(evidence_of(member)).fault


def hand_on(pack: PackRun, member: Run, split: SplitDecision, fault: Fault | None = None) -> None:
    """Give a trial back at no charge: it goes on in another pack, or alone."""

    def work() -> None:
        member.context.results.leave(member.results)
        if member.lost is not None:
            raise member.lost
        verdict = None if fault is None else classify.classify(evidence_of(member))
        if fault in GOES_ON:
            bring_home(member)
        member.log.close()
        end = AttemptEnd(
            AttemptEvent.RELEASE,
            TrialEvent.PARK if member.has_checkpoint else TrialEvent.RETRY,
            detail="; ".join(filter(None, [split.reason, "" if verdict is None else verdict.detail])),
            traceback="" if verdict is None else verdict.traceback,
            device_s=member.device_s,
            log_tail=member.log.tail(),
            pack_most=split.most,
            split_by=None if split.most is None else fault,
        )
        announce(member, record(member, end))

    with_care(pack, member, work)
