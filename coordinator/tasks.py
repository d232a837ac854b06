"""The coordinator's Celery tasks: at most ten lines each. Tickets say where to look; rows say what is to be done.

`drive_study` runs on a queue and in a process of its own, so that no model fit delays reaping and firing.
"""

from collections.abc import Mapping
from typing import Any

from celery import shared_task

from celeriac.domain.messages import DriveStudy, TrialEnded, decode
from celeriac.runtime.broker import DRIVE_TASK, FIRE_TASK, REAP_TASK
from celeriac.runtime.logs import about
from coordinator import reaper, replays, schedules
from coordinator.app import current, forgiving
from coordinator.turn import drive, drive_all


@shared_task(name=DRIVE_TASK)
@forgiving
def drive_study(ticket: Mapping[str, Any]) -> None:
    """Drive the study that the ticket names; a tick names none and means all."""
    message = decode(ticket)
    if isinstance(message, TrialEnded):
        with about(study=message.study, trial=message.trial, attempt=message.attempt):
            drive(current(), message.study, ended_no=message.ended_no)
            if traces := current().traces:
                traces.ended(current().store, message.study, message.trial)
    elif isinstance(message, DriveStudy):
        drive(current(), message.study)
    elif current().takes_tick("drive"):
        drive_all(current())
        _did("drive")


@shared_task(name=REAP_TASK)
@forgiving
def reap_leases(ticket: Mapping[str, Any]) -> None:
    """End attempts whose lease ran out, send lost tickets again, and pause studies whose code nobody has."""
    decode(ticket)
    if not current().takes_tick("reap"):
        return
    reaper.reap(current().store, current().tickets, tick_s=current().tick_s)
    reaper.pause_without_code(current().store)
    reaper.resend(current().store, current().tickets)
    current().store.forget_members(reaper.FORGOTTEN_S)
    _did("reap")


@shared_task(name=FIRE_TASK)
@forgiving
def fire_schedules(ticket: Mapping[str, Any]) -> None:
    """Make the firings that are due, and past ones that were asked for; have promotions published, their hooks run."""
    decode(ticket)
    if current().takes_tick("fire"):
        schedules.fire_due(current().store, current().tickets)
        replays.step_all(current().store, current().tickets)
        if deliverer := current().deliverer:
            deliverer.tick(current().store)
        if retention := current().retention:
            retention.tick(current().store)
        _did("fire")


def _did(duty: str) -> None:
    """Note that a tick's work came through: `celeriac doctor` tells by it who is there and does nothing."""
    current().store.did(duty, current().tick_s)
