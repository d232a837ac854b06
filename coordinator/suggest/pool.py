"""The suggesters: a few processes that answer questions, each for the studies that it knows, in fair turns.

Rules: whoever asks never waits; one thread starts the processes, hands out questions, takes answers and enforces the
limits; a process that dies, hangs or grows costs its study another try and the other studies nothing; what is no
longer needed is ended. (`docs/explanation/decisions/0009-suggestions-in-processes-of-our-own.md` says why these are no
Celery workers.)
"""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from threading import Lock, Thread
from time import monotonic

from celeriac.runtime.metrics.tally import TALLIES
from celeriac.runtime.process.companion import Companion, Gone
from coordinator.suggest.assignment import SuggesterState, assign
from coordinator.suggest.messages import SuggestRequest, SuggestResult
from coordinator.suggest.program import Setup
from coordinator.suggest.queue import SuggestionQueue

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-m", "coordinator.suggest.program")
#: How often limits are looked at while a process works; otherwise nothing here wakes up.
WATCH_S = 1.0
#: How long a process stays that no open study needs.
NEEDLESS_S = 10.0
CLOSE_S = 5.0
#: A process that is stopped in the middle of a message must not stop the others.
PIPE_S = 5


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """At most so many processes; seconds for one question; resident memory of one process, and seconds without a
    question.

    A process above `memory_bytes` is ended after its answer, one above twice that in the middle of its question.
    """

    processes: int = 2
    timeout_s: float = 300.0
    memory_bytes: int = 512 * 2**20
    idle_s: float = 600.0


class SuggesterProcess(Companion):
    """A process, its `question` (None: it works on nothing), and how long it has worked, or not (`for_s`)."""

    def __init__(self, command: Sequence[str], setup: Setup) -> None:
        """Start it. Never raises: one that cannot be started is Gone when it is asked."""
        super().__init__(command, pipe_s=PIPE_S)
        self.question: SuggestRequest | None = None
        self._since = monotonic()
        with suppress(OSError):  # it is noticed when it is asked
            self.connection.send(setup)

    @property
    def for_s(self) -> float:
        """Seconds since it was asked, or since it answered."""
        return monotonic() - self._since

    def ask(self, question: SuggestRequest) -> None:
        """Let it work on a question. Raises Gone."""
        self.question, self._since = question, monotonic()
        self.send(question)

    def take(self) -> SuggestResult:
        """The answer that has come; it is free from now on. Raises Gone."""
        answer: SuggestResult = self.receive()
        self.question, self._since = None, monotonic()
        return answer


