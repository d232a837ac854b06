"""What does the buffer cost in wisdom? Whole studies by the coordinator's own turns, on a virtual clock, with no
program around them.

Trials last about ten minutes; a suggestion takes no time. Beside the buffer as it is: one that is never replaced, and
one that binds a ticket for each slot, as it must for short trials; and what no real fleet can have, a suggestion made
when a slot is free and at once there. The figure is the true regret of the best trial after 60, in units of random
search's median after 40.
"""

import argparse
import heapq
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from statistics import mean, stdev
from typing import Any
from unittest.mock import patch

from benchmarks.embedded import write_json
from benchmarks.search.clock import duration
from benchmarks.search.problems import FUNCTIONS, Problem, problem
from benchmarks.search.runs import Key, run
from celeriac.decide import buffer
from celeriac.decide import turn as next_
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.messages import Message, RunTrial
from celeriac.domain.records import Device, Lease, NewStudy, StudyRecord, StudyState
from celeriac.domain.study_file import parse
from celeriac.runtime.broker import Tickets
from celeriac.store.api import AttemptEnd
from coordinator.suggest.history import Histories
from coordinator.suggest.messages import GUESSED_S, SuggestRequest, SuggestResult, answered
from coordinator.turn import Coordinator, drive
from tests.memory_store import MemoryStore

TRIAL_S = 600.0
BUDGET = 60


class Here:
    """A `Suggesters` that answers at once."""

    def __init__(self, store: MemoryStore) -> None:
        self._store, self._histories = store, Histories()
        self.suggested = 0

    def answer(self, question: SuggestRequest) -> SuggestResult | None:
        self.suggested += question.count
        return answered(self._store, self._histories, question)

    def suggest_s(self, study_id: int) -> float:
        return GUESSED_S

    def carry(self, study_id: int, turn: int) -> None: ...
    def forget(self, study_id: int) -> None: ...
    def keep_only(self, study_ids: Sequence[int]) -> None: ...
    def close(self) -> None: ...


class Queue(Tickets):
    """Tickets in a list."""

    def __init__(self) -> None:
        self.tickets: list[RunTrial] = []

    def send(self, message: Message, *, queue: str, summary: str, task_id: str | None = None) -> None:
        assert isinstance(message, RunTrial)
        self.tickets.append(message)


class Fleet:
    """A study's workers on the virtual clock."""

    def __init__(self, of: Problem, slots: int, seed: int) -> None:
        self._of, self._slots, self._seed = of, slots, seed
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        self.store, self.queue = MemoryStore(lambda: self._now), Queue()
        self.suggesters = Here(self.store)
        self._coordinator = Coordinator(self.store, self.queue, self.suggesters)
        self._running: list[tuple[datetime, int, Lease, float]] = []
        self._best = (float("inf"), float("nan"))

    def regret(self) -> float:
        """The normalised regret of the best trial when the study is done."""
        study = self._opened()
        while self.store.study(study.id).state is not StudyState.DONE:
            self._look_alive()
            drive(self._coordinator, study.id)
            self._take(study)
            if self._running:
                self._end()
        return self._best[1] / self._of.yard()

    def _opened(self) -> StudyRecord:
        spec = parse(
            {
                "study": self._of.name,
                "objective": "none:none",
                "metric": {"name": "loss", "goal": "minimize"},
                "space": self._of.space.to_dict(),
                "seed": self._seed,
                "budget": {"trials": BUDGET},
            }
        )
        return self.store.create_study(NewStudy(spec.study, spec.to_dict(), spec.metric.goal))

    def _look_alive(self) -> None:
        slots = tuple(f"cpu.s{k}" for k in range(self._slots))
        self.store.put_devices("host", [Device("cpu", "host", "cpu", 0, {}, slots, "", "ok", self._now)])

    def _take(self, study: StudyRecord) -> None:
        while self.queue.tickets and len(self._running) < self._slots:
            ticket = self.queue.tickets.pop(0)
            lease = self.store.lease(study.id, ticket.trial, ticket.attempt, worker="w", device="cpu", lease_s=1e9)
            assert isinstance(lease, Lease)
            lasts_s = TRIAL_S * duration(self._of.name, self._seed, lease.number)
            until = self._now + timedelta(seconds=lasts_s)
            heapq.heappush(self._running, (until, lease.number, lease, lasts_s))

    def _end(self) -> None:
        self._now, _, lease, lasts_s = heapq.heappop(self._running)
        params = dict(lease.params)
        loss = self._of.observe(params, self._seed, lease.number)
        if loss < self._best[0]:
            self._best = (loss, self._of.regret(params))
        end = AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=loss, device_s=lasts_s)
        self.store.finish_attempt(lease.token, end)


def _never_stale(*_: object) -> buffer.Stale:
    return buffer.Stale()


@contextmanager
def policy(name: str) -> Iterator[None]:
    """The decisions as that policy has them."""
    patches: Mapping[str, list[AbstractContextManager[Any]]] = {
        "as it is": [],
        "every result": [patch.object(buffer, "GROWTH", 0.0)],
        "a third more": [patch.object(buffer, "GROWTH", 1 / 3)],
        "never replaced": [patch.object(next_, "stale", _never_stale)],
        "all bound": [patch.object(buffer, "AHEAD_S", 1e9), patch.object(next_, "stale", _never_stale)],
    }
    with ExitStack() as stack:
        for each in patches[name]:
            stack.enter_context(each)
        yield


POLICIES = ("at once", "every result", "as it is", "a third more", "never replaced", "all bound")


def study(case: tuple[str, str, int, int]) -> tuple[float, float]:
    """(policy, problem, slots, seed) to the normalised regret, and how many suggestions were made for a trial."""
    name, of, slots, seed = case
    if name == "at once":
        found = run(Key("ours", of, slots, seed, BUDGET))
        return found.regrets[-1] / problem(of).yard(), 1.0
    with policy(name):
        fleet = Fleet(problem(of), slots, seed)
        return fleet.regret(), fleet.suggesters.suggested / BUDGET


def main() -> int:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="build/bench/buffer.json")
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 10, 30])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--problems", nargs="+", default=list(FUNCTIONS))
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=POLICIES)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for slots in options.slots:
            for name in options.policies:
                cases = [(name, of, slots, 1000 + s) for of in options.problems for s in range(options.seeds)]
                found = list(pool.map(study, cases))
                regrets, suggested = [r for r, _ in found], mean(each for _, each in found)
                error = stdev(regrets) / len(regrets) ** 0.5
                rows.append(
                    {
                        "slots": slots,
                        "policy": name,
                        "regret": round(mean(regrets), 4),
                        "error": round(error, 4),
                        "suggestions_a_trial": round(suggested, 2),
                        "regrets": [round(each, 5) for each in regrets],
                    }
                )
                print(
                    f"{slots:3} slots   {name:15} regret {mean(regrets):.3f} ± {error:.3f}   "
                    f"{suggested:.1f} suggestions a trial",
                    flush=True,
                )
    write_json(options.out, {"trial_s": TRIAL_S, "budget": BUDGET, "rows": rows})
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
