"""Asking running trials back. Rule: a request changes no state; it is the attempt's own end that does."""

from collections.abc import Sequence

from celeriac.domain.records import RunningAttempt
from celeriac.store.postgres.verbs import Verbs


class Preemption(Verbs):
    """Verbs of who wants a slot back."""

    def running_attempts(self, studies: Sequence[int]) -> list[RunningAttempt]:
        return self._all(RunningAttempt, "running_attempts", studies=list(studies))

    def preempt(self, tokens: Sequence[str], reason: str) -> int:
        return len(self._rows("preempt", tokens=list(tokens), reason=reason))
