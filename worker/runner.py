"""One trial, start to finish: this page reads from top to bottom.

    lease      may this worker run this attempt? Postgres decides, once
    resume     from the newest sound checkpoint, or from the start
    begin      a warm process that holds the study's code gets the job
    follow     its reports, its output, its end; and the clock, a drain, a revoke, a lost lease
    judge      what the attempt came to, and what becomes of its trial: decided by pure functions
    conclude   record, then announce: beside this page, while the slot fetches its next ticket
    record     under the lease, once; a store that is away is waited for, the result is not dropped
    announce   the coordinator is told, files that nobody needs any more are deleted

One value travels, `Run`. Whatever happens, no process of the trial outlives its place on the slot.
"""

import logging
import math
import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat

from celeriac.errors import (
    CeleriacError,
    IllegalTransition,
    LeaseLost,
    StoreUnavailable,
    UnknownStudy,
    UnknownTrial,
)
from celeriac.lifecycle import TRIAL_TRANSITIONS, moved
from celeriac.messages import RunTrial, TrialEnded
from celeriac.records import ENDED, Checkpoint, Fault, Lease, Refusal, Report, TrialRecord, TrialState
from celeriac.store.api import AttemptEnd
from worker import checkpoints, faults
from worker.faulted import from_words, signature
from worker.faults import Cut, Evidence, Verdict
from worker.forkserver import (
    Code,
    Ended,
    Event,
    Exit,
    Failed,
    Noted,
    Printed,
    Reported,
    Returned,
    Started,
    Stopped,
    TrialProcess,
)
from worker.frames import FrameTooLarge
from worker.heartbeat import Begun, Pulse
from worker.job import code_root, job_of
from worker.logs import AttemptLog
from worker.pruner import Pruner, pruner_of
from worker.station import Station

log = logging.getLogger(__name__)

# How long after a SIGTERM the main process may take to write down that it was a user's revoke.
REVOKE_WORD_S = 2.0
REVOKED = "revoked by a user"


@dataclass(slots=True)
class Run:
    """One attempt on its way through the steps; each step fills in its part."""

    station: Station
    ticket: RunTrial
    lease: Lease
    log: AttemptLog
    pulse: Pulse
    resumed: Checkpoint | None = None
    pruner: Pruner | None = None
    has_checkpoint: bool = False
    has_progressed: bool = False
    notes: list[str] = field(default_factory=list)
    process: TrialProcess | None = None
    started_at: float = 0.0
    deadline: float = math.inf
    called: bool = False
    last: Returned | Stopped | Failed | None = None
    exit: Exit | None = None
    cut: Cut | None = None
    last_step: int | None = None
    values: dict[int, float] = field(default_factory=dict)
    unjudged: bool = False
    came_of: str = ""

    @property
    def timeout_s(self) -> float | None:
        """How long the objective may run."""
        return self.lease.spec.get("timeout")

    @property
    def over(self) -> bool:
        """Whether its process has said its last word, or is gone."""
        return self.last is not None or self.exit is not None


def run(ticket: RunTrial, station: Station) -> str:
    """Run one attempt of a trial; returns one line on what came of it, for the log and for Flower.

    A stale ticket is a no-op. Nothing that a trial does makes this raise; a failure of our own ends the attempt as infrastructure.
    """
    with station.orders.heeding():
        lease = take_lease(ticket, station)
        if isinstance(lease, Refusal):
            return f"nothing to do: {lease.reason}"
        with attending(ticket, lease, station) as attempt:
            resume(attempt)
            begin(attempt)
            follow(attempt)
            end = judge(attempt)
            conclude(attempt, end)
        return attempt.came_of


# -- lease ----------------------------------------------------------------------------------------------------------------
def take_lease(ticket: RunTrial, station: Station) -> Lease | Refusal:
    """Ask Postgres for the attempt; while the store is away this slot has nothing better to do than to ask again."""
    if station.recorder.comes_first:
        wait_for_the_end_before(station)
    orders, patient = station.orders, Patience(f"study {ticket.study} trial {ticket.trial}")
    while not orders.draining() and not orders.terminated:
        try:
            return station.store.lease(
                ticket.study,
                ticket.trial,
                ticket.attempt,
                worker=station.slot.name,
                device=station.slot.device_uuid,
                device_kind=station.slot.kind,
                lease_s=station.settings.lease_s,
            )
        except StoreUnavailable as error:
            patient.pause(station, error)
        except (UnknownStudy, UnknownTrial) as error:  # a ticket from before the database was made anew
            return Refusal(str(error))
    return Refusal("this worker was told to stop; the ticket will be sent again")


