"""A schedule's firings, and the verdict on what they found. Rules: (schedule, slice, due time) is unique in the store,
so each firing opens each slice's study exactly once, however many clocks look and whatever crashes; the verdict on a
study is written after the study closed, when no trial of it can end any more, and once.
"""

import logging

from celeriac.decide.due import DueDecision, due
from celeriac.decide.firing import firings_of
from celeriac.decide.promotion import judge
from celeriac.domain.errors import BrokerUnavailable, CeleriacError, TryAgain, UnknownTrial
from celeriac.domain.records import Champion, Schedule, StudyRecord, TrialRecord
from celeriac.runtime.broker import Tickets
from celeriac.store import Store
from celeriac.store.firing import fire as fire_free
from coordinator.tickets import wake

log = logging.getLogger(__name__)

#: For so long after its close a tick looks for a study's verdict: longer than any outage of a coordinator.
UNJUDGED_WITHIN_S = 30 * 86_400.0


def fire_due(store: Store, tickets: Tickets) -> None:
    """Make all firings that are due. One schedule that goes wrong is logged, and the others fire. Raises
    StoreUnavailable.
    """
    for schedule in store.due_schedules():
        try:
            fire(store, tickets, schedule, due(schedule, store.now(), begun=_is_begun(store, schedule)))
        except TryAgain:
            raise
        except (CeleriacError, ValueError, LookupError):
            log.exception("schedule %s: its firing failed; the next tick tries again", schedule.name)


def _is_begun(store: Store, schedule: Schedule) -> bool:
    """Whether somebody began the firing that is due, and came not as far as to make the schedule due next time."""
    newest = store.firings(schedule.name, limit=2 * max(len(schedule.slices), 1) + 50)
    return any(each.due_at == schedule.next_due_at and not each.by_hand for each in newest)


def fire(store: Store, tickets: Tickets, schedule: Schedule, decision: DueDecision) -> list[StudyRecord]:
    """Open a study for each slice, then be due next time; returns the studies that this call opened."""
    if decision.fire_at is None:
        return []
    note = decision.reason if decision.skipped else ""
    opened = [
        study
        for candidates in firings_of(schedule, decision.fire_at, note=note)
        if (study := fire_free(store, decision.fire_at, candidates))
    ]
    for each in store.slice_dues(schedule.name):
        if each.next_due_at < decision.next_at:
            store.advance_slice(each, decision.next_at)
    log.info("schedule %s: %s; opened %s", schedule.name, decision.reason, ", ".join(s.name for s in opened))
    for study in opened:
        _wake(tickets, study)
    return opened


def _wake(tickets: Tickets, study: StudyRecord) -> None:
    try:
        wake(tickets, study.id, study.name)
    except BrokerUnavailable as error:
        log.warning("study %s waits for the next tick: %s", study.name, error)


def judge_study(store: Store, study: StudyRecord) -> Champion | None:
    """Write the verdict on a schedule's study, once; None for a study that no schedule opened."""
    if study.schedule is None:
        return None
    champion = next((c for c in store.champions(study.schedule) if c.slice == study.slice), None)
    best = _trial(store, study, study.best_number)
    first = _trial(store, study, 0)
    decision = judge(study, best, first, champion)
    verdict = store.record_champion(
        Champion(
            schedule=study.schedule,
            slice=study.slice,
            study_id=study.id,
            study=study.name,
            trial=None if best is None else best.number,
            params={} if best is None else best.params,
            score=None if best is None else best.score,
            default_score=None if first is None else first.score,
            metrics={} if best is None else best.metrics,
            promoted=decision.promoted,
            reason=decision.reason,
        )
    )
    log.info("study %s: %s: %s", study.name, "promoted" if verdict.promoted else "not promoted", verdict.reason)
    return verdict


def _trial(store: Store, study: StudyRecord, number: int | None) -> TrialRecord | None:
    if number is None:
        return None
    try:
        return store.trial(study.id, number)
    except UnknownTrial:
        return None
