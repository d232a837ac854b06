"""The channels of a gang's trials: rank 0 reports and passes on what it is told, the others hear it at that step."""

from typing import Any

from celeriac.trial import PREEMPT
from worker.process.channel import GO, SocketChannel
from worker.process.rendezvous import Words


class LeadChannel:
    """Rank 0's: a word counts from the report at which all ranks hear it."""

    def __init__(self, link: SocketChannel, words: Words | None) -> None:
        self._link, self._words = link, words
        self._word: str | None = None

    def send(self, message: dict[str, Any]) -> None:
        """As `SocketChannel.send`; a report also tells the others to go on, or not to."""
        self._link.send(message)
        if message["kind"] != "report":
            return
        self._word = self._word or self._link.poll()
        if self._word is None and self._link.regroup and "checkpoint" in message:
            self._word = PREEMPT
        if self._words is not None:
            self._words.say(message["step"], self._word or GO)

    def poll(self) -> str | None:
        """What was passed on at the last report. With a process group of its own, nobody passes it on."""
        return self._word if self._words is not None else self._word or self._link.poll()


class FollowChannel:
    """Any other rank's: its reports go nowhere, and wait for rank 0's of the same step."""

    def __init__(self, link: SocketChannel, words: Words | None) -> None:
        self._link, self._words = link, words
        self._word: str | None = None

    def send(self, message: dict[str, Any]) -> None:
        """A report is rank 0's to make: this one waits for it, where there is a way to."""
        if message["kind"] != "report":
            self._link.send(message)
        elif self._words is not None:
            word = self._words.hear(message["step"])
            self._word = self._word or (None if word in (None, GO) else word)

    def poll(self) -> str | None:
        """What rank 0 passed on."""
        return self._word