@contextmanager
def attending(ticket: RunTrial, lease: Lease, station: Station) -> Iterator[Run]:
    """The attempt's log and heartbeat; leaves no process and no open lease behind, also when we fail ourselves."""
    settings = station.settings
    output = AttemptLog(
        settings.log_root,
        lease.study_id,
        lease.number,
        lease.attempt,
        file_bytes=settings.log_file_bytes,
        tail_bytes=settings.log_tail_bytes,
    )
    attempt: Run
    pulse = station.heartbeat.watch(
        lease.token,
        tail=output.changed_tail,
        checkpointed=lambda rows: keep_few(attempt, rows),
        ranked=lambda records: attempt.pruner.hear(records) if attempt.pruner else None,
    )
    attempt = Run(station, ticket, lease, output, pulse)
    seen_off = False
    try:
        with answering(attempt):
            yield attempt
            station.leave(attempt.process)
            seen_off = True
    finally:
        pulse.stop()
        output.close()
        if attempt.process is not None and not seen_off:
            attempt.process.kill(0.0)
            attempt.process.close()


@contextmanager
def answering(attempt: Run) -> Iterator[None]:
    """Answer for what goes wrong in the block: an attempt that has lost its lease steps aside, our own failure hands it back."""
    try:
        yield
    except LeaseLost as lost:
        step_aside(attempt, lost)
    except Exception as error:
        log.exception("trial %s of study %s: the runner failed", attempt.lease.number, attempt.lease.study)
        give_back(attempt, f"the runner failed: {type(error).__name__}: {error}")


# -- code, checkpoint, process --------------------------------------------------------------------------------------------
def resume(attempt: Run) -> None:
    """Choose the newest checkpoint whose hash holds; if there are only unsound ones, start over and say so."""
    attempt.pruner = pruner_of(attempt.lease)
    before = attempt.lease.checkpoints
    if not before:
        return
    attempt.resumed, refused = checkpoints.newest_sound(before, attempt.station.settings.checkpoint_root)
    for reason in refused:
        attempt.log.note(reason)
    if attempt.resumed is None:
        attempt.notes.append("no checkpoint of an earlier attempt is sound: started over")
        attempt.log.note(attempt.notes[-1])
    else:
        attempt.has_checkpoint, attempt.last_step = True, attempt.resumed.step
        if attempt.pruner is not None:
            attempt.pruner.resume(reports_before(attempt, attempt.resumed.step))


def reports_before(attempt: Run, step: int) -> list[Report]:
    """What earlier attempts reported up to this step; a store that is away is waited for, unless the worker is told to stop."""
    station, lease = attempt.station, attempt.lease
    patient = Patience(f"{lease.study} trial {lease.number}")
    while not station.orders.draining() and not station.orders.terminated:
        try:
            found = station.store.reports(lease.study_id, lease.number)
            return [report for report in found if report.step <= step]
        except StoreUnavailable as error:
            patient.pause(station, error)
    return []


def begin(attempt: Run) -> None:
    """Give the job to a warm process, and have noted what the attempt runs with."""
    station = attempt.station
    code = code_of(attempt.lease, station)
    job = job_of(
        attempt.lease,
        attempt.resumed,
        checkpoint_root=station.settings.checkpoint_root,
        has_gpu=station.slot.is_gpu,
        judged=attempt.pruner is not None and not attempt.pruner.who.exempt,
    )
    station.make_way()
    attempt.started_at = time.monotonic()
    attempt.deadline = attempt.started_at + station.settings.import_s
    attempt.pulse.begin(Begun(code.fingerprint, attempt.last_step, str(attempt.log.path)))
    try:
        attempt.process = station.servers.take(code)
        attempt.process.start(job)
    except FrameTooLarge as error:
        attempt.last = Failed(Fault.USER_BUG, str(error), "", signature("job", "too large"))
        attempt.exit = attempt.process.kill(0.0) if attempt.process else None
    except OSError as error:
        attempt.exit = Exit(lost=f"no process could be started on this host: {error}")
    station.recorder.now()


def code_of(lease: Lease, station: Station) -> Code:
    """Where the study's code lies on this host, and its fingerprint: looked at afresh when a study is new to this slot."""
    known = station.code_roots.get(lease.study_id)
    root = known or code_root(lease, station.settings.code_root)
    station.code_roots[lease.study_id] = root
    fingerprint = station.fingerprints.of(root, time.monotonic(), afresh=known is None)
    return Code(str(root), fingerprint, lease.spec["objective"])


