"""What a person may do about a slice's champion: approve or reject what a night found, promote by hand, roll back.

Each is a verdict of its own in the slice's line: who, when, why. None is made over a champion that the person has not
seen: whoever comes second is refused.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from celeriac.decide.verdicts import unanswered
from celeriac.domain.errors import CallerError, IllegalTransition
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent
from celeriac.domain.records import Champion, TrialState, VerdictKind
from celeriac.domain.study_file import full_slice_name, slice_name
from celeriac.store import Store

#: Of so many verdicts on a slice an earlier one can still be gone back to.
_ALL = 10_000


def find_slice(store: Store, schedule: str, named: str | None) -> Mapping[str, Any]:
    """The slice of that text. Without one, the only slice. Raises CallerError, naming those that there are."""
    row = store.schedule(schedule)
    known = {slice_name(each): each for each in row.slices or ({},)}
    known |= {slice_name(each.slice): each.slice for each in store.champions(schedule)}
    if named is None and len(known) == 1:
        return next(iter(known.values()))
    if named is None or named not in known:
        said = "say which slice" if named is None else f"schedule {schedule} has no slice {named!r}"
        raise CallerError(f"{said}; it has {'; '.join(known) or 'none'}")
    return known[named]


def awaiting(store: Store, schedule: str, slice_: Mapping[str, Any]) -> Champion | None:
    """The newest verdict that waits for a person; None where none does, or it was answered."""
    return unanswered(store.verdicts(schedule, slice_=slice_, limit=_ALL))


def approve(store: Store, schedule: str, slice_: Mapping[str, Any], *, who: str, reason: str) -> Champion:
    """Make what waits the champion. Raises CallerError when nothing waits, IllegalTransition when the champion has
    changed since the test, StaleTurn when it changes now.
    """
    waiting, now = _waiting(store, schedule, slice_), store.champion_of(schedule, slice_)
    if waiting.before_id != (None if now is None else now.id) or waiting.firing_id is None:
        raise IllegalTransition(
            f"{full_slice_name(schedule, slice_)}: it was tested against another champion than the one that serves"
            f" now; promote it by hand if you still want it: `celeriac promote {schedule}"
            f" {waiting.study} {waiting.trial}`"
        )
    verdict = replace(waiting, promoted=True, awaits=False, kind=VerdictKind.APPROVED, who=who, reason=reason)
    firing = store.firing(waiting.firing_id)
    store.move_firing(firing.id, firing.turn, FiringMove(FiringEvent.APPROVE, f"{who}: {reason}", verdict=verdict))
    return _now(store, schedule, slice_)


def reject(store: Store, schedule: str, slice_: Mapping[str, Any], *, who: str, reason: str) -> Champion:
    """Answer what waits with no; the champion stays. Raises CallerError when nothing waits."""
    waiting = _waiting(store, schedule, slice_)
    return store.record_champion(replace(waiting, awaits=False, kind=VerdictKind.REJECTED, who=who, reason=reason))


def promote(store: Store, study: str, trial: int, *, slice_: str | None, who: str, reason: str) -> Champion:
    """Make a scored trial of a schedule's study the champion of its slice, or of another slice, without a test.

    Raises UnknownStudy, UnknownTrial, CallerError for one without a score or a study of no schedule, StaleTurn when
    the champion changes in this moment.
    """
    row = store.study_named(study)
    found = store.trial(row.id, trial)
    if row.schedule is None:
        raise CallerError(f"study {study} is of no schedule: it has no slice whose champion its trial could be")
    if found.state is not TrialState.SCORED:
        raise CallerError(f"trial {trial} of {study} is {found.state}: only a scored one can be champion")
    where = row.slice if slice_ is None else find_slice(store, row.schedule, slice_)
    now = store.champion_of(row.schedule, where)
    return store.record_champion(
        Champion(
            schedule=row.schedule,
            slice=where,
            study_id=row.id,
            study=row.name,
            trial=trial,
            params=found.params,
            score=found.score,
            default_score=None,
            metrics=found.metrics,
            promoted=True,
            reason=reason,
            kind=VerdictKind.BY_HAND,
            who=who,
            before_id=None if now is None else now.id,
        )
    )


def roll_back(
    store: Store, schedule: str, slice_: Mapping[str, Any], *, who: str, reason: str, to: int | None = None
) -> Champion:
    """Put the champion before this one in its place again, or the one with the id `to`.

    Raises CallerError when there is none, StaleTurn when the champion changes in this moment.
    """
    now = store.champion_of(schedule, slice_)
    if now is None:
        raise CallerError(f"{full_slice_name(schedule, slice_)} has no champion: there is nothing to roll back")
    wanted = now.before_id if to is None else to
    promoted = [each for each in store.verdicts(schedule, slice_=slice_, limit=_ALL) if each.promoted]
    before = next((each for each in promoted if each.id == wanted), None)
    if before is None or before.id == now.id:
        known = ", ".join(str(each.id) for each in promoted if each.id != now.id) or "none"
        said = "had no champion before this one" if to is None else f"had no champion {to} before"
        raise CallerError(f"{full_slice_name(schedule, slice_)} {said} (earlier ones: {known})")
    return store.record_champion(
        replace(before, kind=VerdictKind.ROLLBACK, firing_id=None, who=who, reason=reason, before_id=now.id)
    )


def _waiting(store: Store, schedule: str, slice_: Mapping[str, Any]) -> Champion:
    found = awaiting(store, schedule, slice_)
    if found is None:
        raise CallerError(
            f"{full_slice_name(schedule, slice_)}: nothing waits for approval; `celeriac champions {schedule}"
            " --history` says what was decided"
        )
    return found


def _now(store: Store, schedule: str, slice_: Mapping[str, Any]) -> Champion:
    found = store.champion_of(schedule, slice_)
    if found is None:
        raise LookupError(f"{full_slice_name(schedule, slice_)} has no champion")
    return found
