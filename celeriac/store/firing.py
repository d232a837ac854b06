"""Firing a slice, and what a firing's next move needs: read in a few verbs, written in one. Rule: nothing of a firing
is left out because a stranger's study has its name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from celeriac.domain.errors import DuplicateStudy, UnknownTrial
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.records import (
    Champion,
    Firing,
    NewFiring,
    NewStudy,
    Night,
    Source,
    Stage,
    StudyRecord,
    TrialRecord,
)
from celeriac.store.api import Store

#: How many names the study of a stage tries.
MOST_NAMES = 100
#: Of so many earlier verdicts on its slice a night learns how noisy they are.
MOST_NIGHTS = 20
#: Of so many earlier firings of its slice it learns whether tuning pays.
MOST_LOOKS = 60


def fire(store: Store, due_at: datetime, candidates: Iterable[NewFiring]) -> Firing | None:
    """Make the first candidate that can be; None when the clock's own firing was made already. Raises DuplicateStudy
    when none can be.
    """
    tried = None
    for each in candidates:
        try:
            firing = store.fire(due_at, each.study, by_hand=each.by_hand, note=each.note)
        except DuplicateStudy as error:
            tried = error
            continue
        if firing is not None or not each.by_hand:
            return firing
    if tried is None:
        return None
    raise tried


def move(store: Store, firing: Firing, decided: FiringMove) -> Firing:
    """Move a firing. Where a stranger has the name of its stage's study, that is called `…-2`, `…-3` and so on.

    Raises StaleTurn, IllegalTransition, and DuplicateStudy when no name is free.
    """
    opening = decided.opening
    if opening is None:
        return store.move_firing(firing.id, firing.turn, decided)
    for k in range(1, MOST_NAMES + 1):
        name = opening.study.name if k == 1 else f"{opening.study.name}-{k}"
        named = replace(decided, opening=replace(opening, study=replace(opening.study, name=name)))
        try:
            return store.move_firing(firing.id, firing.turn, named)
        except DuplicateStudy:
            if k == MOST_NAMES:
                raise
    raise AssertionError("the last name raises")


def night_of(store: Store, firing_id: int) -> Night:
    """One firing as it is now. Raises UnknownSchedule when there is none of that id."""
    firing, plan = store.firing(firing_id), store.firing_plan(firing_id)
    studies = {study.stage: study for study in store.stage_studies([firing_id]) if study.stage}
    search = studies.get(Stage.SEARCH)
    champion = store.champion_of(firing.schedule, firing.slice)
    verdicts = store.verdicts(firing.schedule, slice_=firing.slice, limit=MOST_NIGHTS)
    firings = store.firings(firing.schedule, slice_=firing.slice, limit=MOST_LOOKS)
    earlier = tuple(each for each in firings if each.due_at < firing.due_at)
    return Night(
        firing,
        plan,
        champion,
        studies,
        look=_trials(store, studies.get(Stage.LOOK)),
        first=_trial(store, search, 0),
        again=_again(store, search, champion),
        best=_trial(store, search, search.best_number if search else None),
        pairs=_trials(store, studies.get(Stage.CONFIRM)),
        history=tuple(each for each in verdicts if each.firing_id != firing_id),
        earlier=earlier,
        tallies=_tallies(store, firing, plan),
        learned=_learned(store, plan, earlier),
    )


def _tallies(store: Store, firing: Firing, plan: NewStudy) -> tuple[tuple[float, int], ...]:
    """What a share of false promotions over the whole schedule needs; nothing where the schedule asks for none."""
    asked = plan.spec.get("schedule", {}).get("gate", {}).get("fdr")
    return () if asked is None else tuple(store.night_tallies(firing.schedule, firing.due_at))


def _learned(store: Store, plan: NewStudy, earlier: Iterable[Firing]) -> Mapping[str, Any]:
    """The space as the slice's newest earlier search left it; empty where the file's is all there is."""
    if not plan.spec.get("learn_space"):
        return {}
    studies = store.stage_studies([each.id for each in earlier])
    searches = [each for each in studies if each.stage is Stage.SEARCH and each.spec.get("space")]
    newest = max(searches, key=lambda each: each.id, default=None)
    return {} if newest is None else newest.spec["space"]


def _trials(store: Store, study: StudyRecord | None) -> tuple[TrialRecord, ...]:
    return () if study is None else tuple(store.trials(study.id, limit=max(study.next_number, 1)))


def _again(store: Store, search: StudyRecord | None, champion: Champion | None) -> TrialRecord | None:
    """The champion's trial in the search, which stands right behind the default."""
    found = (_trial(store, search, number) for number in range(2 if champion is not None else 0))
    return next((each for each in found if each is not None and each.source is Source.CHAMPION), None)


def _trial(store: Store, study: StudyRecord | None, number: int | None) -> TrialRecord | None:
    if study is None or number is None:
        return None
    try:
        return store.trial(study.id, number)
    except UnknownTrial:
        return None