def set_off(attempt: Run) -> None:
    """The objective is called: from here on it is the trial's own time, which a first import is not."""
    attempt.called, attempt.started_at = True, time.monotonic()
    attempt.deadline = attempt.started_at + (attempt.timeout_s or math.inf)


# -- follow ---------------------------------------------------------------------------------------------------------------
def follow(attempt: Run) -> None:
    """Take in what the trial tells until its last word or its end; cut it short where the clock or an order says so."""
    station, process = attempt.station, attempt.process
    hand_back_by = math.inf
    while process is not None and not attempt.over:
        watched = [process.fileno(), station.heartbeat.fileno(), station.orders.terminated_fd]
        if hand_back_by == math.inf:
            watched.append(station.orders.drain_fd)
        wait(watched, min(attempt.deadline, hand_back_by) - time.monotonic())
        station.heartbeat.heed()
        take_in(attempt, process.receive())
        answer(attempt, process)
        if hand_back_by == math.inf and station.orders.draining():
            process.send("preempt")
            hand_back_by = time.monotonic() + station.settings.checkpoint_grace_s
        cut = None if attempt.over else reason_to_cut(attempt, hand_back_by, time.monotonic())
        if cut is not None:
            cut_short(attempt, process, cut)
    if process is not None:
        take_in(attempt, process.receive())  # what it printed before its last word is in the pipe by now


def answer(attempt: Run, process: TrialProcess) -> None:
    """Have the trial stopped that is to be stopped, or tell it that it goes on, once its last report was judged."""
    pruner = attempt.pruner
    if pruner is None or attempt.over:
        return
    if pruner.decision is not None:
        process.send("stop")
    elif pruner.goes_on is not None:
        process.answer(pruner.goes_on)
        pruner.goes_on = None


def reason_to_cut(attempt: Run, hand_back_by: float, now: float) -> Cut | None:
    """Why the trial must end now, if it must."""
    orders = attempt.station.orders
    if attempt.pulse.lost is not None:
        return Cut.LEASE_LOST
    if orders.terminated and not orders.draining():
        return Cut.REVOKED
    if orders.terminated or now >= hand_back_by:
        return Cut.DRAIN
    if now < attempt.deadline:
        return None
    return Cut.TIMEOUT if attempt.called else Cut.IMPORT


def cut_short(attempt: Run, process: TrialProcess, cut: Cut) -> None:
    """End the whole process tree; a score that came in the last moment still counts."""
    attempt.cut = cut
    attempt.exit = process.kill(attempt.station.settings.kill_grace_s)


def take_in(attempt: Run, events: Sequence[Event]) -> None:
    """Each event to where it belongs: the log, the heartbeat, or the attempt itself."""
    for event in events:
        match event:
            case Printed():
                attempt.log.write(event.data)
            case Reported():
                take_report(attempt, event)
            case Noted():
                attempt.log.note(event.text)
            case Started():
                set_off(attempt)
            case Returned() | Stopped() | Failed():
                attempt.last = event
            case Ended():
                attempt.exit = event.exit


def take_report(attempt: Run, event: Reported) -> None:
    """Have a report written, with its checkpoint."""
    lease, checkpoint = attempt.lease, None
    if event.checkpoint_path is not None:
        checkpoint = Checkpoint(
            lease.study_id,
            lease.number,
            lease.attempt,
            event.step,
            event.checkpoint_path,
            event.checkpoint_sha256,
            event.checkpoint_bytes,
        )
        attempt.values[event.step] = event.value
        attempt.has_checkpoint = True
        attempt.has_progressed |= event.step > max((each.step for each in lease.checkpoints), default=-1)
    attempt.last_step = event.step
    report, crossing = Report(event.step, event.value, faults.clean_metrics(event.metrics), checkpoint), None
    if attempt.pruner is not None:
        report, crossing = attempt.pruner.take(report, time.monotonic() - attempt.started_at)
        note_missing(attempt, attempt.pruner)
    attempt.pulse.report(report, crossing)


def note_missing(attempt: Run, pruner: Pruner) -> None:
    """Say once that a report does not tell what the rule counts by: it is not judged."""
    if pruner.missing and not attempt.unjudged:
        attempt.unjudged = True
        attempt.log.note(
            f"stop_early: the report of step {attempt.last_step} has no number metrics[{pruner.who.rule.resource!r}], so it is not judged"
        )


