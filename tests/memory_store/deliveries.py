"""The outbox: what is to be done outside the database."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from celeriac.domain.records import (
    WORKING,
    Champion,
    Delivery,
    DeliveryKind,
    Firing,
    Publication,
    Stage,
    StudyState,
    TrialRecord,
)
from celeriac.store.refusals import unknown_promotion
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Tables, atomic

_NIGHT = re.compile(r"/(\d+-\d\d-\d\d(?:T\d\d:\d\d(?:-again)?)?)(?:-\d+)?$")
#: In the order of their ids.
BOTH = (DeliveryKind.HOOK, DeliveryKind.PUBLISH)


class Deliveries(Tables):
    """Verbs on deliveries."""

    @atomic
    def due_deliveries(self, limit: int = 100) -> list[Delivery]:
        self._note_promotions()
        self._note_nights()
        rows, now = self._rows, self._rows.clock()
        published = {each.promotion for each in rows.deliveries.values() if each.done_at and each.kind in BOTH[1:]}
        due = [
            each
            for each in rows.deliveries.values()
            if each.done_at is None
            and each.next_at <= now
            and (each.kind is not DeliveryKind.HOOK or each.promotion in published)
        ]
        return sorted(
            due, key=lambda each: (each.promotion is None, each.promotion, each.kind is DeliveryKind.HOOK, each.night)
        )[:limit]

    def _note_promotions(self) -> None:
        for each in self._rows.verdicts.values():
            for kind in BOTH if each.promoted else ():
                self._note(kind, each.schedule, each.slice, each.id, "")

    def _note_nights(self) -> None:
        rows, now = self._rows, self._rows.clock()
        nights: dict[tuple[str, str], list[Firing]] = {}
        waiting = {study.firing_id for study in rows.studies.values() if study.state is StudyState.PAUSED}
        for each in rows.firings.values():
            found, schedule = _NIGHT.search(each.name), rows.schedules.get(each.schedule)
            if found and schedule and not each.by_hand and schedule.spec.get("schedule", {}).get("morning"):
                nights.setdefault((each.schedule, found[1]), []).append(each)
        for (name, night), firings in sorted(nights.items()):
            goes_on = any(each.state in WORKING and each.id not in waiting for each in firings)
            if not goes_on and max(each.entered_at for each in firings) > now - timedelta(days=3):
                self._note(DeliveryKind.MORNING, name, {}, None, night)

    def _note(
        self, kind: DeliveryKind, schedule: str, slice_: Mapping[str, Any], promotion: int | None, night: str
    ) -> None:
        rows = self._rows
        about = (kind, promotion) if promotion else (schedule, night)
        if about not in rows.noted:
            rows.noted.add(about)
            new = Delivery(
                rows.next_id("delivery"), kind, schedule, slice_, promotion, night, 0, rows.clock(), None, ""
            )
            rows.deliveries[new.id] = new

    @atomic
    def claim_delivery(self, delivery: int, for_s: float) -> int:
        now, found = self._rows.clock(), self._rows.deliveries.get(delivery)
        if found is None or found.done_at is not None or found.next_at > now:
            return 0
        claimed = replace(found, tries=found.tries + 1, next_at=now + timedelta(seconds=for_s))
        self._rows.deliveries[delivery] = claimed
        return claimed.tries

    def _begun(self, delivery: int, number: int) -> Delivery | None:
        found = self._rows.deliveries.get(delivery)
        return found if found is not None and found.done_at is None and found.tries == number else None

    @atomic
    def renew_delivery(self, delivery: int, number: int, for_s: float) -> bool:
        found = self._begun(delivery, number)
        if found is not None:
            until = self._rows.clock() + timedelta(seconds=for_s)
            self._rows.deliveries[delivery] = replace(found, next_at=until)
        return found is not None

    @atomic
    def end_delivery(self, delivery: int, number: int, detail: str, again_s: float | None = None) -> None:
        now, found = self._rows.clock(), self._begun(delivery, number)
        if found is not None:
            next_at, done_at = now + timedelta(seconds=again_s or 0.0), now if again_s is None else None
            ended = replace(found, detail=plain_text(detail), next_at=next_at, done_at=done_at)
            self._rows.deliveries[delivery] = ended

    @atomic
    def deliveries(self, schedule: str, *, limit: int = 50) -> list[Delivery]:
        found = [each for each in self._rows.deliveries.values() if each.schedule == schedule]
        return sorted(found, key=lambda each: -each.id)[:limit]

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
