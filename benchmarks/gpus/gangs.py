"""Trials on several slots while their members are killed with -9: real processes, gloo, one host.

Each round is a trial of `examples/gang` on three slots. At a random step a random member, rank 0 among them, loses its
process, its worker's pool process or its worker. Bars: every round ends with the score of a trial that nobody
disturbed, once; it trains again within 20 s, in which a new worker imports torch and scikit-learn. Then a trial runs on
three slots, a fourth comes, and is used.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil

from benchmarks.embedded import Embedded, embedded
from celeriac.client import Client
from celeriac.domain.records import Outcome, StudyState, TrialRecord

ROUNDS, SLOTS, SEED = 100, 3, 1
EPOCHS = 16
AGAIN_S = 20.0
HEADLINES = ("gang_rounds_ok", "gang_recover_s_p95")
EXAMPLE = Path(__file__).parents[2] / "examples" / "gang"
KINDS = ("process", "pool", "worker")


def measure(rounds: int = ROUNDS, seed: int = SEED) -> dict[str, Any]:
    """The rounds, the fourth slot, and the same script under torchrun's elastic agent."""
    from benchmarks.gpus import elastic_agent

    rng = random.Random(seed)
    with embedded(SLOTS) as stack, stack.client() as client:
        undisturbed = Round(stack, client, "undisturbed").whole()
        played = [Round(stack, client, f"round-{k}").disturbed(rng) for k in range(rounds)]
        grown = _grown(stack, client)
    return {
        **summary(played, undisturbed),
        "undisturbed": undisturbed,
        "grown": grown,
        "elastic_agent": elastic_agent.measure(),
    }