def keep_few(attempt: Run, rows: Sequence[Checkpoint]) -> None:
    """Of the trial's checkpoints keep the best and the last two: rows go first, then files. Runs in the heartbeat's thread."""
    doomed = checkpoints.doomed(rows, best_step(attempt, rows))
    if doomed:
        station, lease = attempt.station, attempt.lease
        station.store.forget_checkpoints(lease.study_id, lease.number, [each.path for each in doomed])
        checkpoints.delete(doomed, station.settings.checkpoint_root)


def best_step(attempt: Run, rows: Sequence[Checkpoint]) -> int | None:
    """The step of the best value among checkpoints; what earlier attempts reported is read once, when it is needed."""
    lease, values = attempt.lease, attempt.values
    if any(row.step not in values for row in rows):
        before = attempt.station.store.reports(lease.study_id, lease.number)
        values.update({each.step: each.value for each in before if each.step not in values})
    sign = 1.0 if lease.spec["metric"]["goal"] == "maximize" else -1.0
    scored = [
        (sign * values[row.step], row.step) for row in rows if math.isfinite(values.get(row.step, math.nan))
    ]
    return max(scored)[1] if scored else None


# -- judge and record -----------------------------------------------------------------------------------------------------
def judge(attempt: Run) -> AttemptEnd:
    """Say what the attempt came to, and decide what becomes of its trial. Raises LeaseLost when there is nothing to say."""
    attempt.pulse.stop()
    if attempt.pulse.lost is not None and not isinstance(attempt.last, Returned):
        raise attempt.pulse.lost
    evidence = Evidence(
        last=attempt.last,
        exit=attempt.exit or Exit(),
        cut=attempt.cut,
        timeout_s=attempt.timeout_s,
        import_s=attempt.station.settings.import_s,
        last_step=attempt.last_step,
        memory_limit_bytes=attempt.station.memory_limit_bytes,
        stop=attempt.pruner.decision if attempt.pruner else None,
        keeps_score=attempt.pruner is not None and attempt.pruner.keeps_score,
    )
    return end_of(attempt, faults.classify(evidence))


def end_of(attempt: Run, verdict: Verdict) -> AttemptEnd:
    """The verdict as the attempt's end, with what was measured."""
    told = attempt.last.peak_memory_bytes if isinstance(attempt.last, Returned) else 0
    return faults.attempt_end(
        verdict,
        faults=attempt.lease.faults,
        retry_attempts=attempt.lease.spec["retry"]["attempts"],
        has_checkpoint=attempt.has_checkpoint,
        has_progressed=attempt.has_progressed,
        notes=attempt.notes,
        device_s=time.monotonic() - attempt.started_at if attempt.started_at else 0.0,
        peak_memory_bytes=max(told, attempt.exit.peak_memory_bytes if attempt.exit else 0),
        log_tail=attempt.log.tail(),
    )


def conclude(attempt: Run, end: AttemptEnd) -> None:
    """Record and announce, beside the runner. Where an order ends the slot's work nothing comes after: then here and now.

    A study that limits how many of its trials run at once must see this end before its next lease.
    """
    station, lease = attempt.station, attempt.lease

    def write_down() -> None:
        announce(attempt, record(attempt, end))

    def write_down_aside() -> None:
        with answering(attempt):
            write_down()

    wait_for_the_end_before(station)
    if station.orders.terminated or station.orders.draining():
        write_down()
    else:
        state = moved(TRIAL_TRANSITIONS, TrialState.RUNNING, end.trial_event, thing="trial")
        attempt.came_of = described(lease, state, end.score, end.detail)
        station.recorder.put(write_down_aside, first=lease.spec.get("parallel") is not None)


def wait_for_the_end_before(station: Station) -> None:
    """Until how the trial before ended is written, or an order to stop comes."""
    recorder, orders = station.recorder, station.orders
    while recorder.busy and not orders.draining() and not orders.terminated:
        wait([recorder.fileno(), orders.drain_fd, orders.terminated_fd], math.inf)


def record(attempt: Run, end: AttemptEnd) -> TrialRecord:
    """Write the last reports and the end, until the store has them.

    A worker that is told to stop meanwhile gives up after the checkpoint's grace: the lease lapses, and the trial runs again.
    Raises LeaseLost (the store has kept the result as late evidence).
    """
    station, lease, gone_at = attempt.station, attempt.lease, math.inf
    patient = Patience(f"{lease.study} trial {lease.number}: its end")
    revoked = attempt.cut is Cut.REVOKED and station.orders.revoked(attempt.ticket, REVOKE_WORD_S)
    while True:
        try:
            with suppress(LeaseLost):  # finish_attempt will say it again, and keep the result as evidence
                attempt.pulse.flush(station.store)
            return cancel(attempt) if revoked else station.store.finish_attempt(attempt.lease.token, end)
        except StoreUnavailable as error:
            if station.orders.draining() and gone_at == math.inf:
                gone_at = time.monotonic() + station.settings.checkpoint_grace_s
            if time.monotonic() >= gone_at:
                raise
            patient.pause(station, error)


