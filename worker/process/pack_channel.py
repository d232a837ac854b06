"""The trial's end of a pack: one socket, and a channel for each trial on it.

A frame of a trial travels as the `frame` of a `member`. What a trial came to is told when it is known: it is in the
runner's hands then, and whatever happens to the process afterwards is no matter of its.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celeriac.domain.states import Fault
from celeriac.pack import PackTrial
from worker.process.channel import MOST_WAIT_S, WAIT_SHARE, SocketChannel
from worker.process.failure import Failed, from_words
from worker.process.frames import FrameTooLarge

#: What a trial's last frame is made of: what it returned, or what it raised.
Judge = Callable[[Any, PackTrial, "MemberChannel"], dict[str, Any]]
Blame = Callable[[BaseException], Failed]


class PackLink:
    """What the channels of a pack share: its socket, and what a trial's end becomes.

    Reports of judged trials wait for their answers together, at most WAIT_SHARE of the time since those before.
    """

    def __init__(self, link: SocketChannel, *, judge: Judge, blame: Blame, judged: Mapping[int, bool]) -> None:
        self.link, self.judge, self.blame, self.judged = link, judge, blame, judged
        self._settled_at = time.monotonic()

    def settle(self, trials: Sequence[PackTrial]) -> None:
        """Wait for the answers to what these trials just reported."""
        awaited = {trial.number: trial.last_step or 0 for trial in trials if self.judged.get(trial.number)}

        def heard() -> bool:
            said = self.link.poll() is not None
            return said or all(
                self.link.answered.get(number, -1) >= step or number in self.link.words
                for number, step in awaited.items()
            )

        now = time.monotonic()
        if awaited:
            self.link.wait_until(heard, now + min(WAIT_SHARE * (now - self._settled_at), MOST_WAIT_S))
        self._settled_at = time.monotonic()


class MemberChannel:
    """`celeriac.pack.PackChannel` for one trial in the service."""

    def __init__(self, pack: PackLink, number: int) -> None:
        self._pack, self._number = pack, number

    def send(self, message: dict[str, Any]) -> None:
        """Send a frame of this trial. Raises FrameTooLarge."""
        self._pack.link.send_alone({"kind": "member", "trial": self._number, "frame": message})

    def poll(self) -> str | None:
        """What was asked of all, or of this trial alone."""
        return self._pack.link.poll() or self._pack.link.words.get(self._number)

    def ended(self, trial: PackTrial, returned: Any) -> None:
        """Its last frame: the score, or why that is none."""
        try:
            self.send(self._pack.judge(returned, trial, self))
        except FrameTooLarge as error:
            self.send(from_words(Fault.USER_BUG, str(error), "frame").message())

    def failed(self, trial: PackTrial, error: BaseException) -> None:
        """Its last frame: the fault."""
        self.send(self._pack.blame(error).message())

    def stopped(self, trial: PackTrial, word: str) -> None:
        """Its last frame: it ends as it was asked to."""
        self.send({"kind": "stopped", "word": word, "step": trial.last_step})

    def settle(self, trials: Sequence[PackTrial]) -> None:
        """See `PackLink.settle`."""
        self._pack.settle(trials)