def summary(played: list[dict[str, Any]], undisturbed: float) -> dict[str, Any]:
    """What all rounds came to."""
    right = [each for each in played if each["score"] == undisturbed and each["scored"] == 1]
    again_s, begun_s = (sorted(each[name] for each in played) for name in ("again_s", "begun_s"))
    return {
        "rounds": len(played),
        "gang_rounds_ok": len(right),
        "gang_recover_s_p95": round(quantiles(again_s, n=20, method="inclusive")[-1], 2)
        if len(again_s) > 1
        else again_s[0],
        "gang_recover_s_most": round(again_s[-1], 2),
        "next_round_begun_s_most": round(begun_s[-1], 2),
        "killed": dict(Counter(f"{each['kind']} of rank {each['rank']}" for each in played)),
        "attempts": dict(Counter(each["attempts"] for each in played)),
        "wrong": [each for each in played if each not in right],
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    wrong = []
    if figures["gang_rounds_ok"] != figures["rounds"]:
        wrong.append(
            f"{figures['gang_rounds_ok']} of {figures['rounds']} rounds ended as undisturbed: {figures['wrong']}"
        )
    if figures["gang_recover_s_most"] > AGAIN_S:
        wrong.append(f"it took {figures['gang_recover_s_most']} s until a round trained again, {AGAIN_S:g} at most")
    grown = figures["grown"]
    if grown["worlds"] != [3, 4] or grown["score"] != grown["score_on_three"]:
        wrong.append(f"a fourth slot was not used, or changed the score: {grown}")
    return wrong


@dataclass
class Round:
    """One study of one trial on three slots."""

    stack: Embedded
    client: Client
    name: str
    slots: Any = SLOTS
    epochs: int = EPOCHS

    def whole(self) -> float:
        """Its score, when nobody disturbs it."""
        study = self.submit()
        study.wait(timeout=120)
        return float(self.trial(study.id).score or 0.0)

    def disturbed(self, rng: random.Random) -> dict[str, Any]:
        """Kill one member at a random step, and see how it ends."""
        study, step = self.submit(), rng.randrange(1, self.epochs - 3)
        until(lambda: (self.trial(study.id).last_step or 0) >= step, 120)
        before = self.trial(study.id)
        members = list(self.client.store.gang_members(study.id, 0, before.attempts))
        victim, kind = rng.choice(members), rng.choice(KINDS)
        _victim(self.stack, victim.worker, kind).kill()
        began = time.monotonic()
        until(lambda: self.trial(study.id).attempts > before.attempts, 120)
        begun_s = time.monotonic() - began
        until(lambda: self._trains_again(study.id, before.attempts), 120)
        again_s = time.monotonic() - began
        until(lambda: self.client.store.study(study.id).state is StudyState.DONE, 180)
        attempts = self.client.store.attempts(study.id, 0)
        found = {
            "round": self.name,
            "kind": kind,
            "rank": victim.rank,
            "step": step,
            "begun_s": round(begun_s, 2),
            "again_s": round(again_s, 2),
            "score": self.trial(study.id).score,
            "scored": sum(each.outcome is Outcome.SCORED for each in attempts),
            "attempts": len(attempts),
        }
        print(json.dumps(found), flush=True)
        return found

    def submit(self) -> Any:
        """Open its study."""
        return self.client.submit(
            {
                "study": self.name,
                "objective": "train:objective",
                "code": str(EXAMPLE),
                "metric": {"name": "accuracy", "goal": "maximize"},
                "space": {"lr": {"float": [1e-3, 1e-1], "log": True}, "width": {"int": [16, 128], "log": True}},
                "default": {"lr": 0.02, "width": 32},
                "sampler": "random",
                "seed": 7,
                "budget": {"trials": 1},
                "resources": {"slots": self.slots},
                "context": {"epochs": self.epochs},
            }
        )

    def trial(self, study_id: int) -> TrialRecord | Any:
        """Its trial as it stands now; before it is there, an empty stand-in."""
        found = self.client.store.trials(study_id, limit=1)
        return found[0] if found else _Nothing()

    def _trains_again(self, study_id: int, attempt: int) -> bool:
        """Whether a later attempt has reported, or ended well: a kill at the last step leaves nothing to report."""
        trial = self.trial(study_id)
        return trial.attempts > attempt and (trial.last_step is not None or trial.score is not None)


@dataclass(frozen=True)
class _Nothing:
    """A trial that is not there yet."""

    last_step: int | None = None
    score: float | None = None
    attempts: int = 0


def _grown(stack: Embedded, client: Client) -> dict[str, Any]:
    """A trial that may have four slots begins on three; a fourth comes while it runs."""
    grown = Round(stack, client, "grown", {"min": 3, "max": 4}, epochs=200)
    study = grown.submit()
    until(lambda: (grown.trial(study.id).last_step or 0) >= 2, 120)
    with _fourth(stack):
        until(lambda: 4 in _worlds(client, study.id), 120)
        until(lambda: client.store.study(study.id).state is StudyState.DONE, 300)
    alone = Round(stack, client, "not-grown", epochs=200).whole()
    score = grown.trial(study.id).score
    return {"worlds": _worlds(client, study.id), "score": score, "score_on_three": alone}


def _worlds(client: Client, study_id: int) -> list[int]:
    """With how many members it reported, each once, in order."""
    told = [int(each.metrics["world"]) for each in client.store.reports(study_id, 0)]
    return list(dict.fromkeys(told))


@contextmanager
def _fourth(stack: Embedded) -> Iterator[None]:
    """Another host with one slot, for the block."""
    command = [sys.executable, "-P", "-m", "worker", "--slots", "1"]
    environment = {**os.environ, "CELERIAC_HOST": "fourth", "CELERIAC_HOME": str(stack.home)}
    with (stack.home / "fourth.log").open("wb") as log:
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        node.terminate()
        node.wait(60)


def _victim(stack: Embedded, worker: str, kind: str) -> psutil.Process:
    """The process of that worker that is to be killed."""
    node = stack.programs()["node"]
    main = next(each for each in node.children() if worker in each.cmdline())
    if kind == "worker":
        return main
    pool = next(each for each in main.children() if "worker.slot.celery_worker" in " ".join(each.cmdline()))
    if kind == "pool":
        return pool
    servers = [each for each in pool.children() if "worker.process.server" in " ".join(each.cmdline())]
    trials = [each for server in servers for each in server.children()]
    # Beside the trial's process waits a warm one for the next, which has done nothing yet.
    return max(trials, key=lambda each: sum(each.cpu_times()[:2]))


def until(true: Callable[[], bool], within_s: float) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen in {within_s:g} s")
        time.sleep(0.05)


def main() -> int:
    """Some rounds alone, for a machine on which all together take too long."""
    parser = argparse.ArgumentParser(prog="benchmarks.gpus.gangs")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--grow", action="store_true", help="and the fourth slot")
    options = parser.parse_args()
    with embedded(SLOTS) as stack, stack.client() as client:
        undisturbed = Round(stack, client, "undisturbed").whole()
        rng = random.Random(options.seed)
        played = [Round(stack, client, f"round-{k}").disturbed(rng) for k in range(options.rounds)]
        print(json.dumps(summary(played, undisturbed)), flush=True)
        if options.grow:
            print(json.dumps(_grown(stack, client)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
