"""Firings and champions. Rules: the unique row is the lock, so a firing happens once however often it is tried; of a
study and its firing the study's row is locked first.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg

from celeriac.domain.firing_moves import FiringMove, StageOpening
from celeriac.domain.lifecycle import FIRING_TRANSITIONS, StudyEvent, moved
from celeriac.domain.records import CLOSED, Champion, Firing, FiringOpen, FiringState, NewStudy, StudyRecord, StudyState
from celeriac.store.connection import Session
from celeriac.store.postgres.records import record_of, values_of
from celeriac.store.postgres.statements import statement
from celeriac.store.postgres.studies import moved_row
from celeriac.store.postgres.turns import listed
from celeriac.store.postgres.verbs import Verbs, ask, locked
from celeriac.store.refusals import (
    another_champion,
    duplicate_study,
    stale_firing,
    unknown_firing,
    unknown_study,
    with_points,
)


class Firings(Verbs):
    """Verbs on firings and champions."""

    def fire(self, due_at: datetime, new: NewStudy, *, by_hand: int = 0, note: str = "") -> Firing | None:
        key = {"schedule": new.schedule, "slice": new.slice, "due_at": due_at, "by_hand": by_hand}
        plan = {name: getattr(new, name) for name in ("spec", "goal", "parallel", "code_root", "fingerprint")}
        try:
            made = self._db.once(statement("fire"), **key, name=new.name, note=note, plan=plan)
        except psycopg.IntegrityError as error:
            if self._rows("is_fired", **key):  # by another clock, in this moment
                return None
            raise duplicate_study(new.name) from error
        if made:
            return record_of(Firing, made[0])
        if self._rows("is_fired", **key):
            return None
        raise duplicate_study(new.name)

    def firing(self, firing_id: int) -> Firing:
        if found := self._one(Firing, "firing", firing=firing_id):
            return found
        raise unknown_firing(firing_id)

    def firing_plan(self, firing_id: int) -> NewStudy:
        if found := self._one(NewStudy, "firing_plan", firing=firing_id):
            return found
        raise unknown_firing(firing_id)

    def firings(
        self,
        schedule: str,
        *,
        slice_: Mapping[str, Any] | None = None,
        states: Sequence[FiringState] | None = None,
        before: tuple[datetime, int] | None = None,
        limit: int = 50,
    ) -> list[Firing]:
        due_at, number = before or (None, None)
        among = None if states is None else list(states)
        given = {"schedule": schedule, "states": among, "due_at": due_at, "id": number, "limit": limit}
        if slice_ is None:
            return self._all(Firing, "firings", **given)
        return self._all(Firing, "firings_of_slice", **given, slice=slice_)

    def firings_to_mind(self, schedule: str, since: datetime) -> list[FiringOpen]:
        return self._all(FiringOpen, "firings_to_mind", schedule=schedule, since=since)

    def stage_studies(self, firing_ids: Sequence[int]) -> list[StudyRecord]:
        return self._all(StudyRecord, "stage_studies", firings=list(firing_ids))

    def studies_left_open(self) -> list[StudyRecord]:
        return self._all(StudyRecord, "studies_left_open")

    def studies_held(self) -> list[StudyRecord]:
        return self._all(StudyRecord, "studies_held")

    def earlier_studies(self, study_id: int, *, nights: int, sisters: int) -> list[StudyRecord]:
        return self._all(StudyRecord, "earlier_studies", study=study_id, nights=nights, sisters=sisters)

    def firings_to_move(self) -> list[int]:
        return [row["id"] for row in self._rows("firings_to_move")]

    def move_firing(self, firing_id: int, turn: int, move: FiringMove) -> Firing:
        def write(connection: Session) -> Firing:
            stage = move.opening.stage if move.opening else None
            there = ask(connection, "stage_study", firing=firing_id, stage=stage) if stage else ()
            study = locked(connection, there[0]["id"]) if there else None
            firing = _locked_firing(connection, firing_id)
            if firing.turn != turn:
                raise stale_firing(firing, turn)
            state = moved(FIRING_TRANSITIONS, firing.state, move.event, thing=f"firing {firing.name}")
            if move.opening:
                _open_stage(connection, study, move.opening, move.reason)
            if move.verdict and not ask(connection, "record_champion", **values_of(move.verdict)):
                raise another_champion(move.verdict)
            given = {"state": state, "reason": move.reason, "evidence": dict(move.evidence)}
            return record_of(Firing, ask(connection, "move_firing", firing=firing_id, **given)[0])

        return self._db.transaction(write)

    def announce(self, firing_id: int, reason: str) -> bool:
        return bool(self._db.once(statement("announce"), firing=firing_id, reason=reason))

    def record_champion(self, champion: Champion) -> Champion:
        try:
            made = self._db.once(statement("record_champion"), **values_of(champion))
        except psycopg.IntegrityError as error:
            raise unknown_study(champion.study_id, ()) from error
        if made:
            return record_of(Champion, made[0])
        if first := self._one(Champion, "verdict", firing=champion.firing_id):
            return first
        raise another_champion(champion)

    def champion_of(self, schedule: str, slice_: Mapping[str, Any]) -> Champion | None:
        return self._one(Champion, "champion_of", schedule=schedule, slice=slice_)

    def champions(self, schedule: str | None = None) -> list[Champion]:
        return self._all(Champion, "champions", schedule=schedule, after_id=None, limit=None)

    def verdicts(
        self, schedule: str, *, slice_: Mapping[str, Any] | None = None, before_id: int | None = None, limit: int = 200
    ) -> list[Champion]:
        given = {"schedule": schedule, "before_id": before_id, "limit": limit}
        if slice_ is None:
            return self._all(Champion, "verdicts", **given)
        return self._all(Champion, "verdicts_of_slice", **given, slice=slice_)

    def night_tallies(self, schedule: str, before: datetime) -> list[tuple[float, int]]:
        rows = self._rows("night_tallies", schedule=schedule, before=before)
        return [(row["spent"], row["promoted"]) for row in rows]


def _locked_firing(connection: Session, firing_id: int) -> Firing:
    found = ask(connection, "lock_firing", firing=firing_id)
    if not found:
        raise unknown_firing(firing_id)
    return record_of(Firing, found[0])


def _open_stage(connection: Session, study: StudyRecord | None, opening: StageOpening, reason: str) -> None:
    """Open the study of a stage, or go on with the one that is there, which is locked; give it its points."""
    if study is None:
        made = ask(connection, "create_study", **values_of(opening.study))
        if not made:
            raise duplicate_study(opening.study.name)
        study = record_of(StudyRecord, made[0])
    if not opening.points:
        return
    spec, count = with_points(study, len(opening.points)), len(opening.points)
    ask(connection, "give_points", study=study.id, spec=spec, count=count, suggestions=listed(opening.points))
    if study.state in CLOSED:
        moved_row(connection, study, StudyState.RUNNING, StudyEvent.EXTEND, reason)
