"""What time brings to light: leases that ran out, tickets that nobody has, and studies whose code nobody has. Rule:
nothing here waits for a model.

Every step may be repeated, interrupted or done by two clocks at once: the store's compare-and-set decides.
"""

import logging
from collections.abc import Sequence

from celeriac.decide.lapsed import is_lost, look_again
from celeriac.decide.lost_tickets import lost
from celeriac.decide.retry import after_fault
from celeriac.decide.without_code import without_code
from celeriac.domain.errors import BrokerUnavailable, IllegalTransition, LeaseLost, StaleTurn, StudyPaused
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Fault, Holding, OpenAttempt, ReaperLook, TrialRecord
from celeriac.runtime.broker import TRIAL_QUEUES, Tickets, device_queue, trial_queue
from celeriac.runtime.logs import about
from celeriac.runtime.metrics.tally import TALLIES
from celeriac.store import Store, is_refusal
from celeriac.store.api import AttemptEnd
from coordinator.tickets import ended, send_trials, wake
from coordinator.turn import pause, refused

log = logging.getLogger(__name__)

PATIENCE_S = 3.0
#: For so long a gang gathers before its tickets are sent again.
GATHERING_S = 10.0
#: Memberships of rounds that are over, and whose own word never came, are forgotten after so long.
FORGOTTEN_S = 60.0
MOST_AGAIN = 1000
MOST_REAPED = 100
#: A ticket that its device has not taken for so long is for a place that was not free after all.
STUCK_S = 30.0
#: The tokens of attempts whose end the database refuses.
_left: set[str] = set()


def reap(store: Store, tickets: Tickets, *, tick_s: float) -> None:
    """End the attempts whose lease ran out while the store answered; their trials go on elsewhere. Raises
    StoreUnavailable.

    `tick_s`: how often this is called.
    """
    look = _look(store, tick_s)
    for attempt in store.expired(limit=MOST_REAPED + len(_left)):
        if not is_lost(attempt, look):
            continue
        end = lapsed(attempt)
        try:
            trial = store.finish_attempt(attempt.token, end, only_expired=True)
        except LeaseLost:
            continue  # renewed, finished, or reaped by another clock meanwhile
        except Exception as error:
            if not is_refusal(error):
                raise
            _leave(store, attempt, refused(error))
            continue
        TALLIES.add("leases_lost_total")
        with about(study=attempt.study_id, trial=attempt.number, attempt=attempt.attempt):
            log.warning("%s trial %d attempt %d: %s", attempt.study, attempt.number, attempt.attempt, end.detail)
        try:
            ended(tickets, trial, attempt.study, attempt.attempt)
        except BrokerUnavailable as error:
            log.warning("%s waits for the next tick: %s", attempt.study, error)


def _leave(store: Store, attempt: OpenAttempt, error: StudyPaused) -> None:
    """Pause the study of an attempt whose end the database refuses. It is left as it is, and keeps nobody else from
    being reaped.
    """
    if attempt.token in _left:
        return
    _left.add(attempt.token)
    log.error("%s trial %d attempt %d is left: %s", attempt.study, attempt.number, attempt.attempt, error)
    try:
        pause(store, attempt.study_id, error)
    except Exception as again:
        if not is_refusal(again):
            raise
        log.error("study %s cannot be paused either: %s", attempt.study, refused(again))


def _look(store: Store, tick_s: float) -> ReaperLook:
    """The reaper's new look, kept in the store; another reaper's where that came first."""
    now, last = store.reaper_look()
    look = look_again(last, now, tick_s=tick_s)
    if look == last or store.keep_look(look, last):
        return look
    kept = store.reaper_look()[1]
    return look if kept is None else kept


def lapsed(attempt: OpenAttempt) -> AttemptEnd:
    """How an attempt ends that nobody has heard of since its lease."""
    decision = after_fault(
        Fault.INFRASTRUCTURE,
        faults=attempt.faults,
        has_checkpoint=attempt.has_checkpoint,
        has_progressed=attempt.has_progressed,
        lease_lapsed=True,
    )
    return AttemptEnd(
        decision.attempt_event,
        decision.trial_event,
        fault=Fault.INFRASTRUCTURE,
        detail=f"{attempt.worker} was not heard of until {attempt.lease_until:%H:%M:%S} UTC: {decision.reason}",
        device_s=attempt.heard_s,
        forgives=decision.forgives,
        wait_s=decision.wait_s,
    )


