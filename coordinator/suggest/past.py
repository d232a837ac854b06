"""What a night starts from, read from the rows: its first trials, and the earlier studies for its sampler.

Rules: it is read once for a study, from studies that were closed before that one was opened; each suggestion's row
names the earlier studies that it knew and how many of their ends, so it is replayed from exactly these (`earlier_of`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from celeriac.decide.warm_start import MOST_TRIALS, NIGHTS, SISTERS, PastStudy, PastTrial, fitted, gaps, warm_start
from celeriac.domain.errors import SpecInvalid
from celeriac.domain.provenance import By, Provenance
from celeriac.domain.records import Params, Source, Stage, StudyRecord, Suggestion, TrialRecord, TrialState
from celeriac.domain.study_file import StudySpec, parse
from celeriac.store import Store
from coordinator.samplers.api import Observation, observed
from coordinator.samplers.earlier import EarlierStudy

log = logging.getLogger(__name__)

#: An earlier study: its id, how many nights before, whether a sister slice's, how many of its ends are known.
Ref = tuple[int, int, bool, int]


@dataclass(frozen=True, slots=True)
class NightStart:
    """`first`: the trials before any suggestion, behind the default. `refs` names the studies of `earlier`."""

    first: tuple[Suggestion, ...] = ()
    earlier: tuple[EarlierStudy, ...] = ()
    refs: tuple[Ref, ...] = ()

    def first_from(self, place: int) -> list[Suggestion]:
        """The first trials from that place on."""
        return list(self.first[max(place, 0) :])


def night_start(store: Store, study: StudyRecord, spec: StudySpec) -> NightStart:
    """What this study starts from: nothing, where no schedule opened it for a search or its file says no."""
    if study.stage is not Stage.SEARCH or spec.schedule is None or not spec.schedule.warm_start:
        return NightStart()
    known = [(each, _spec_of(each)) for each in store.earlier_studies(study.id, nights=NIGHTS, sisters=SISTERS)]
    readable = [(each, its) for each, its in known if its is not None and its.metric.goal == study.goal]
    gap_of = gaps([each.due_at for each, _ in readable], study.due_at)
    refs = tuple((each.id, gap_of[each.due_at], each.slice != study.slice, each.counts.ended) for each, _ in readable)
    rows = [_trials(store, ref) for ref in refs]
    past = [_past(each, its, ref, of) for (each, its), ref, of in zip(readable, refs, rows, strict=True)]
    decision = warm_start(spec.space, spec.default, _champion(store, study), past)
    log.info("study %s: %s", study.name, "; ".join([decision.reason, *decision.changes]))
    more = {"changes": list(decision.changes)} if decision.changes else {}
    first = tuple(
        Suggestion(each.params, each.source, Provenance(_by(each.source), each.reason, more=more).written())
        for each in decision.first
    )
    earlier = tuple(_earlier(spec, its, ref, of) for (_, its), ref, of in zip(readable, refs, rows, strict=True))
    return NightStart(first, earlier, refs)


def earlier_of(store: Store, spec: StudySpec, refs: Sequence[Ref]) -> tuple[EarlierStudy, ...]:
    """The earlier studies that a suggestion's row names. Raises UnknownStudy when one of them was deleted."""
    found = []
    for ref in refs:
        study = store.study(ref[0])
        found.append(_earlier(spec, parse(study.spec, f"study {study.name}"), ref, _trials(store, ref)))
    return tuple(found)


def _by(source: Source) -> By:
    return By.CHAMPION if source is Source.CHAMPION else By.EARLIER


def _spec_of(study: StudyRecord) -> StudySpec | None:
    """None: another version wrote it, in a way that this one cannot read."""
    try:
        return parse(study.spec, f"study {study.name}")
    except SpecInvalid as error:
        log.warning("study %s cannot be read, so later nights do not start from it: %s", study.name, error)
        return None


def _trials(store: Store, ref: Ref) -> list[TrialRecord]:
    """The newest ends that the reference knows."""
    return store.ended_since(ref[0], max(ref[3] - MOST_TRIALS, 0), min(ref[3], MOST_TRIALS)) if ref[3] else []


def _past(study: StudyRecord, spec: StudySpec, ref: Ref, trials: Sequence[TrialRecord]) -> PastStudy:
    scored = tuple(
        PastTrial(each.number, each.params, each.score)
        for each in trials
        if each.state is TrialState.SCORED and each.score is not None
    )
    return PastStudy(study.name, ref[1], ref[2], spec.space, spec.metric.goal, scored)


def _champion(store: Store, study: StudyRecord) -> Params | None:
    found = None if study.schedule is None else store.champion_of(study.schedule, study.slice)
    return None if found is None else found.params


def _earlier(spec: StudySpec, its: StudySpec, ref: Ref, trials: Sequence[TrialRecord]) -> EarlierStudy:
    found = tuple(each for trial in trials for each in _observation(spec, its, trial))
    return EarlierStudy(ref[0], ref[1], ref[2], found)


def _observation(spec: StudySpec, its: StudySpec, trial: TrialRecord) -> list[Observation]:
    """An earlier trial at its point of tonight's space; none where it has no place there."""
    params = fitted(trial.params, spec.space, spec.default)
    return [] if params is None else [observed(spec.space, its.metric.goal, replace(trial, params=params))]
