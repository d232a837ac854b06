"""One study, one turn: look, decide, do, until there is nothing left to do. This page is the turn's table of contents.

Rules: what to do is decided in `celeriac.decide.turn`; every write names the turn it was decided on, and a stale one
is dropped with the whole turn (another coordinator is at it); rows come before tickets; what is wrong with one study
pauses that study, and never stops another.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from threading import Lock
from time import monotonic

from celeriac.decide.buffer import Sampling, learns, most_replaced
from celeriac.decide.device_budget import (
    DeviceBudget,
    budgets_of,
    has_device_budget,
    night_of_budget,
    runs_to_confirm,
    used_up,
    used_up_in_s,
)
from celeriac.decide.sampler import chosen_sampler
from celeriac.decide.steps import after_adding, after_queueing, after_replacing
from celeriac.decide.stop_study import newest_needed
from celeriac.decide.turn import Limits, NextDecision, what_next
from celeriac.domain.errors import (
    BrokerUnavailable,
    CallerError,
    CeleriacError,
    IllegalTransition,
    SamplerFailed,
    StaleTurn,
    StoreUnavailable,
    StudyPaused,
    ValueRefused,
)
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.provenance import By, Provenance
from celeriac.domain.records import (
    CLOSED,
    Resources,
    Snapshot,
    Source,
    StudyRecord,
    StudyState,
    Suggestion,
    TrialRecord,
)
from celeriac.domain.stop_rules import Pbt, StopStudy
from celeriac.domain.study_file import StudySpec
from celeriac.runtime.broker import Tickets
from celeriac.runtime.logs import about
from celeriac.runtime.metrics.tally import TALLIES
from celeriac.store import Store, is_refusal
from coordinator import deadlines, gangs, nights
from coordinator.fleet import Fleet
from coordinator.outbox.program import Deliverer
from coordinator.preemption import make_room
from coordinator.retention import Retention
from coordinator.specs import Specs
from coordinator.suggest.messages import SuggestRequest, SuggestService
from coordinator.tickets import send_trials
from coordinator.traces import Traces

log = logging.getLogger(__name__)

#: For so long somebody else may hold a study's lock: a tick later the study is driven all the same.
LOCK_PATIENCE_S = 15.0
#: So long after a budget is expected to be used up it is looked at: a look just before would be for nothing.
LOOK_S = 0.05


@dataclass(slots=True)
class Coordinator:
    """What a turn works with: the rows, the way to send tickets, and who makes suggestions.

    `lock`: one turn at a time, whether a ticket or an answer calls for it; a turn takes milliseconds, for it waits for
    nobody's model. `refused_at`: since when, by `clock`, somebody else was found to hold a study's lock whenever this
    one wanted it. `tick_s`: how often beat says that time has passed. `seen`: for each study, how many ends its last
    turn saw. `preempt_after_s`: for so long a study waits before trials of lesser ones are asked back (0: for ever);
    `short_since`: since when it has. `follow_later` has a study driven after so many seconds; `looks_at`: when that is
    due, by `clock`.
    """

    store: Store
    tickets: Tickets
    suggesters: SuggestService
    deliverer: Deliverer | None = None
    specs: Specs = field(default_factory=Specs)
    fleet: Fleet = field(default_factory=Fleet)
    lock: Lock = field(default_factory=Lock)
    tick_s: float = 5.0
    clock: Callable[[], float] = monotonic
    refused_at: dict[int, float] = field(default_factory=dict)
    ticked_at: dict[str, float] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    preempt_after_s: float = 120.0
    short_since: dict[int, float] = field(default_factory=dict)
    follow_later: Callable[[int, float], None] | None = None
    looks_at: dict[int, float] = field(default_factory=dict)
    traces: Traces | None = None
    retention: Retention | None = None

    def look_again(self, study_id: int, after_s: float | None) -> None:
        """Drive a study after so many seconds, where no tick comes before and nobody looks then already. When this is
        forgotten, the tick does it.
        """
        if self.follow_later is None or after_s is None or not 0 < after_s < self.tick_s:
            return
        now = self.clock()
        if not now + LOOK_S / 2 < self.looks_at.get(study_id, -inf) <= now + after_s + LOOK_S:  # none is to come
            self.looks_at[study_id] = now + after_s + LOOK_S
            self.follow_later(study_id, after_s + LOOK_S)

    def takes_tick(self, kind: str) -> bool:
        """Whether to act on a tick of this kind: of those that waited together in the queue, only on the first.

        By this process's own clock, for the clocks of two hosts may differ.
        """
        now = self.clock()
        if now - self.ticked_at.get(kind, -inf) < self.tick_s / 2:
            return False
        self.ticked_at[kind] = now
        return True


@dataclass(slots=True)
class _Turn:
    """What one turn has found out: why the sampler has nothing left to add, or to replace with (`keep`); how many
    ends it has seen.
    """

    exhausted: str = ""
    keep: bool = False
    seen: int = 0


def drive(coordinator: Coordinator, study_id: int, *, ended_no: int = 0) -> str:
    """Drive one study as far as it goes now, and those to which a free slot belongs; returns why the first stops there.

    `ended_no`: the end that asks for this turn (0: something else does). Of ends that come together, the first's turn
    sees them all. Where a retry has made the places smaller meanwhile, the next tick makes up for an end that is taken
    for an old one. Raises StoreUnavailable, UnknownStudy.
    """
    with coordinator.lock:  # a turn that is under way may see it
        if 0 < ended_no <= coordinator.seen.get(study_id, 0):
            return f"an earlier turn has seen end {ended_no}"
    said = _drive(coordinator, study_id)
    _drive_next_in_turn(coordinator, study_id)
    return said


def drive_all(coordinator: Coordinator) -> None:
    """Drive every study that is open or running, and move every firing whose stage is over.

    One that goes wrong is logged, and the others are driven. Raises StoreUnavailable.
    """
    with coordinator.lock:  # or a study that was opened in between would be forgotten
        studies = coordinator.store.studies_to_drive()
        coordinator.suggesters.keep_only(studies)
        coordinator.fleet.keep_only(studies)
        coordinator.fleet.tick(coordinator.store.put_asides())
        coordinator.seen = {each: ends for each, ends in coordinator.seen.items() if each in set(studies)}
        coordinator.looks_at = {each: at for each, at in coordinator.looks_at.items() if each in set(studies)}
    for study_id in studies:
        _drive_apart(coordinator, study_id)
    nights.step_all(coordinator.store, coordinator.tickets)
    nights.fail_held(coordinator.store)
    with coordinator.lock:
        coordinator.fleet.look(coordinator.store, coordinator.clock())
        deadlines.announce(coordinator.store, coordinator.fleet)
        after_s = coordinator.preempt_after_s
        make_room(coordinator.store, coordinator.fleet, coordinator.short_since, coordinator.clock(), after_s)
    _drive_next_in_turn(coordinator)
    with coordinator.lock:
        gangs.grow(coordinator.store, coordinator.fleet)


def _drive_next_in_turn(coordinator: Coordinator, driven: int | None = None) -> None:
    """While slots want tickets, drive the study that is to be given the next; one that cannot use it passes."""
    seen = {driven}
    while True:
        with coordinator.lock:
            following = coordinator.fleet.next_in_turn()
            if following is None:
                return
            passes = following in seen and not coordinator.fleet.has_changed_since(following)
            if passes:
                coordinator.fleet.passes(following)
        if not passes:
            _drive_apart(coordinator, following)
            seen.add(following)


def _drive_apart(coordinator: Coordinator, study_id: int) -> None:
    """Drive one study of many: whatever goes wrong with it is logged and no other study's matter. Raises
    StoreUnavailable.
    """
    try:
        _drive(coordinator, study_id)
    except StoreUnavailable:
        raise
    except Exception:
        TALLIES.add("turn_errors_total")
        log.exception("study %d: its turn failed; the next tick tries again", study_id)
        coordinator.fleet.passes(study_id)


def _drive(coordinator: Coordinator, study_id: int) -> str:
    TALLIES.add("turns_total")
    with coordinator.lock, about(study=study_id), coordinator.store.driving(study_id) as mine:
        turn = _Turn()
        try:
            if not _may_drive(coordinator, study_id, mine):
                return "another coordinator drives this study"
            said = _turn(coordinator, study_id, turn)
            coordinator.seen[study_id] = turn.seen  # not before: what did not come to its end is done again
            return said
        except StaleTurn:
            return "another coordinator moved this study on"
        except IllegalTransition as error:
            return f"the study was moved meanwhile: {error}"
        except (StudyPaused, CallerError, ValueRefused) as error:
            return _paused(coordinator, study_id, error)
        except Exception as error:
            if not is_refusal(error):
                raise
            return _paused(coordinator, study_id, refused(error))
        finally:
            coordinator.fleet.turn_over(study_id)


def _may_drive(coordinator: Coordinator, study_id: int, mine: bool) -> bool:
    """Whether to drive: with the study's lock, or without it once somebody has held it for LOCK_PATIENCE_S.

    A turn takes milliseconds, so whoever holds it so long stands still, or wants to stop the study. The lock only
    saves work: of two that drive, the turn number refuses one.
    """
    if mine:
        coordinator.refused_at.pop(study_id, None)
        return True
    now = coordinator.clock()
    if now - coordinator.refused_at.setdefault(study_id, now) < LOCK_PATIENCE_S:
        return False
    log.warning("study %d: driven although another coordinator has held its lock for long", study_id)
    return True


def _turn(coordinator: Coordinator, study_id: int, turn: _Turn) -> str:
    """Step after step until the decision, or what is left, is to wait. The study is read once, and again where it
    moved otherwise.
    """
    fleet = coordinator.fleet
    fleet.look(coordinator.store, coordinator.clock())
    snapshot: Snapshot | None = None
    while True:
        snapshot = snapshot or coordinator.store.snapshot(study_id)
        study = snapshot.study
        turn.seen = study.counts.ended
        if study.state in CLOSED:
            return _closed(coordinator, snapshot)
        spec = coordinator.specs.of(study)
        share, slots = fleet.share_of(snapshot, spec), fleet.slots_of(study_id, spec.resources)
        sampling = _sampling(coordinator, spec, study, turn)
        budgets = _device_budgets(coordinator.store, study, spec)
        coordinator.look_again(study_id, used_up_in_s(budgets, study.counts.queued * spec.resources.width))
        decision = what_next(
            _with_tail(coordinator.store, snapshot, most_replaced(study, min(share.slots, slots), sampling)),
            _limits(spec),
            slots,
            sampling,
            share=share,
            exhausted=turn.exhausted,
            newest=_newest(coordinator.store, study, spec.stop_study),
            used_up=used_up(budgets),
        )
        if decision.event is not None:
            _move(coordinator, snapshot, decision.event, decision.reason)
            snapshot = None
        elif decision.queue:
            snapshot = _queue(coordinator, snapshot, decision, spec.resources)
        elif decision.replace or decision.add:
            now = snapshot.now
            snapshot = _suggest(coordinator, snapshot, decision, spec, turn)
            if snapshot is None:
                fleet.asks(study_id, now)
                return f"{decision.reason}: suggestions are on their way"
        else:
            fleet.waits(study_id, share)
            return "; ".join(filter(None, (decision.reason, fleet.placing.decision.waits.get(study_id, ""))))


def _limits(spec: StudySpec) -> Limits:
    rule = spec.stop_early
    population = rule.population if isinstance(rule, Pbt) else None
    stop, in_order = spec.stop_study, spec.reproducible
    return Limits(spec.budget.trials, spec.budget.wall_s, stop, in_order, pack=spec.pack, population=population)


def _with_tail(store: Store, snapshot: Snapshot, most: int) -> Snapshot:
    """The snapshot with the newest waiting trials, as many as could be suggested anew."""
    return replace(snapshot, tail=tuple(store.newest_waiting(snapshot.study.id, most))) if most else snapshot


def _sampling(coordinator: Coordinator, spec: StudySpec, study: StudyRecord, turn: _Turn) -> Sampling:
    suggest_s = coordinator.suggesters.suggest_s(study.id)
    return Sampling(suggest_s, learns(chosen_sampler(spec, study).name) and not turn.keep)


def _device_budgets(store: Store, study: StudyRecord, spec: StudySpec) -> list[DeviceBudget]:
    """Its budgets of device time; read only where there are any."""
    if not has_device_budget(study, spec):
        return []
    night, runs = night_of_budget(spec, study.due_at), runs_to_confirm(study, spec)
    return budgets_of(study, spec, store.device_spent(study.id, night, runs=runs))


def _newest(store: Store, study: StudyRecord, stop: StopStudy | None) -> list[TrialRecord]:
    """The trials that were suggested last, as many as the decision to end the study looks at."""
    count = newest_needed(stop)
    return store.trials(study.id, after=study.next_number - 1 - count, limit=count) if count else []


def _move(coordinator: Coordinator, snapshot: Snapshot, event: StudyEvent, reason: str) -> None:
    """Start, pause or finish the study. What follows from a finished one comes later (`_closed`): until it is
    closed, its best may change.
    """
    study = snapshot.study
    coordinator.store.move_study(study.id, event, reason, turn=study.turn)
    log.info("study %s: %s (%s)", study.name, event, reason)


def _closed(coordinator: Coordinator, snapshot: Snapshot) -> str:
    """A closed study: no trial of it ends any more, and its firing, if it has one, goes on."""
    nights.study_closed(coordinator.store, coordinator.tickets, snapshot.study)
    coordinator.suggesters.forget(snapshot.study.id)
    coordinator.fleet.forget(snapshot.study.id)
    return f"{snapshot.study.name} is {snapshot.study.state}: {snapshot.study.reason}"


def _queue(coordinator: Coordinator, snapshot: Snapshot, decision: NextDecision, asked: Resources) -> Snapshot | None:
    """Queue trials and send their tickets. None: look again, since a trial was not where the snapshot saw it, or more
    are ready than it lists.
    """
    study, fleet = snapshot.study, coordinator.fleet
    places = fleet.places_of(study.id, decision.queue)
    numbers = tuple(places) if fleet.is_placed(study.id) else decision.queue
    queued = coordinator.store.queue_trials(study.id, study.turn, numbers, places)
    if places:
        fleet.placed(study.id, {each.number: places[each.number] for each in queued})
    coordinator.suggesters.carry(study.id, study.turn)
    try:
        send_trials(coordinator.tickets, study.name, asked, queued)
    except BrokerUnavailable as error:
        log.warning("study %s: tickets wait for the reaper: %s", study.name, error)
    after = after_queueing(snapshot, set(numbers))
    are_listed = after.ready or not after.study.counts.waiting + after.study.counts.paused
    return after if are_listed and len(queued) == len(numbers) else None


def _suggest(
    coordinator: Coordinator, snapshot: Snapshot, decision: NextDecision, spec: StudySpec, turn: _Turn
) -> Snapshot | None:
    """Add trials, or give waiting ones better parameters; None: the suggestions for that are being made. Raises
    SamplerFailed.
    """
    study, store = snapshot.study, coordinator.store
    if study.next_number == 0 and spec.default is not None:
        default = Suggestion(spec.default, Source.DEFAULT, Provenance(By.STUDY_FILE).written())
        store.add_trials(study.id, study.turn, [_in_file_order(spec, default)])
        return after_adding(snapshot, 1)
    first, count = study.next_number, decision.add
    if decision.replace:
        first, count = decision.replace[0], len(decision.replace)
    answer = coordinator.suggesters.answer(SuggestRequest(study, first, count))
    if answer is None:
        return None
    if answer.error:
        raise SamplerFailed(answer.error)
    suggestions = [_in_file_order(spec, each) for each in answer.suggestions[:count]]
    if decision.replace:
        turn.keep = len(suggestions) < count  # no space is left for better ones
        if turn.keep:
            return snapshot
        store.replace_waiting(study.id, study.turn, first, suggestions)
        log.debug("study %s: %d trials suggested anew: %s", study.name, count, decision.reason)
        return after_replacing(snapshot)
    if suggestions:
        store.add_trials(study.id, study.turn, suggestions)
        return after_adding(snapshot, len(suggestions))
    turn.exhausted = f"the {chosen_sampler(spec, study).name} sampler has tried every point of the space"
    return snapshot


def _in_file_order(spec: StudySpec, suggestion: Suggestion) -> Suggestion:
    """Its parameters as the study file lists them, since that is how people look for them."""
    params = suggestion.params
    return replace(suggestion, params={name: params[name] for name in spec.space.parameters if name in params})


def refused(error: Exception) -> StudyPaused:
    """What to tell of a statement that the database refused for a reason that no rule of ours foresees."""
    said = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0]
    return StudyPaused(f"Postgres refuses to write its rows ({said}): mend what was changed in the database")


def _paused(coordinator: Coordinator, study_id: int, error: CeleriacError) -> str:
    """Pause a study that cannot go on as it is, and forget it; what became of it."""
    coordinator.suggesters.forget(study_id)
    coordinator.fleet.forget(study_id)
    return pause(coordinator.store, study_id, error)


def pause(store: Store, study_id: int, error: CeleriacError) -> str:
    """Pause a study, if it is open; its reason is the error's. What became of it."""
    study = store.study(study_id)
    if study.state not in (StudyState.OPEN, StudyState.RUNNING):
        return f"{study.name} is {study.state}: {study.reason}"
    reason = f"{error} (then: celeriac resume {study.name})"
    try:
        store.move_study(study_id, StudyEvent.PAUSE, reason, turn=study.turn)
    except (StaleTurn, IllegalTransition):
        return f"{study.name} was moved meanwhile; its next turn looks again"
    log.error("study %s paused: %s", study.name, error, exc_info=error)
    return reason
