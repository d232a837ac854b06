"""Studies: opening, finding and moving them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from celeriac.domain.lifecycle import AGAIN, FIRING_TRANSITIONS, STUDY_TRANSITIONS, StudyEvent, TrialEvent, moved
from celeriac.domain.records import (
    CLOSED,
    ENDED,
    Claim,
    Counts,
    DeviceSpent,
    FiringState,
    NewStudy,
    Params,
    Stage,
    StudyRecord,
    StudyState,
    TrialState,
    VerdictKind,
)
from celeriac.domain.space import MOST_PARAMETERS
from celeriac.domain.study_file import deadline_of
from celeriac.store.refusals import duplicate_study, unknown_study
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Rows, Tables, atomic, plain, process_of


class Studies(Tables):
    """Verbs on studies."""

    @atomic
    def create_study(self, new: NewStudy) -> StudyRecord:
        return opened(self._rows, new)

    @atomic
    def study(self, study_id: int) -> StudyRecord:
        return self._rows.study(study_id)

    @atomic
    def study_named(self, name: str) -> StudyRecord:
        for study in self._rows.studies.values():
            if study.name == plain_text(name):
                return study
        raise unknown_study(name, (study.name for study in self._rows.studies.values()))

    @atomic
    def studies(
        self,
        *,
        states: Sequence[StudyState] | None = None,
        schedule: str | None = None,
        named: str | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[StudyRecord]:
        found = [
            study
            for study in self._rows.studies.values()
            if (states is None or study.state in states)
            and (schedule is None or study.schedule == schedule)
            and (named is None or named.lower() in study.name.lower())
            and (before_id is None or study.id < before_id)
        ]
        return sorted(found, key=lambda study: -study.id)[:limit]

    @atomic
    def move_study(self, study_id: int, event: StudyEvent, reason: str, *, turn: int | None = None) -> StudyRecord:
        rows, said = self._rows, plain_text(reason)
        before = rows.study(study_id, turn)
        state = moved(STUDY_TRANSITIONS, before.state, event, thing=f"study {before.name}")
        for trial in rows.trials_of(study_id):
            if state in CLOSED and trial.state not in ENDED:
                rows.cancel(trial, said)
            elif state is StudyState.PAUSED and trial.state is TrialState.QUEUED:
                rows.move_trial(trial, TrialEvent.UNQUEUE, queued_at=None)
        if state in CLOSED and (before.spec.get("stop_early") or {}).get("rule") == "pbt":
            rows.checkpoints = {key: each for key, each in rows.checkpoints.items() if key[0] != study_id}
        return moved_row(rows, before, state, event, said)

    @atomic
    def take_code(self, study_id: int, fingerprint: str) -> StudyRecord:
        rows = self._rows
        rows.studies[study_id] = replace(rows.study(study_id), fingerprint=plain_text(fingerprint))
        rows.put_asides = {key: each for key, each in rows.put_asides.items() if key[1] != study_id}
        return rows.studies[study_id]

    @atomic
    def learn_space(self, token: str, params: Params, forms: Mapping[str, Mapping[str, Any]]) -> None:
        rows = self._rows
        held = rows.held(token)
        study = rows.study(held.attempt.study_id)
        trial = rows.trial(study.id, held.attempt.trial)
        rows.trials[study.id, trial.number] = replace(trial, params=plain(params))
        before = study.spec.get("space") or {}
        grown = {**before, **{name: _grown(before.get(name), plain(form)) for name, form in forms.items()}}
        if study.spec.get("learn_space") and len(grown) <= MOST_PARAMETERS:
            rows.studies[study.id] = replace(study, spec={**study.spec, "space": grown})

    @atomic
    def studies_to_drive(self) -> list[int]:
        driven = (StudyState.OPEN, StudyState.RUNNING)
        return sorted(study.id for study in self._rows.studies.values() if study.state in driven)

    @atomic
    def device_spent(
        self, study_id: int, night: tuple[datetime, datetime] | None = None, *, runs: int = 0
    ) -> DeviceSpent:
        rows, me = self._rows, self._rows.studies.get(study_id)
        if me is None:
            return DeviceSpent(0.0)
        beside = [each for each in rows.studies.values() if me.firing_id and each.firing_id == me.firing_id]
        of_night = {each.id: each for each in (me, *beside)}
        if night is not None and me.schedule:
            for each in rows.studies.values():
                is_of_it = each.due_at is not None and night[0] <= each.due_at < night[1]
                if is_of_it and each.firing_id and each.schedule == me.schedule:
                    of_night[each.id] = each
        return DeviceSpent(
            _spent(rows, me),
            sum(_spent(rows, each) for each in beside),
            sum(_spent(rows, each) for each in of_night.values()),
            _holds(rows, me),
            sum(_holds(rows, each) for each in beside),
            sum(_holds(rows, each) for each in of_night.values()),
            sum(_kept(rows, beside, runs)),
            sum(_kept(rows, list(of_night.values()), runs)),
        )

    @atomic
    def claims(self) -> list[Claim]:
        now = self._rows.clock()
        found = sorted(self._rows.studies.items())
        return [_claim(study, now) for _, study in found if study.state not in CLOSED]

    @atomic
    def wanted_slots(self, *, on_gpus: bool) -> float:
        claims = [each for each in self.claims() if each.may_run and each.resources.on_gpu == on_gpus]
        return sum(-(-each.demand // max(each.pack, 1)) * each.resources.width for each in claims)


def _spent(rows: Rows, study: StudyRecord) -> float:
    held = [each.attempt for each in rows.attempts.values() if each.attempt.study_id == study.id]
    attempts = [each for each in held if each.ended_at is None]
    now = rows.clock()
    taken = (max((now - each.leased_at).total_seconds(), 0.0) / each.packed * each.width for each in attempts)
    return study.device_s + sum(taken)


def _holds(rows: Rows, study: StudyRecord) -> float:
    held = (each.attempt for each in rows.attempts.values() if each.attempt.study_id == study.id)
    return sum({process_of(each): each.width for each in held if each.ended_at is None}.values())


def _kept(rows: Rows, studies: Sequence[StudyRecord], runs: int) -> Iterator[float]:
    """For each firing that searches or confirms: what so many runs of it would take, less what its confirmation had."""
    firings = {each.firing_id for each in studies if each.firing_id}
    for firing in (rows.firings[each] for each in sorted(firings)):
        if firing.state not in (FiringState.SEARCHING, FiringState.CONFIRMING):
            continue
        ours = [each for each in studies if each.firing_id == firing.id]
        before = [each for each in ours if each.stage is not Stage.CONFIRM and each.counts.finished]
        run_s = max((each.device_s / each.counts.finished for each in before), default=0.0)
        had_s = sum(_spent(rows, each) for each in ours if each.stage is Stage.CONFIRM)
        yield max(run_s * runs - had_s, 0.0)


def _claim(study: StudyRecord, now: datetime) -> Claim:
    plan = study.spec.get("schedule") or {}
    late = deadline_of(plan.get("deadline"), plan.get("timezone"), study.due_at)
    began = replace(study, first_leased_at=study.first_leased_at or study.started_at)
    return Claim.of(
        study,
        trials=int(study.spec.get("budget", {}).get("trials", 0)),
        resources=study.resources,
        age_s=began.worked_s(now),
        weight=float(study.spec.get("priority", 1)),
        pack=int(study.spec.get("pack", 0)),
        deadline_s=None if late is None else (late - now).total_seconds(),
    )


def moved_row(rows: Rows, before: StudyRecord, state: StudyState, event: StudyEvent, reason: str) -> StudyRecord:
    """The study's row in its new state; of one that is opened again, the firing goes on too."""
    study, now = rows.studies[before.id], rows.clock()
    reopened = before.state in CLOSED and state not in CLOSED
    if reopened:
        _firing_again(rows, study, reason)
    rested_from = study.paused_at or study.ended_at
    rested_s = (now - rested_from).total_seconds() if rested_from else 0.0
    starts = state is StudyState.RUNNING and study.started_at is None
    resumed = reopened or event in (StudyEvent.RESUME, StudyEvent.REOPEN)
    rows.studies[study.id] = replace(
        study,
        state=state,
        reason=reason,
        turn=study.turn + 1,
        started_at=now if starts else study.started_at,
        paused_s=study.paused_s + rested_s,
        paused_at=now if state is StudyState.PAUSED else None,
        resumed_at=now if resumed else study.resumed_at,
        reopened_at=now if reopened else study.reopened_at,
        ended_at=now if state in CLOSED else None,
    )
    return rows.studies[study.id]


