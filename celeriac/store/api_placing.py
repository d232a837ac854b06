"""What a store keeps of placed trials, of devices that are taken out, and of trials that are asked back: a part of
`Store`.
"""

from collections.abc import Sequence
from typing import Protocol

from celeriac.domain.records import Holdings, LiveGpu, RunningAttempt, ShareFigures, ShortTrial


class PlacingStore(Protocol):
    """Verbs of placement, and of pre-emption: a running trial hears of it with the next renewal."""

    def holdings(self) -> Holdings:
        """What holds the fleet's devices now: placed trials, and open attempts."""

    def peak_memory(self, studies: Sequence[int]) -> dict[int, int]:
        """The largest peak of a GPU's memory, in bytes, among the newest 256 trials of each study that were measured on
        one.
        """

    def share_figures(self, study_id: int) -> list[ShareFigures]:
        """What its scored trials took at each share of a GPU. Reads all of them: for a person who looks."""

    def short_trials(self, studies: Sequence[int]) -> list[ShortTrial]:
        """The open trials of these studies that ran out of memory since a person last had them run once more."""

    def live_gpus(self, least_bytes: int) -> list[LiveGpu]:
        """The GPUs that are alive and have so much memory, taken out or not: what a worker may know of its fleet."""

    def unplace(self, study_id: int, number: int, attempt: int) -> bool:
        """QUEUED -> WAITING of a placed trial whose next attempt is this one; False: it is elsewhere by now."""

    def drain(self, host: str, devices: Sequence[str], who: str) -> None:
        """Take these devices of a host out; none named: all that it has, and will have."""

    def undrain(self, host: str, devices: Sequence[str]) -> int:
        """Give them back; none named: all of the host. How many of the drains are over."""

    def drained(self, host: str) -> list[str]:
        """What is taken out of a host: its devices; "" stands for all."""

    def running_attempts(self, studies: Sequence[int]) -> list[RunningAttempt]:
        """The open attempts of these studies, the one leased first before the others."""

    def preempt(self, tokens: Sequence[str], reason: str) -> int:
        """Ask the open attempts of these tokens to hand themselves back; how many are asked now and were not before.

        The trial ends its attempt at its next report, at no charge, and goes on later. One that was asked already
        keeps its first reason.
        """
