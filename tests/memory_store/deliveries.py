"""What is to be done of each promotion outside the database."""

import re
from dataclasses import replace
from datetime import timedelta

from celeriac.domain.records import (
    WORKING,
    Champion,
    Delivery,
    DeliveryKind,
    Firing,
    NightReport,
    Publication,
    Stage,
    TrialRecord,
)
from celeriac.store.refusals import unknown_promotion
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Tables, atomic

_NIGHT = re.compile(r"/(\d+-\d\d-\d\d(?:T\d\d:\d\d(?:-again)?)?)(?:-\d+)?$")
BOTH = (DeliveryKind.PUBLISH, DeliveryKind.HOOK)


class Deliveries(Tables):
    """Verbs on deliveries."""

    @atomic
    def due_deliveries(self, limit: int = 100) -> list[Delivery]:
        rows, now = self._rows, self._rows.clock()
        for each in rows.verdicts.values():
            for kind in BOTH if each.promoted else ():
                new = Delivery(each.id, kind, each.schedule, each.slice, 0, now, None, "")
                rows.deliveries.setdefault((each.id, kind), new)
        found = [each for each in rows.deliveries.values() if each.done_at is None and each.next_at <= now]
        due = [
            each
            for each in found
            if each.kind is DeliveryKind.PUBLISH or rows.deliveries[each.promotion, DeliveryKind.PUBLISH].done_at
        ]
        return sorted(due, key=lambda each: (each.promotion, BOTH.index(each.kind)))[:limit]

    @atomic
    def claim_delivery(self, promotion: int, kind: DeliveryKind, for_s: float) -> bool:
        now, found = self._rows.clock(), self._rows.deliveries.get((promotion, kind))
        if found is None or found.done_at is not None or found.next_at > now:
            return False
        claimed = replace(found, tries=found.tries + 1, next_at=now + timedelta(seconds=for_s))
        self._rows.deliveries[promotion, kind] = claimed
        return True

    @atomic
    def end_delivery(self, promotion: int, kind: DeliveryKind, detail: str, again_s: float | None = None) -> None:
        now, found = self._rows.clock(), self._rows.deliveries.get((promotion, kind))
        if found is not None and found.done_at is None:
            next_at, done_at = now + timedelta(seconds=again_s or 0.0), now if again_s is None else None
            ended = replace(found, detail=plain_text(detail), next_at=next_at, done_at=done_at)
            self._rows.deliveries[promotion, kind] = ended

    @atomic
    def deliveries(self, schedule: str, *, limit: int = 50) -> list[Delivery]:
        found = [each for each in self._rows.deliveries.values() if each.schedule == schedule]
        return sorted(found, key=lambda each: (-each.promotion, BOTH.index(each.kind)))[:limit]

    @atomic
    def due_night_reports(self, limit: int = 100) -> list[NightReport]:
        rows, now = self._rows, self._rows.clock()
        nights: dict[tuple[str, str], list[Firing]] = {}
        for each in rows.firings.values():
            found, schedule = _NIGHT.search(each.name), rows.schedules.get(each.schedule)
            if found and schedule and not each.by_hand and schedule.spec.get("schedule", {}).get("morning"):
                nights.setdefault((each.schedule, found[1]), []).append(each)
        for key, firings in nights.items():
            is_over = all(each.state not in WORKING for each in firings)
            if is_over and max(each.entered_at for each in firings) > now - timedelta(days=3):
                rows.night_reports.setdefault(key, NightReport(*key, 0, now, None, ""))
        due = [each for each in rows.night_reports.values() if each.done_at is None and each.next_at <= now]
        return sorted(due, key=lambda each: (each.night, each.schedule))[:limit]

    @atomic
    def claim_night_report(self, schedule: str, night: str, for_s: float) -> bool:
        now, found = self._rows.clock(), self._rows.night_reports.get((schedule, night))
        if found is None or found.done_at is not None or found.next_at > now:
            return False
        claimed = replace(found, tries=found.tries + 1, next_at=now + timedelta(seconds=for_s))
        self._rows.night_reports[schedule, night] = claimed
        return True

    @atomic
    def end_night_report(self, schedule: str, night: str, detail: str, again_s: float | None = None) -> None:
        now, found = self._rows.clock(), self._rows.night_reports.get((schedule, night))
        if found is not None and found.done_at is None:
            next_at, done_at = now + timedelta(seconds=again_s or 0.0), now if again_s is None else None
            ended = replace(found, detail=plain_text(detail), next_at=next_at, done_at=done_at)
            self._rows.night_reports[schedule, night] = ended

    @atomic
    def night_reports(self, schedule: str, *, limit: int = 50) -> list[NightReport]:
        found = [each for each in self._rows.night_reports.values() if each.schedule == schedule]
        return sorted(found, key=lambda each: each.night, reverse=True)[:limit]

    @atomic
    def publication(self, promotion: int) -> Publication:
        verdict = next((each for each in self._rows.verdicts.values() if each.id == promotion), None)
        if verdict is None:
            raise unknown_promotion(promotion)
        kept = self._with_model(verdict)
        told = {name: getattr(verdict, name) for name in ("schedule", "slice", "study", "trial", "params", "score")}
        return Publication(
            **told,
            version=verdict.id,
            metrics=verdict.metrics,
            reason=verdict.reason,
            decided_at=verdict.decided_at,
            code=self._code(verdict, kept),
            model=None if kept is None else kept.model,
            more={
                "kind": str(verdict.kind),
                "who": verdict.who,
                "before": verdict.before_id,
                "evidence": verdict.evidence,
            },
        )

    def _with_model(self, verdict: Champion) -> TrialRecord | None:
        rows = self._rows
        own = rows.trials.get((verdict.study_id, -1 if verdict.trial is None else verdict.trial))
        if own is not None and own.model is not None:
            return own
        firings = {
            each.firing_id
            for each in rows.verdicts.values()
            if (each.study_id, each.trial) == (verdict.study_id, verdict.trial)
        } - {None}
        for study in rows.studies.values():
            if study.stage == Stage.CONFIRM and study.firing_id in firings:
                for trial in rows.trials_of(study.id):
                    if trial.model is not None and trial.params == verdict.params:
                        return trial
        return None

    def _code(self, verdict: Champion, kept: TrialRecord | None) -> str:
        study, number = (kept.study_id, kept.number) if kept else (verdict.study_id, verdict.trial)
        of_trial = [
            each.attempt
            for each in self._rows.attempts.values()
            if (each.attempt.study_id, each.attempt.trial) == (study, number)
        ]
        return max(of_trial, key=lambda each: each.number).fingerprint if of_trial else ""
