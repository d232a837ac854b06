"""Firings and champions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from celeriac.domain.firing_moves import FiringMove, StageOpening
from celeriac.domain.lifecycle import FIRING_TRANSITIONS, StudyEvent, moved
from celeriac.domain.records import (
    CLOSED,
    WORKING,
    Champion,
    Firing,
    FiringOpen,
    FiringState,
    NewStudy,
    Stage,
    StudyRecord,
    StudyState,
    VerdictKind,
)
from celeriac.store.dues import slice_key
from celeriac.store.refusals import another_champion, duplicate_study, stale_firing, unknown_firing, with_points
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Rows, Tables, atomic, plain
from tests.memory_store.studies import moved_row, opened
from tests.memory_store.turns import new_trial


class Firings(Tables):
    """Verbs on firings and champions."""

    @atomic
    def fire(self, due_at: datetime, new: NewStudy, *, by_hand: int = 0, note: str = "") -> Firing | None:
        rows, name = self._rows, plain_text(new.name)
        fired = (new.schedule, slice_key(plain(new.slice)), due_at, by_hand)
        if any(
            (each.schedule, slice_key(each.slice), each.due_at, each.by_hand) == fired for each in rows.firings.values()
        ):
            return None
        names = {study.name for study in rows.studies.values()} | {each.name for each in rows.firings.values()}
        if name in names:
            raise duplicate_study(name)
        now, said = rows.clock(), plain_text(note)
        firing = Firing(
            id=rows.next_id("firing"),
            name=name,
            schedule=new.schedule or "",
            slice=plain(new.slice),
            due_at=due_at,
            by_hand=by_hand,
            note=said,
            state=FiringState.DUE,
            reason="",
            turn=0,
            fired_at=now,
            entered_at=now,
            steps=({"state": "DUE", "at": now.isoformat(), "reason": said},),
        )
        rows.firings[firing.id] = firing
        rows.plans[firing.id] = replace(new, spec=plain(new.spec), slice=firing.slice, firing_id=firing.id)
        return firing

    @atomic
    def firing(self, firing_id: int) -> Firing:
        return _firing(self._rows, firing_id)

    @atomic
    def firing_plan(self, firing_id: int) -> NewStudy:
        return replace(self._rows.plans[_firing(self._rows, firing_id).id], due_at=self._rows.firings[firing_id].due_at)

    @atomic
    def firings(
        self,
        schedule: str,
        *,
        slice_: Mapping[str, Any] | None = None,
        states: Sequence[FiringState] | None = None,
        before: tuple[datetime, int] | None = None,
        limit: int = 50,
    ) -> list[Firing]:
        wanted = None if slice_ is None else slice_key(plain(slice_))
        found = [
            each
            for each in self._rows.firings.values()
            if each.schedule == schedule
            and wanted in (None, slice_key(each.slice))
            and (states is None or each.state in states)
            and (before is None or (each.due_at, each.id) < before)
        ]
        return sorted(found, key=lambda each: (each.due_at, each.id), reverse=True)[:limit]

    @atomic
    def firings_to_mind(self, schedule: str, since: datetime) -> list[FiringOpen]:
        found = [
            FiringOpen(each.id, each.name, each.slice, each.due_at, None if each.state in WORKING else each.entered_at)
            for each in self._rows.firings.values()
            if each.schedule == schedule
            and not each.by_hand
            and (each.due_at >= since or each.entered_at >= since or each.state in WORKING)
        ]
        return sorted(found, key=lambda each: (each.due_at, each.firing_id))

    @atomic
    def stage_studies(self, firing_ids: Sequence[int]) -> list[StudyRecord]:
        return [study for _, study in sorted(self._rows.studies.items()) if study.firing_id in set(firing_ids)]

    @atomic
    def studies_left_open(self) -> list[StudyRecord]:
        over = {each.id for each in self._rows.firings.values() if each.state not in WORKING}
        found = [study for _, study in sorted(self._rows.studies.items()) if study.firing_id in over]
        return [study for study in found if study.ended_at is None]

    @atomic
    def studies_held(self) -> list[StudyRecord]:
        working = {each.id for each in self._rows.firings.values() if each.state in WORKING}
        found = [study for _, study in sorted(self._rows.studies.items()) if study.firing_id in working]
        return [study for study in found if study.state is StudyState.PAUSED]

    @atomic
    def earlier_studies(self, study_id: int, *, nights: int, sisters: int) -> list[StudyRecord]:
        now = self._rows.study(study_id)
        if now.schedule is None or now.due_at is None:
            return []
        before = [
            each
            for each in self._rows.studies.values()
            if each.schedule == now.schedule
            and each.stage is Stage.SEARCH
            and each.due_at is not None
            and (each.due_at, each.id) < (now.due_at, now.id)
            and each.ended_at is not None
            and each.ended_at <= now.created_at
            and (each.due_at < now.due_at or not now.spec.get("reproducible"))
        ]
        before.sort(key=lambda each: (each.due_at, each.id), reverse=True)
        newest: dict[str, StudyRecord] = {}
        for each in before:
            if each.slice != now.slice:
                newest.setdefault(slice_key(each.slice), each)
        others = sorted(newest.values(), key=lambda each: each.name)
        others.sort(key=lambda each: each.due_at or now.created_at, reverse=True)
        return [each for each in before if each.slice == now.slice][:nights] + others[:sisters]

    @atomic
    def firings_to_move(self) -> list[int]:
        working = {(study.firing_id, study.stage) for study in self._rows.studies.values() if study.state not in CLOSED}
        return [
            each.id
            for each in self._rows.firings.values()
            if each.state in WORKING and (each.id, WORKING[each.state]) not in working
        ]

    @atomic
    def move_firing(self, firing_id: int, turn: int, move: FiringMove) -> Firing:
        rows, firing = self._rows, _firing(self._rows, firing_id)
        if firing.turn != turn:
            raise stale_firing(firing, turn)
        state = moved(FIRING_TRANSITIONS, firing.state, move.event, thing=f"firing {firing.name}")
        if move.verdict and not _may_be_written(rows, move.verdict):
            raise another_champion(move.verdict)
        if move.opening:
            _open_stage(rows, firing_id, move.opening, move.reason)
        if move.verdict:
            _write(rows, move.verdict)
        return rows.enter(firing, state, move.reason, move.evidence)

    @atomic
    def announce(self, firing_id: int, reason: str) -> bool:
        rows, firing = self._rows, self._rows.firings.get(firing_id)
        if firing is None or firing.state not in WORKING or any(step.get("late") for step in firing.steps):
            return False
        said = plain_text(reason)
        step = {"state": str(firing.state), "at": rows.clock().isoformat(), "reason": said, "late": True}
        rows.firings[firing_id] = replace(firing, reason=said, steps=(*firing.steps, step))
        return True

    @atomic
    def record_champion(self, champion: Champion) -> Champion:
        self._rows.study(champion.study_id)
        if _may_be_written(self._rows, champion):
            return _write(self._rows, champion)
        first = [each for each in self._rows.verdicts.values() if _is_of_firing(each, champion.firing_id)]
        if not first:
            raise another_champion(champion)
        return first[0]

    @atomic
    def champion_of(self, schedule: str, slice_: Mapping[str, Any]) -> Champion | None:
        wanted = slice_key(plain(slice_))
        found = (each for each in self.champions(schedule) if slice_key(each.slice) == wanted)
        return next(found, None)

    @atomic
    def champions(self, schedule: str | None = None) -> list[Champion]:
        newest: dict[tuple[str, str], Champion] = {}
        for each in self._rows.verdicts.values():
            if each.promoted and schedule in (None, each.schedule):
                newest[each.schedule, slice_key(each.slice)] = each
        return [each for _, each in sorted(newest.items())]

    @atomic
    def verdicts(
        self, schedule: str, *, slice_: Mapping[str, Any] | None = None, before_id: int | None = None, limit: int = 200
    ) -> list[Champion]:
        wanted = None if slice_ is None else slice_key(plain(slice_))
        found = [
            each
            for each in self._rows.verdicts.values()
            if each.schedule == schedule
            and wanted in (None, slice_key(each.slice))
            and (before_id is None or each.id < before_id)
        ]
        return found[::-1][:limit]

    @atomic
    def night_tallies(self, schedule: str, before: datetime) -> list[tuple[float, int]]:
        rows, nights = self._rows, dict[datetime, list[Champion]]()
        for each in rows.verdicts.values():
            firing = rows.firings.get(each.firing_id or 0)
            asked = each.evidence.get("gate", {}).get("asked", {})
            is_test = each.kind is VerdictKind.NIGHT and asked.get("rules", {}).get("fdr") is not None
            if firing and is_test and each.schedule == schedule and firing.due_at < before:
                nights.setdefault(firing.due_at, []).append(each)
        return [
            (
                sum(
                    each.evidence["gate"]["said"]["level"] * each.evidence["gate"]["asked"]["before"]["weight"]
                    for each in tests
                ),
                sum(each.promoted for each in tests),
            )
            for _, tests in sorted(nights.items())
        ]


def _firing(rows: Rows, firing_id: int) -> Firing:
    found = rows.firings.get(firing_id)
    if found is None:
        raise unknown_firing(firing_id)
    return found


def _open_stage(rows: Rows, firing_id: int, opening: StageOpening, reason: str) -> None:
    there = [study for study in rows.studies.values() if (study.firing_id, study.stage) == (firing_id, opening.stage)]
    study = there[0] if there else opened(rows, opening.study)
    if not opening.points:
        return
    first, count = study.next_number, len(opening.points)
    spec = plain(with_points(study, count))
    rows.trials |= {
        (study.id, first + k): new_trial(rows, study.id, first + k, each) for k, each in enumerate(opening.points)
    }
    counts = replace(study.counts, waiting=study.counts.waiting + count)
    given = replace(study, spec=spec, counts=counts, turn=study.turn + 1, next_number=first + count)
    rows.studies[study.id] = given
    if study.state in CLOSED:
        moved_row(rows, given, StudyState.RUNNING, StudyEvent.EXTEND, plain_text(reason))


def _may_be_written(rows: Rows, verdict: Champion) -> bool:
    is_night = verdict.kind is VerdictKind.NIGHT
    if is_night and any(_is_of_firing(each, verdict.firing_id) for each in rows.verdicts.values()):
        return False
    newest = [
        each.id
        for each in rows.verdicts.values()
        if each.promoted
        and (each.schedule, slice_key(each.slice)) == (verdict.schedule, slice_key(plain(verdict.slice)))
    ]
    return not verdict.promoted or (verdict.before_id or 0) == max(newest, default=0)


def _is_of_firing(verdict: Champion, firing_id: int | None) -> bool:
    return firing_id is not None and verdict.kind is VerdictKind.NIGHT and verdict.firing_id == firing_id


def _write(rows: Rows, verdict: Champion) -> Champion:
    kept = replace(
        verdict,
        id=rows.next_id("champion"),
        slice=plain(verdict.slice),
        params=plain(verdict.params),
        metrics=plain(verdict.metrics),
        evidence=plain(verdict.evidence),
        reason=plain_text(verdict.reason),
        who=plain_text(verdict.who),
        decided_at=rows.clock(),
    )
    rows.verdicts[kept.id] = kept
    return kept
