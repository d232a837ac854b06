"""Asking running trials back. Rule: a request changes no state; it is the attempt's own end that does."""

from collections.abc import Sequence
from dataclasses import replace

from celeriac.domain.records import Attempt, RunningAttempt
from celeriac.store.sanitize import plain_text
from tests.memory_store.rows import Tables, atomic


class Preemption(Tables):
    """Verbs of who wants a slot back."""

    @atomic
    def running_attempts(self, studies: Sequence[int]) -> list[RunningAttempt]:
        held = (each for each in self._rows.attempts.values() if each.is_open)
        found = [self._running(each.attempt) for each in held if each.attempt.study_id in studies]
        return sorted(found, key=lambda each: (each.leased_at, each.study_id, each.number))

    @atomic
    def preempt(self, tokens: Sequence[str], reason: str) -> int:
        asked = 0
        for token in set(tokens):
            held = self._rows.attempts.get(token)
            if held is not None and held.is_open and held.attempt.preempted_at is None:
                now = self._rows.clock()
                held.attempt = replace(held.attempt, preempted_at=now, preempt_reason=plain_text(reason))
                asked += 1
        return asked

    def _running(self, attempt: Attempt) -> RunningAttempt:
        of_trial = (attempt.study_id, attempt.trial)
        before = [
            each.attempt.preempted_at
            for each in self._rows.attempts.values()
            if (each.attempt.study_id, each.attempt.trial) == of_trial and each.attempt.number < attempt.number
        ]
        steps = [key[2] for key in self._rows.checkpoints if (*key[:2], key[3]) == (*of_trial, attempt.number)]
        saved = self._rows.reports[(*of_trial, max(steps), attempt.number)].at if steps else None
        return RunningAttempt(
            token=attempt.token,
            study_id=attempt.study_id,
            study=self._rows.studies[attempt.study_id].name,
            number=attempt.trial,
            attempt=attempt.number,
            worker=attempt.worker,
            leased_at=attempt.leased_at,
            preempted_at=attempt.preempted_at,
            preempted_before_at=max((each for each in before if each is not None), default=None),
            saved_at=saved,
        )
