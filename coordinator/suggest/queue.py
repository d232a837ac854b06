"""Who asked what, which process works on it, and what came back. Rules: a study has at most one question that waits
and one that is worked on; the newest question replaces the one that waits, and keeps its place; nothing here knows
processes, threads or clocks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from coordinator.suggest.assignment import Asking
from coordinator.suggest.messages import GUESSED_S, SuggestRequest, SuggestResult

#: A process that dies once may have been killed by anybody; one that dies again on the same study most likely dies of
#: it.
TRIES = 2
_SMOOTHING = 0.5

T = TypeVar("T")


@dataclass(slots=True)
class _Good(Generic[T]):
    """Something that is good at one turn of its study."""

    what: T
    turn: int


@dataclass(slots=True)
class _Entry:
    """One study's page."""

    waits: _Good[SuggestRequest] | None = None
    worked_on: _Good[SuggestRequest] | None = None
    answer: _Good[SuggestResult] | None = None
    home: int | None = None
    losses: int = 0
    suggest_s: float = GUESSED_S


class SuggestionQueue:
    """All pages. Not safe between threads: its owner takes care of that."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        #: Studies whose question waits, in the order in which they asked.
        self._line: dict[int, None] = {}

    # -- a study's turn -----------------------------------------------------------------------------------------------
    def answer(self, question: SuggestRequest) -> SuggestResult | None:
        """The answer, if it is here and good at the question's turn; else the question waits, or is worked on
        already.
        """
        study_id, turn = question.study.id, question.study.turn
        entry = self._entries.setdefault(study_id, _Entry())
        found, entry.answer = entry.answer, None
        if found is not None and found.turn == turn and found.what.first == question.first:
            entry.waits = None
            self._line.pop(study_id, None)
            return found.what
        on_it = entry.worked_on
        if on_it is None or on_it.turn != turn or on_it.what.first != question.first:
            entry.waits = _Good(question, turn)
            self._line.setdefault(study_id)
        return None

    def carry(self, study_id: int, turn: int) -> None:
        """What is good at `turn` is good at the next one too."""
        entry = self._entries.get(study_id)
        for good in () if entry is None else (entry.waits, entry.worked_on, entry.answer):
            if good is not None and good.turn == turn:
                good.turn = turn + 1

    def suggest_s(self, study_id: int) -> float:
        """Seconds that one suggestion has lately taken."""
        entry = self._entries.get(study_id)
        return GUESSED_S if entry is None else entry.suggest_s

    def keep_only(self, study_ids: Iterable[int]) -> None:
        """Forget all other studies; what is being worked on for them will be dropped when it comes."""
        kept = set(study_ids)
        for study_id in [each for each in self._entries if each not in kept]:
            self.forget(study_id)

    def forget(self, study_id: int) -> None:
        """Forget one study."""
        self._entries.pop(study_id, None)
        self._line.pop(study_id, None)

    # -- the processes ------------------------------------------------------------------------------------------------
    def asking(self) -> list[Asking]:
        """The studies whose question waits and may be handed out, in the order in which they asked."""
        return [
            Asking(study_id, self._entries[study_id].home)
            for study_id in self._line
            if self._entries[study_id].worked_on is None
        ]

    def knows(self, suggester: int) -> int:
        """How many studies this suggester knows."""
        return sum(entry.home == suggester for entry in self._entries.values())

    def hand_out(self, study_id: int, suggester: int) -> SuggestRequest:
        """The study's question, from now on worked on by this suggester, where the study is at home."""
        entry = self._entries[study_id]
        del self._line[study_id]
        if entry.waits is None:
            raise LookupError(f"study {study_id} asks nothing")
        entry.home, entry.worked_on, entry.waits = suggester, entry.waits, None
        return entry.worked_on.what

    def done(self, question: SuggestRequest, answer: SuggestResult) -> bool:
        """Keep the answer for the study's next turn; whether there is anything that a turn could do with it."""
        entry, turn = self._taken_off(question)
        if entry is None:
            return False
        entry.losses = 0
        if answer.silent:
            return False
        if not answer.error:
            entry.suggest_s += _SMOOTHING * (answer.took_s - entry.suggest_s)
        entry.answer = _Good(answer, turn)
        return True

    def lost(self, question: SuggestRequest, how: str) -> bool:
        """The process that worked on the question is gone; whether the study is told so now, or the question is tried
        once more.
        """
        entry, turn = self._taken_off(question)
        if entry is None:
            return False
        entry.losses += 1
        if entry.losses < TRIES:
            entry.waits = entry.waits or _Good(question, turn)
            self._line.setdefault(question.study.id)
            return False
        entry.losses = 0
        said = f"no suggestion could be made, {TRIES} times in a row: the process that makes them {how}"
        entry.answer = _Good(SuggestResult(question.study.id, question.first, error=said), turn)
        return True

    def vacate(self, suggester: int) -> None:
        """The suggester's process is gone, and with it all that it knew."""
        for entry in self._entries.values():
            if entry.home == suggester:
                entry.home = None

    def _taken_off(self, question: SuggestRequest) -> tuple[_Entry | None, int]:
        """The page on which this very question was worked on, and the turn it was good at; None: its study was
        forgotten.
        """
        entry = self._entries.get(question.study.id)
        if entry is None or entry.worked_on is None or entry.worked_on.what is not question:
            return None, 0
        turn, entry.worked_on = entry.worked_on.turn, None
        return entry, turn