def _firing_again(rows: Rows, study: StudyRecord, reason: str) -> None:
    firing = rows.firings.get(study.firing_id or 0)
    state = FIRING_TRANSITIONS[firing.state].get(AGAIN[study.stage]) if firing and study.stage else None
    if firing is None or state is None:
        return
    rows.verdicts = {
        key: each
        for key, each in rows.verdicts.items()
        if each.firing_id != firing.id or each.kind is not VerdictKind.NIGHT or each.promoted
    }
    rows.enter(firing, state, reason, {})


def opened(rows: Rows, new: NewStudy) -> StudyRecord:
    """Open a study; raises DuplicateStudy."""
    name = plain_text(new.name)
    if any(study.name == name for study in rows.studies.values()):
        raise duplicate_study(name)
    study = StudyRecord(
        id=max(rows.studies, default=0) + 1,
        name=name,
        spec=plain(new.spec),
        goal=new.goal,
        parallel=new.parallel,
        code_root=plain_text(new.code_root),
        fingerprint=plain_text(new.fingerprint),
        state=StudyState.OPEN,
        reason="",
        turn=0,
        next_number=0,
        counts=Counts(),
        best_number=None,
        best_score=None,
        device_s=0.0,
        ran_s=0.0,
        schedule=new.schedule,
        slice=plain(new.slice),
        due_at=new.due_at,
        firing_id=new.firing_id,
        stage=new.stage,
        created_at=rows.clock(),
        started_at=None,
        ended_at=None,
    )
    rows.studies[study.id] = study
    return study


def _grown(had: Mapping[str, Any] | None, form: Mapping[str, Any]) -> Mapping[str, Any]:
    """A parameter's form, with what another form of it adds."""
    if had is None:
        return form
    if "choice" in had and "choice" in form:
        return {**had, "choice": had["choice"] + [each for each in form["choice"] if each not in had["choice"]]}
    kind = "float" if "float" in had else "int"
    if kind in had and kind in form and not {"step"} & {*had, *form} and ("log" in had) == ("log" in form):
        (low, high), (least, most) = had[kind], form[kind]
        return {**had, kind: [min(low, least), max(high, most)]}
    return had
