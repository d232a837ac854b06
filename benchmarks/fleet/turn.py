"""What does one trial's end cost the coordinator, with 30, 300 and 3,000 trials running?

Each end is followed to where nothing is left to do: the turns that it causes are timed, the suggestion itself (another
process's work) and the slot's own statements are not; `cpu_ms_per_end` is this process's own share, which a busy
machine does not change. Statements are all that the coordinator and its suggester send. Bars: time and statements at
300 and 3,000 at most 1.5 times those at 30; a snapshot below 64 KB at 3,000; one drive process carries 60 ends a
second at 300.
"""

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from time import monotonic, process_time
from typing import Any

import psycopg

from benchmarks.fleet.simulation import Fleet, postgres
from coordinator.suggest.messages import SuggestRequest, SuggestResult

SLOTS = (30, 300, 3000)
MEAN_S = 60.0
ENDS, WARM_UP = 150, 30
MOST_TIMES, MOST_KB, LEAST_ENDS = 1.5, 64.0, 60.0


def lasts(study_id: int, number: int) -> float:
    """Virtual seconds of a trial: near enough to the mean that the first ends tell it."""
    return MEAN_S * random.Random(f"{study_id} {number}").uniform(0.95, 1.05)


def measure() -> dict[str, Any]:
    """The cost of one end for each number of slots, the size of a snapshot, how long the first fill took."""
    return {"slots": {str(slots): _measured(slots) for slots in SLOTS}}


def _measured(slots: int) -> dict[str, float]:
    with postgres() as url:
        fleet = Fleet(url, slots, lasts, tick_s=1e9)
        began = monotonic()
        [study] = fleet.open_studies(f"turn-{slots}", budget={"trials": 1_000_000})
        fill_s = monotonic() - began
        timed, cpu, statements = [], [], []
        for k in range(WARM_UP + ENDS):
            fleet.end_next()
            with counted_statements() as count, suggestions_apart(fleet) as apart:
                began, cpu_began = monotonic(), process_time()
                while fleet.drive_next():
                    pass
                spent_s, cpu_s = monotonic() - began, process_time() - cpu_began
            if k >= WARM_UP:
                timed.append(spent_s - sum(each for each, _ in apart))
                cpu.append(cpu_s - sum(each for _, each in apart))
                statements.append(len(count))
            fleet.settle()
        snapshot_bytes = len(pickle.dumps(fleet.store.snapshot(study.id)))
        running = fleet.running(study.id)
        fleet.close()
    ms = 1000 * median(timed)
    return {
        "ms_per_end": round(ms, 2),
        "cpu_ms_per_end": round(1000 * median(cpu), 2),
        "statements_per_end": round(sum(statements) / len(statements), 2),
        "snapshot_kb": round(snapshot_bytes / 1024, 1),
        "ends_per_s": round(1000 / ms, 1),
        "first_fill_s": round(fill_s, 1),
        "running": running,
    }


@contextmanager
def counted_statements() -> Iterator[list[None]]:
    """A list that grows by one with each statement that this process sends."""
    count: list[None] = []
    execute = psycopg.Cursor.execute

    def counted(cursor: Any, *args: Any, **kwargs: Any) -> Any:
        count.append(None)
        return execute(cursor, *args, **kwargs)

    psycopg.Cursor.execute = counted  # type: ignore[method-assign,assignment]
    try:
        yield count
    finally:
        psycopg.Cursor.execute = execute  # type: ignore[method-assign]


@contextmanager
def suggestions_apart(fleet: Fleet) -> Iterator[list[tuple[float, float]]]:
    """The seconds, and the seconds of a processor, of each suggestion that was made in the block."""
    suggesters = fleet.coordinator.suggesters
    spent_s: list[tuple[float, float]] = []
    answer = suggesters.answer

    def timed(question: SuggestRequest) -> SuggestResult | None:
        began, cpu_began = monotonic(), process_time()
        found = answer(question)
        spent_s.append((monotonic() - began, process_time() - cpu_began))
        return found

    suggesters.answer = timed  # type: ignore[method-assign]
    try:
        yield spent_s
    finally:
        suggesters.answer = answer  # type: ignore[method-assign]


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    few, some, many = (figures["slots"][str(slots)] for slots in SLOTS)
    found = [
        f"{key} at {each['running']} running is more than {MOST_TIMES} times that at {few['running']}"
        for key in ("ms_per_end", "statements_per_end")
        for each in (some, many)
        if each[key] > MOST_TIMES * few[key]
    ]
    if many["snapshot_kb"] > MOST_KB:
        found.append(f"a snapshot of {many['snapshot_kb']} KB")
    if some["ends_per_s"] < LEAST_ENDS:
        found.append(f"one drive process carries {some['ends_per_s']} ends a second")
    return found
