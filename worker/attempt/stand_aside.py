"""What a slot does with tickets that it should leave to others, and with itself when it is sick.

A ticket that is not for this slot goes back on its queue a moment later, so that a free slot elsewhere finds it and
nothing turns hot. A sick slot takes no ticket at all: its runner waits inside the last one, as Celery gives a slot one
at a time.
"""

import logging
import time

from celeriac.decide.put_aside import after_attempt
from celeriac.domain.errors import BrokerUnavailable
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import DriveStudy, JoinGang, RunTrial
from celeriac.domain.records import Fault, Lease
from celeriac.runtime.broker import DRIVE_QUEUE, trial_queue
from celeriac.store.api import AttemptEnd
from worker.attempt.context import WorkerContext
from worker.attempt.left_to_others import Left

log = logging.getLogger(__name__)

#: For so long a ticket that is not for this slot is held.
HELD_S = 1.0
#: What is noted in the store outlasts the wait, until the next look has said the same.
MARGIN_S = 15.0


def passed_on(ticket: RunTrial | JoinGang, context: WorkerContext) -> str:
    """Give the ticket back to its queue if it is not for this slot, and say why; else "" at once."""
    left = _left_to_others(ticket, context)
    if left is None:
        return ""
    name = f"{left.study} trial {ticket.trial} attempt {ticket.attempt}"
    if left.is_placed:
        _placed_anew(ticket, left, context)
        return f"{name}: to be placed elsewhere, {left.reason}"
    context.control.pause(HELD_S)
    try:
        context.tickets.send(
            ticket,
            queue=trial_queue(left.gpus),
            summary=f"{name} left to another slot",
            task_id=None if isinstance(ticket, JoinGang) else f"{left.study}-{ticket.trial}-{ticket.attempt}",
        )
    except BrokerUnavailable as error:
        log.warning("%s", error)  # the reaper sends it again
    return f"{name}: left to another slot, {left.reason}"


def _placed_anew(ticket: RunTrial | JoinGang, left: Left, context: WorkerContext) -> None:
    """Have a place chosen that is not this one: the coordinator knows from the store what this slot does not take."""
    try:
        if context.store.unplace(ticket.study, ticket.trial, ticket.attempt):
            context.tickets.send(DriveStudy(ticket.study), queue=DRIVE_QUEUE, summary=f"{left.study} drive")
    except Exception as error:  # the reaper does it later
        log.warning("study %d trial %d is not placed anew yet: %s", ticket.study, ticket.trial, error)


def _left_to_others(ticket: RunTrial | JoinGang, context: WorkerContext) -> Left | None:
    memory, now = context.left_to_others, time.monotonic()
    study = memory.studies.get(ticket.study)
    if study is not None and study.until > now:
        return study
    if isinstance(ticket, JoinGang):  # whose fault a gang's was is not this slot's to know: it is needed again at once
        return None
    trial = memory.trials.get((ticket.study, ticket.trial))
    if trial is None or trial.until <= now or trial.is_placed or not _has_others(context, trial.gpus):
        return None
    return trial


def _has_others(context: WorkerContext, gpus: float) -> bool:
    """Whether another live slot could run it."""
    try:
        return context.store.has_other_slots(context.slot.name, gpus)
    except Exception as error:  # whatever Postgres answers, the slot goes on
        log.warning("whether there are other slots is not known: %s", error)
        return False


def without_code(lease: Lease, reason: str, context: WorkerContext) -> AttemptEnd:
    """How an attempt ends whose study's code is not on this host: given back at no charge, and the study is left to
    others for a while.
    """
    said = f"{context.settings.host}: {reason}"
    left = context.left_to_others.leave_study(lease, said)
    log.error("study %s: %s", lease.study, reason)
    _note(lease, said, left.wait_s + MARGIN_S, context, study_only=True)
    goes_on = TrialEvent.PARK if lease.checkpoints else TrialEvent.RETRY
    return AttemptEnd(AttemptEvent.RELEASE, goes_on, detail=f"not run on {said}")


def rest_if_sick(lease: Lease, fault: Fault | None, context: WorkerContext) -> None:
    """Look back on an attempt that ended here with that fault: a slot where one trial after the other faults rests for
    a while.
    """
    memory = context.left_to_others
    decision = after_attempt(memory.streak, (lease.study_id, lease.number), fault)
    memory.streak = decision.streak
    if fault is Fault.INFRASTRUCTURE:
        memory.leave_trial(lease, "it ended here by a fault of infrastructure before")
    if decision.wait_s:
        log.error("%s", decision.reason)
        _note(lease, decision.reason, decision.wait_s, context, study_only=False)
        context.control.pause(decision.wait_s)


def _note(lease: Lease, reason: str, for_s: float, context: WorkerContext, *, study_only: bool) -> None:
    """Say in the store what this slot does not take; a store that is away is not waited for."""
    try:
        context.store.put_aside(lease.token, reason, for_s, study_only=study_only)
    except Exception as error:
        log.warning("not noted: %s", error)
