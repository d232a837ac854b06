"""Following a trial's process: each thing that it tells goes to where it belongs, until its last word or its end.

The runner's thread alone does this. It waits for the process, for control, for the clock, and for what the other
threads found out: a lost lease, records at rungs, a value that the store refused.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Protocol

from celeriac.domain.records import Checkpoint, Report
from worker.attempt import classify
from worker.attempt.classify import Cut
from worker.attempt.early_stop import Pruner
from worker.attempt.run_state import Run
from worker.attempt.wakeup import wait
from worker.process.events import (
    Asked,
    Ended,
    Event,
    Failed,
    Noted,
    Planned,
    Printed,
    Reported,
    Returned,
    Scored,
    Started,
    Stopped,
)
from worker.process.trial_process import TrialProcess

# Reports that are kept while the store is slow or away. A trial that reports more waits: it must not fill this
# process's memory.
MOST_UNWRITTEN = 20_000


def follow(attempt: Run) -> None:
    """Take in what the trial tells until its last word or its end; cut it short where the clock or an order says so."""
    context, process = attempt.context, attempt.process
    while process is not None and not attempt.over:
        watched = [process.fileno(), context.wakeup.fileno(), context.control.terminated_fd]
        if attempt.hand_back_by == math.inf:
            watched.append(context.control.drain_fd)
        wait(watched, min(attempt.deadline, attempt.hand_back_by) - time.monotonic())
        context.wakeup.clear()
        take_in(attempt, process.receive())
        attempt.results.crowded = len(attempt.results.reports) >= MOST_UNWRITTEN
        process.hold(attempt.results.crowded)
        hear_rungs(attempt)
        answer(attempt, process)
        hear_request(attempt, process)
        if attempt.hand_back_by == math.inf and (context.control.draining() or is_left(attempt)):
            process.send("preempt")
            attempt.hand_back_by = time.monotonic() + context.settings.checkpoint_grace_s
        if attempt.membership is not None and attempt.membership.grow:
            process.send("regroup")
        cut = None if attempt.over else reason_to_cut(attempt, time.monotonic())
        if cut is not None:
            cut_short(attempt, process, cut)
    if process is not None:
        take_in(attempt, process.receive())  # what it printed before its last word is in the pipe by now


def is_left(attempt: Run) -> bool:
    """Whether another member of its gang wants the trial handed back."""
    return attempt.membership is not None and bool(attempt.membership.hand_back)


def hear_rungs(attempt: Run) -> None:
    """Judge the records that the store answered, in their order."""
    rungs = attempt.results.rungs
    while not rungs.empty():
        records = rungs.get_nowait()
        if attempt.pruner is not None:
            attempt.pruner.hear(records)


class Hears(Protocol):
    """A trial's process, or its part of a pack's."""

    def send(self, word: Literal["stop"], /) -> None:
        """See `TrialProcess.send`."""

    def answer(self, step: int, /) -> None:
        """See `TrialProcess.answer`."""


def answer(attempt: Run, process: Hears) -> None:
    """Have the trial stopped that is to be stopped, or tell it that it goes on, once its last report was judged."""
    pruner = attempt.pruner
    if pruner is None or attempt.over:
        return
    if pruner.decision is not None:
        process.send("stop")
    elif pruner.goes_on is not None:
        process.answer(pruner.goes_on)
        pruner.goes_on = None


def hear_request(attempt: Run, process: TrialProcess) -> None:
    """Have the trial hand itself back that was asked to, at its next report. Nobody is in a hurry: it is not cut short,
    for then it would lose what it did since its last checkpoint.
    """
    if attempt.kept.asked_back and not attempt.asked_back:
        attempt.asked_back = True
        attempt.log.note(f"asked to hand the trial back: {attempt.kept.asked_back}")
        process.send("preempt")


def reason_to_cut(attempt: Run, now: float) -> Cut | None:
    """Why the trial must end now, if it must."""
    control = attempt.context.control
    if attempt.lost is not None:
        return Cut.LEASE_LOST
    if attempt.results.refused is not None:
        return Cut.VALUE_REFUSED
    if attempt.membership is not None and attempt.membership.is_over:
        return Cut.MEMBER
    if control.terminated and not control.draining():
        return Cut.REVOKED
    if control.terminated or now >= attempt.hand_back_by:
        return Cut.DRAIN
    if now < attempt.deadline:
        return None
    return Cut.TIMEOUT if attempt.called else Cut.IMPORT


def cut_short(attempt: Run, process: TrialProcess, cut: Cut) -> None:
    """End the whole process tree; a score that came in the last moment still counts."""
    attempt.cut = cut
    # Others wait for the devices of a round that is over, and nothing of it is worth a farewell.
    attempt.exit = process.kill(0.0 if cut is Cut.MEMBER else attempt.context.settings.kill_grace_s)


def take_in(attempt: Run, events: Sequence[Event]) -> None:
    """Each event to where it belongs: the log, the heartbeat, or the attempt itself."""
    for event in events:
        match event:
            case Printed():
                attempt.log.write(event.data)
            case Reported():
                take_report(attempt, event)
            case Planned():
                attempt.micro_batch = max(attempt.micro_batch or 0, event.micro_batch)
            case Asked():
                attempt.asked[event.name] = event.value, event.form
            case Noted():
                attempt.log.note(event.text)
            case Started():
                set_off(attempt)
            case Scored():
                await_model(attempt, event)
            case Returned() | Stopped() | Failed():
                attempt.last = event
            case Ended():
                attempt.exit = event.exit


def set_off(attempt: Run) -> None:
    """The objective is called: from here on it is the trial's own time, which a first import is not."""
    attempt.called, attempt.started_at = True, time.monotonic()
    attempt.deadline = attempt.started_at + (attempt.lease.plan.timeout_s or math.inf)


