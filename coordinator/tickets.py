"""Tickets for trials whose rows are QUEUED. Rule: rows first; a ticket that cannot be sent is left to the reaper."""

from collections.abc import Sequence

from celeriac.domain.messages import DriveStudy, JoinGang, RunTrial, TrialEnded
from celeriac.domain.records import Resources, TrialRecord
from celeriac.runtime.broker import DRIVE_QUEUE, Tickets, device_queue, trial_queue

_MOST_SHOWN = 200


def send_trials(tickets: Tickets, study: str, asked: Resources, trials: Sequence[TrialRecord]) -> None:
    """One ticket a trial, for the attempt that comes next; of a gang one for each member.

    Raises BrokerUnavailable at the first that cannot be sent.
    """
    for trial in trials:
        attempt = trial.attempts + 1
        named = f"{study} trial {trial.number} attempt {attempt}"
        places = trial.placed.devices if trial.placed else ()
        queues = [device_queue(each) for each in places] or [trial_queue(asked.gpus)] * asked.members
        if not asked.is_gang:
            tickets.send(
                RunTrial(trial.study_id, trial.number, attempt),
                queue=queues[0],
                summary=f"{named} {_shown(trial)}",
                task_id=f"{study}-{trial.number}-{attempt}",
            )
            continue
        for member, queue in enumerate(queues):
            tickets.send(
                JoinGang(trial.study_id, trial.number, attempt),
                queue=queue,
                summary=f"{named} slot {member + 1} of {asked.members}: {_shown(trial)}",
            )


def wake(tickets: Tickets, study_id: int, name: str) -> None:
    """Ask for a turn of this study. Raises BrokerUnavailable; the next tick comes anyway."""
    tickets.send(DriveStudy(study_id), queue=DRIVE_QUEUE, summary=f"{name} drive")


def ended(tickets: Tickets, trial: TrialRecord, study: str, attempt: int) -> None:
    """Say that an attempt ended. Raises BrokerUnavailable; the next tick comes anyway."""
    message = TrialEnded(trial.study_id, trial.number, attempt, trial.ended_no or 0)
    tickets.send(message, queue=DRIVE_QUEUE, summary=f"{study} trial {trial.number} ended")


def _shown(trial: TrialRecord) -> str:
    text = " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in trial.params.items()
    )
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