def resend(store: Store, tickets: Tickets) -> None:
    """Send tickets again for QUEUED trials that have none: each queue by itself. Raises StoreUnavailable,
    BrokerUnavailable.
    """
    claims = [claim for claim in store.claims() if claim.queued]
    placed = [each for each in store.holdings().placed if not each.is_running] if claims else []
    _resend_placed(store, tickets, placed)
    gangs = [claim for claim in claims if claim.resources.is_gang]
    claims = [claim for claim in claims if not claim.resources.is_gang]
    for claim in gangs:
        # Its tickets are gone while it gathers. One that came for nothing is a no-op.
        if tickets.waiting(trial_queue(claim.gpus)) < claim.resources.members:
            oldest = store.unclaimed([claim.study_id], GATHERING_S, limit=MOST_AGAIN)
            _send_again(store, tickets, [each for each in oldest if each.placed is None], "its gang is not complete")
    for queue in TRIAL_QUEUES:
        of_queue = [claim for claim in claims if trial_queue(claim.gpus) == queue]
        queued = sum(claim.queued for claim in of_queue)
        queued -= sum(each.study_id == claim.study_id for each in placed for claim in of_queue)
        if queued <= 0:
            continue
        decision = lost(queued, tickets.waiting(queue))
        if decision.again:
            studies = [claim.study_id for claim in of_queue]
            # Younger rows are left alone: their tickets may be on the way, or in a worker's hands right now.
            oldest = store.unclaimed(studies, PATIENCE_S, limit=min(decision.again, MOST_AGAIN))
            _send_again(store, tickets, [each for each in oldest if each.placed is None], decision.reason)


def _resend_placed(store: Store, tickets: Tickets, placed: Sequence[Holding]) -> None:
    """The same for each device's queue. What waits for a device that is gone, or for too long, is placed anew; of a
    gang every device must be there.
    """
    if not placed:
        return
    alive = {each.uuid for each in store.devices(alive=True) if each.slots}
    stuck = [each for each in placed if not alive.issuperset(each.placed.devices) or each.queued_s > STUCK_S]
    for each in stuck:
        if store.unplace(each.study_id, each.number, each.attempts + 1):
            where = ", ".join(sorted(set(each.placed.devices)))
            log.warning("trial %d of study %d is placed anew: no room on %s", each.number, each.study_id, where)
            wake(tickets, each.study_id, f"study {each.study_id}")
    waiting = [each for each in placed if each not in stuck and each.queued_s > _patience_s(each)]
    again: dict[tuple[int, int], str] = {}
    for device in sorted({device for each in waiting for device in each.placed.devices}):
        here = [each for each in waiting if device in each.placed.devices]
        decision = lost(len(here), tickets.waiting(device_queue(device)))
        for each in sorted(here, key=lambda each: -each.queued_s)[: decision.again]:
            again[each.study_id, each.number] = decision.reason
    for (study_id, number), reason in again.items():
        _send_again(store, tickets, [store.trial(study_id, number)], reason)


def _patience_s(holding: Holding) -> float:
    """How long its tickets may be on the way: those of a gang are gone while it gathers."""
    return GATHERING_S if len(holding.placed.devices) > 1 else PATIENCE_S


def pause_without_code(store: Store) -> None:
    """Pause the studies whose code no live slot has. Raises StoreUnavailable."""
    put_asides = store.put_asides()
    studies = {each.study_id for each in put_asides if each.study_id}
    if not studies:
        return
    devices = store.devices(alive=True)
    for study in map(store.study, sorted(studies)):
        slots = {slot for each in devices if each.is_gpu or not study.gpus for slot in each.slots}
        reason = without_code(study, slots, put_asides)
        if not reason:
            continue
        try:
            store.move_study(study.id, StudyEvent.PAUSE, reason, turn=study.turn)
        except (StaleTurn, IllegalTransition) as error:
            log.info("study %s: %s; the next tick looks again", study.name, error)
        else:
            log.error("study %s paused: %s", study.name, reason)


def _send_again(store: Store, tickets: Tickets, trials: Sequence[TrialRecord], reason: str) -> None:
    """Rows first: what is no longer QUEUED gets no ticket."""
    if not trials:
        return
    touched = store.touch_queued([(trial.study_id, trial.number) for trial in trials])
    studies = {study_id: store.study(study_id) for study_id in {trial.study_id for trial in touched}}
    for trial in touched:
        study = studies[trial.study_id]
        send_trials(tickets, study.name, study.resources, [trial])
        TALLIES.add("tickets_resent_total")
        log.warning("%s trial %d: ticket sent again (%s)", study.name, trial.number, reason)
