"""The store's contract for asking running trials back: a part of `celeriac.store.api.Store`, whose rules hold here
too.
"""

from collections.abc import Sequence
from typing import Protocol

from celeriac.domain.records import RunningAttempt


class PreemptionStore(Protocol):
    """What is needed to have a running trial hand itself back: its worker hears of it with the next renewal."""

    def running_attempts(self, studies: Sequence[int]) -> list[RunningAttempt]:
        """The open attempts of these studies, the one leased first before the others."""

    def preempt(self, tokens: Sequence[str], reason: str) -> int:
        """Ask the open attempts of these tokens to hand themselves back; how many are asked now and were not before.

        The trial ends its attempt at its next report, at no charge, and goes on later. One that was asked already
        keeps its first reason.
        """
