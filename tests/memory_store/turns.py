"""The coordinator's turn: look at one study, add trials, queue them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from celeriac.domain.lifecycle import TRIAL_TRANSITIONS, TrialEvent, sources
from celeriac.domain.records import (
    MOST_READY,
    EndedTrial,
    PendingTrial,
    Placed,
    Snapshot,
    Source,
    StudyRecord,
    StudyState,
    Suggestion,
    TrialRecord,
    TrialState,
)
from celeriac.store.api import NOWHERE
from celeriac.store.refusals import moved_meanwhile, not_running
from tests.memory_store.rows import Rows, Tables, atomic, plain


class Turns(Tables):
    """Verbs of the coordinator."""

    @contextmanager
    def driving(self, study_id: int) -> Iterator[bool]:
        with self._rows.lock:
            mine = study_id not in self._rows.driven
            if mine:
                self._rows.driven.add(study_id)
        try:
            yield mine
        finally:
            if mine:
                self._rows.driven.discard(study_id)

    @atomic
    def snapshot(self, study_id: int) -> Snapshot:
        study = self._rows.study(study_id)
        trials = self._rows.trials_of(study_id)
        ended = sorted((trial for trial in trials if trial.ended_no), key=lambda t: -(t.ended_no or 0))
        now = self._rows.clock()
        may_be_sent = [t for t in trials if t.not_before is None or t.not_before <= now]
        paused = tuple([t.number for t in may_be_sent if t.state is TrialState.PAUSED][:MOST_READY])
        waits = [t for t in may_be_sent if t.state is TrialState.WAITING]
        kinds = [[t.number for t in waits if (t.source is Source.PROPOSED) is first] for first in (True, False)]
        waiting = tuple(number for kind in kinds for number in kind[:MOST_READY])
        last_ended = tuple(
            EndedTrial(t.number, t.fault, t.signature, t.detail, t.ended_at) for t in ended[:3] if t.ended_at
        )
        return Snapshot(study, paused, waiting, last_ended, now)

    @atomic
    def newest_waiting(self, study_id: int, limit: int) -> list[TrialRecord]:
        untried = [t for t in self._rows.trials_of(study_id) if t.state is TrialState.WAITING and not t.attempts]
        return untried[max(len(untried) - limit, 0) :]

    @atomic
    def pending(self, study_id: int, *, observed: int, below: int, since: int = 0) -> list[PendingTrial]:
        return [
            PendingTrial(t.number, t.params, t.source, t.provenance.observed)
            for t in self._rows.trials_of(study_id)
            if since <= t.number < below and (t.ended_no is None or t.ended_no > observed)
        ]

    @atomic
    def ended_since(self, study_id: int, ended_no: int, limit: int = 1000) -> list[TrialRecord]:
        later = [trial for trial in self._rows.trials_of(study_id) if (trial.ended_no or 0) > ended_no]
        page = sorted(later, key=lambda trial: trial.ended_no or 0)[:limit]
        return self._rows.with_past(page)

    @atomic
    def add_trials(self, study_id: int, turn: int, suggestions: Sequence[Suggestion]) -> list[TrialRecord]:
        study = self._turn(study_id, turn, "be given trials")
        first, count = study.next_number, len(suggestions)
        added = [new_trial(self._rows, study_id, first + k, each) for k, each in enumerate(suggestions)]
        self._rows.trials |= {(study_id, trial.number): trial for trial in added}
        counts = replace(study.counts, waiting=study.counts.waiting + count)
        self._rows.studies[study_id] = replace(study, turn=turn + 1, next_number=first + count, counts=counts)
        return added

    @atomic
    def replace_waiting(
        self, study_id: int, turn: int, first: int, suggestions: Sequence[Suggestion]
    ) -> list[TrialRecord]:
        study = self._turn(study_id, turn, "have its suggestions replaced")
        giving_way = [trial for trial in self._rows.trials_of(study_id) if trial.number >= first]
        movable = sources(TRIAL_TRANSITIONS, TrialEvent.REPLACE)
        free = [
            trial.state in movable and not trial.attempts and trial.source is Source.SUGGESTED for trial in giving_way
        ]
        if not all(free) or study.next_number != first + len(suggestions):
            raise moved_meanwhile(study.name)
        self._rows.studies[study_id] = replace(study, turn=turn + 1)
        return [
            self._rows.move_trial(
                trial, TrialEvent.REPLACE, params=plain(each.params), why=plain(each.why), seed=each.seed
            )
            for trial, each in zip(giving_way, suggestions, strict=True)
        ]

    @atomic
    def queue_trials(
        self, study_id: int, turn: int, numbers: Sequence[int], places: Mapping[int, Placed] = NOWHERE
    ) -> list[TrialRecord]:
        study = self._turn(study_id, turn, "queue trials")
        self._rows.studies[study_id] = replace(study, turn=turn + 1)
        movable = sources(TRIAL_TRANSITIONS, TrialEvent.QUEUE)
        wanted, now = set(numbers), self._rows.clock()
        return [
            self._rows.move_trial(trial, TrialEvent.QUEUE, queued_at=now, placed=places.get(trial.number))
            for trial in self._rows.trials_of(study_id)
            if trial.number in wanted and trial.state in movable
        ]

    def _turn(self, study_id: int, turn: int, verb: str) -> StudyRecord:
        study = self._rows.study(study_id, turn)
        if study.state is not StudyState.RUNNING:
            raise not_running(study.name, study.state, verb)
        return study


def new_trial(rows: Rows, study_id: int, number: int, suggestion: Suggestion) -> TrialRecord:
    """The row of a trial that waits."""
    return TrialRecord(
        study_id=study_id,
        number=number,
        params=plain(suggestion.params),
        state=TrialState.WAITING,
        source=Source(suggestion.source),
        why=plain(suggestion.why),
        score=None,
        metrics={},
        step=None,
        attempts=0,
        faults={},
        fault=None,
        detail="",
        signature="",
        last_step=None,
        last_value=None,
        worker="",
        ended_no=None,
        created_at=rows.clock(),
        queued_at=None,
        started_at=None,
        ended_at=None,
        seed=suggestion.seed,
    )