def cancel(attempt: Run) -> TrialRecord:
    """A user revoked the ticket: the trial is CANCELLED, never retried; also if the main process was faster."""
    store, lease = attempt.station.store, attempt.lease
    try:
        return store.cancel_trial(lease.study_id, lease.number, REVOKED)
    except IllegalTransition:
        return store.trial(lease.study_id, lease.number)


def announce(attempt: Run, trial: TrialRecord) -> None:
    """Tell the coordinator; files of a trial that has ended are deleted. Nobody waits for either."""
    lease, station = attempt.lease, attempt.station
    attempt.came_of = described(lease, trial.state, trial.score, trial.detail)
    log.info("%s", attempt.came_of)
    station.announce(TrialEnded(lease.study_id, lease.number, lease.attempt), attempt.came_of)
    if trial.state in ENDED and attempt.has_checkpoint:
        station.heartbeat.after(lambda: forget_checkpoints(attempt))


# -- other ends -----------------------------------------------------------------------------------------------------------
def step_aside(attempt: Run, lost: LeaseLost) -> None:
    """Somebody else owns the trial, or it was stopped: end the process at once and write nothing more."""
    lease, store = attempt.lease, attempt.station.store
    attempt.came_of = (
        f"{lease.study} trial {lease.number} attempt {lease.attempt}: stepped aside, {lost.reason}"
    )
    log.info("%s", attempt.came_of)

    def tidy() -> None:
        if store.trial(lease.study_id, lease.number).state in ENDED:
            forget_checkpoints(attempt)

    if attempt.has_checkpoint:
        attempt.station.heartbeat.after(tidy)


def give_back(attempt: Run, detail: str) -> None:
    """Our own failure: end the attempt as infrastructure, if the store can still be told."""
    attempt.pulse.stop()
    lease = attempt.lease
    attempt.came_of = f"{lease.study} trial {lease.number} attempt {lease.attempt}: {detail}"
    try:
        end = end_of(attempt, faults.of_words(from_words(Fault.INFRASTRUCTURE, detail)))
        announce(attempt, attempt.station.store.finish_attempt(lease.token, end))
    except CeleriacError as error:
        log.warning(
            "the lease of trial %s of study %s is left to lapse: %s", lease.number, lease.study, error
        )


def forget_checkpoints(attempt: Run) -> None:
    """Delete all checkpoints of a trial that has ended: rows first, then files."""
    lease, station = attempt.lease, attempt.station
    rows = station.store.checkpoints(lease.study_id, lease.number)
    station.store.forget_checkpoints(lease.study_id, lease.number, [row.path for row in rows])
    checkpoints.remove(station.settings.checkpoint_root, lease.study_id, lease.number)


def described(lease: Lease, state: TrialState, score: float | None, detail: str) -> str:
    """One line for the log and for Flower: which attempt, and what came of it."""
    value = detail if score is None else f"{score:g}"
    return f"{lease.study} trial {lease.number} attempt {lease.attempt}: {state} {value}".rstrip()


# -- waiting --------------------------------------------------------------------------------------------------------------
def wait(descriptors: Sequence[int], within_s: float) -> None:
    """Until one of them is readable, or the time is over (infinity: for ever)."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(None if within_s == math.inf else max(0.0, within_s) * 1000)


def patience() -> Iterator[float]:
    """Seconds until the next try: 0.2, 0.5, 1, then 2 for ever."""
    return chain((0.2, 0.5, 1.0), repeat(2.0))


@dataclass(slots=True)
class Patience:
    """Waits between the tries of one deed for which the store is away; says so once, however long that is."""

    what: str
    _delays: Iterator[float] = field(default_factory=patience)
    _told: bool = False

    def pause(self, station: Station, error: StoreUnavailable) -> None:
        """Wait before the next try; an order to stop ends the wait, unless it was given before."""
        if not self._told:
            log.warning("%s waits for the store: %s", self.what, error)
        self._told = True
        orders = station.orders
        wait([] if orders.draining() else [orders.drain_fd, orders.terminated_fd], next(self._delays))
