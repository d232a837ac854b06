"""Gives back what a dead process held: its leases at once, instead of when they lapse; called by those who saw it
die.
"""

import logging

from celeriac.decide.retry import after_fault
from celeriac.domain.errors import BrokerUnavailable, CeleriacError, LeaseLost
from celeriac.domain.messages import RunTrial, TrialEnded
from celeriac.domain.records import Fault, OpenAttempt
from celeriac.runtime.broker import DRIVE_QUEUE, Tickets
from celeriac.store import Store
from celeriac.store.api import AttemptEnd

log = logging.getLogger(__name__)


def release(
    store: Store, tickets: Tickets, worker: str, why: str, *, only: RunTrial | None = None
) -> list[OpenAttempt]:
    """End the open attempts of this worker (or `only` the one that a ticket names) as infrastructure faults, and its
    membership of a gang.

    Returns those that were ended here; one that the database refuses for a reason of its own is said and left to
    lapse. Raises TryAgain: then all of them lapse, and the reaper does the same.
    """
    for _, study, number, attempt_no in store.give_back_members(worker, why):
        log.warning("%s is no member of the gang of %s trial %d attempt %d: %s", worker, study, number, attempt_no, why)
    ended = []
    for attempt in store.own_attempts(worker):
        if only is None or (attempt.study_id, attempt.number, attempt.attempt) == (
            only.study,
            only.trial,
            only.attempt,
        ):
            try:
                store.finish_attempt(attempt.token, _end(attempt, why))
            except LeaseLost:
                continue
            except CeleriacError:
                raise
            except Exception as error:
                told = f"{attempt.study} trial {attempt.number} attempt {attempt.attempt}"
                log.error("the lease of %s is left to lapse: %s: %s", told, type(error).__name__, error)
                continue
            ended.append(attempt)
            _tell(tickets, attempt, why)
    return ended


def _end(attempt: OpenAttempt, why: str) -> AttemptEnd:
    decision = after_fault(
        Fault.INFRASTRUCTURE,
        faults=attempt.faults,
        has_checkpoint=attempt.has_checkpoint,
        has_progressed=attempt.has_progressed,
    )
    return AttemptEnd(
        decision.attempt_event,
        decision.trial_event,
        fault=Fault.INFRASTRUCTURE,
        detail=f"{why}; {decision.reason}",
        device_s=attempt.heard_s,
        forgives=decision.forgives,
        wait_s=decision.wait_s,
    )


def _tell(tickets: Tickets, attempt: OpenAttempt, why: str) -> None:
    summary = f"{attempt.study} trial {attempt.number} attempt {attempt.attempt}: {why}"
    log.warning("released %s", summary)
    ended = TrialEnded(attempt.study_id, attempt.number, attempt.attempt)
    try:
        tickets.send(ended, queue=DRIVE_QUEUE, summary=summary)
    except BrokerUnavailable as error:
        log.warning("%s", error)