def await_model(attempt: Run, event: Scored) -> None:
    """The score counts from here on. The model has a time of its own to be written in."""
    attempt.scored = event.result
    attempt.deadline = time.monotonic() + attempt.context.settings.model_s


def take_report(attempt: Run, event: Reported) -> None:
    """Have a report written, with its checkpoint."""
    lease, checkpoint = attempt.lease, None
    if event.checkpoint is not None:
        checkpoint = Checkpoint(
            lease.study_id,
            lease.number,
            lease.attempt,
            event.step,
            event.checkpoint.path,
            event.checkpoint.sha256,
            event.checkpoint.size_bytes,
        )
    attempt.last_step = event.step
    report, crossing = (Report(event.step, event.value, classify.clean_metrics(event.metrics), checkpoint), None)
    if attempt.pruner is not None:
        report, crossing = attempt.pruner.take(report, time.monotonic() - attempt.started_at)
        note_missing(attempt, attempt.pruner)
    if checkpoint is None or attempt.uploads is None:
        attempt.context.results.report(attempt.results, report, crossing)
        note_kept(attempt, None if checkpoint is None else event.step)
    else:  # the report at once, and the checkpoint's row when its copy is whole
        attempt.context.results.report(attempt.results, replace(report, checkpoint=None), crossing)
        attempt.uploads.put(report)


def note_kept(attempt: Run, step: int | None) -> None:
    """The checkpoint of this step, if any, is where all hosts see it: the trial can go on from there."""
    if step is not None:
        attempt.has_checkpoint = True
        attempt.has_progressed |= step > max((each.step for each in attempt.lease.checkpoints), default=-1)


def note_missing(attempt: Run, pruner: Pruner) -> None:
    """Say once that a report does not tell what the rule counts by: it is not judged."""
    if pruner.missing and not attempt.unjudged:
        attempt.unjudged = True
        attempt.log.note(
            f"stop_early: the report of step {attempt.last_step} has no number metrics[{pruner.who.rule.resource!r}],"
            " so it is not judged"
        )