class Pool:
    """See `coordinator.suggest.messages.SuggestService`. `on_answer(study_id)` is called, on the pool's thread, when
    there is something to take.
    """

    def __init__(
        self, setup: Setup, limits: PoolLimits, on_answer: Callable[[int], None], command: Sequence[str] = COMMAND
    ) -> None:
        self._setup, self._limits, self._on_answer, self._command = setup, limits, on_answer, command
        self._lock = Lock()
        self._queue = SuggestionQueue()
        self._processes: list[SuggesterProcess | None] = [None] * limits.processes
        self._thread: Thread | None = None
        self._closed = False
        self._due: list[int] = []
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)

    # -- any thread ---------------------------------------------------------------------------------------------------
    def answer(self, question: SuggestRequest) -> SuggestResult | None:
        """See `SuggestService.answer`."""
        with self._lock:
            found = self._queue.answer(question)
            if found is None and not self._closed:
                self._wake()
        return found

    def carry(self, study_id: int, turn: int) -> None:
        """See `SuggestService.carry`."""
        with self._lock:
            self._queue.carry(study_id, turn)

    def suggest_s(self, study_id: int) -> float:
        """See `SuggestService.suggest_s`."""
        with self._lock:
            return self._queue.suggest_s(study_id)

    def forget(self, study_id: int) -> None:
        """See `SuggestService.forget`."""
        with self._lock:
            self._queue.forget(study_id)
            self._wake_if_started()

    def keep_only(self, study_ids: Sequence[int]) -> None:
        """See `SuggestService.keep_only`."""
        with self._lock:
            self._queue.keep_only(study_ids)

    def processes(self) -> list[int]:
        """The ids of the processes that run now."""
        return [process.pid for _, process in self._running() if process.pid]

    def close(self) -> None:
        """End all processes and the thread; nobody is answered any more.

        A thread that is in a turn for longer than CLOSE_S is left to the end of this program, and so are its processes.
        """
        with self._lock:
            self._closed = True
            self._wake_if_started()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._run, name="suggesters", daemon=True)
            self._thread.start()
        self._wake_if_started()

    def _wake_if_started(self) -> None:
        if self._thread is not None:
            with suppress(BlockingIOError):  # a full pipe wakes as well as a fuller one
                os.write(self._wake_writer, b"\0")

    # -- the pool's thread --------------------------------------------------------------------------------------------
    # Processes are started on it alone: they are told to die with the thread that started them.
    def _run(self) -> None:
        try:
            while not self._closed:
                self._step()
        finally:
            # Also after an error that nobody foresaw: whoever asks next starts a new thread, and finds nothing half
            # done.
            for number, process in self._running():
                self._lose(number, process, "was ended with the pool")

    def _step(self) -> None:
        """Wait for something to do, and do it; turns that follow come last, when all processes have work again."""
        connections = [process.connection for process in self._processes if process is not None]
        ready = wait([self._wake_reader, *connections], self._wait_s())
        if self._wake_reader in ready:
            os.read(self._wake_reader, 4096)
        for number, process in enumerate(self._processes):
            if process is not None and process.connection in ready:
                self._take(number, process)
            elif process is not None:
                self._enforce(number, process)
        self._hand_out()
        due, self._due = self._due, []
        for study_id in due:
            self._tell(study_id)

    def _wait_s(self) -> float | None:
        """Until when nothing needs to be looked at, if nothing comes; None: for ever."""
        waits = [WATCH_S if process.question else self._spare_s(number, process) for number, process in self._running()]
        return min(waits, default=None)

    def _take(self, number: int, process: SuggesterProcess) -> None:
        question = process.question
        try:
            answer = process.take()
        except Gone as gone:
            self._lose(number, process, str(gone))
            return
        with self._lock:
            is_due = question is not None and self._queue.done(question, answer)
        if answer.suggestions:
            TALLIES.observe("suggestion_seconds", answer.took_s)
        if is_due:
            self._due.append(answer.study_id)
        if process.rss_bytes > self._limits.memory_bytes:
            log.info("suggester %d is ended: it has grown to %s", number, _mib(process.rss_bytes))
            self._end(number)

    def _enforce(self, number: int, process: SuggesterProcess) -> None:
        """The limits, on a process from which nothing has come."""
        limits = self._limits
        if process.question is None:
            if self._spare_s(number, process) <= 0.0:
                log.info("suggester %d is ended: nothing is asked of it", number)
                self._end(number)
        elif process.for_s > limits.timeout_s:
            self._lose(number, process, f"took more than {limits.timeout_s:g} s over one question")
        elif process.rss_bytes > 2 * limits.memory_bytes:
            self._lose(number, process, f"took more than {_mib(2 * limits.memory_bytes)} of memory")

    def _spare_s(self, number: int, process: SuggesterProcess) -> float:
        """How long a process without a question may still stay."""
        with self._lock:
            is_needed = self._queue.knows(number)
        return (self._limits.idle_s if is_needed else NEEDLESS_S) - process.for_s

    def _hand_out(self) -> None:
        while True:
            with self._lock:
                decision = assign(self._queue.asking(), [self._seen(n) for n in range(len(self._processes))])
                if decision is None:
                    return
                question = self._queue.hand_out(decision.study_id, decision.suggester)
            self._let_work(decision.suggester, question)

    def _seen(self, number: int) -> SuggesterState:
        process = self._processes[number]
        if process is None:
            return SuggesterState(number)
        busy_s = None if process.question is None else process.for_s
        return SuggesterState(number, runs=True, busy_s=busy_s, knows=self._queue.knows(number))

    def _let_work(self, number: int, question: SuggestRequest) -> None:
        process = self._processes[number]
        if process is None:
            process = self._processes[number] = SuggesterProcess(
                self._command, replace(self._setup, name=f"suggester {number}", answer_s=self._limits.timeout_s)
            )
        try:
            process.ask(question)
        except Gone as gone:
            self._lose(number, process, str(gone))

    def _lose(self, number: int, process: SuggesterProcess, how: str) -> None:
        """A process died, or has to: what it worked on is tried again, or its study is told."""
        question = process.question
        self._end(number)
        if question is None:
            return
        with self._lock:
            is_due = self._queue.lost(question, how)
        if is_due:
            self._due.append(question.study.id)
        if not self._closed:
            log.warning("the suggester that worked for study %s %s", question.study.name, how)

    def _end(self, number: int) -> None:
        process, self._processes[number] = self._processes[number], None
        if process is None:
            return
        process.end()
        with self._lock:
            self._queue.vacate(number)

    def _running(self) -> list[tuple[int, SuggesterProcess]]:
        return [(number, process) for number, process in enumerate(self._processes) if process is not None]

    def _tell(self, study_id: int) -> None:
        try:
            self._on_answer(study_id)
        except Exception:
            # The next tick drives the study again; the other studies' processes must not wait for that.
            log.exception("study %d: the turn that followed an answer failed", study_id)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.0f} MiB"
