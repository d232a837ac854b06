"""Eight GPUs under a mixed load: is no device ever given too much, does nothing wait for ever, and how much of the time
are the devices used?

Ten studies ask for shares of 0.25 and 0.5, whole GPUs, and gangs of 2 and 4, each with memory drawn at random, and
trials of random length. Beside our makespan stands that of a scheduler that knows all trials and their lengths from the
beginning, and gives the largest that fits, the longest first, whenever something becomes free: it owes nobody fairness.
`packing_of_bound` is its makespan over ours.

The same again while devices vanish at random and come back: then every study must end with exactly its trials.
"""

import heapq
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.fleet.simulation import postgres
from benchmarks.gpus.box import GIB, MEMORY_BYTES, Box
from celeriac.decide.placement import Demand, Spot, place
from celeriac.domain.records import Resources, StudyState, TrialState
from celeriac.domain.study_file import StudySpec, parse

HEADLINES = ("packing_of_bound",)
CARDS, SLOTS = 8, 4
TRIALS, STUDIES = 5000, 10
#: A share or a number of GPUs, and between which parts of the memory each study draws its own.
KINDS = ((0.25, 0.02, 0.3), (0.5, 0.1, 0.6), (1, 0.2, 1.0), (2, 0.2, 1.0), (4, 0.2, 1.0))
LEAST_OF_BOUND = 0.9
#: Mean seconds between two losses, and how long a lost device stays away.
LOSS_EVERY_S, LOST_S = 2000.0, 600.0


@dataclass(frozen=True, slots=True)
class Load:
    """The studies, and how long each trial lasts."""

    specs: list[StudySpec]
    seed: int

    def lasts(self, study_id: int, number: int) -> float:
        """Seconds, from 60 to 600."""
        drawn = random.Random(self.seed * 1_000_003 + study_id * 10_007 + number).random()
        return 60.0 * float(10.0**drawn)


def load(trials: int, seed: int = 1) -> Load:
    """Studies of all kinds, whose trials are that many together."""
    rng, specs = random.Random(seed), []
    for k in range(STUDIES):
        gpus, least, most = KINDS[k % len(KINDS)]
        gib = max(int(rng.uniform(least, most) * MEMORY_BYTES / GIB), 1)
        specs.append(
            parse(
                {
                    "study": f"study-{k:02}",
                    "objective": "none:none",
                    "metric": {"name": "loss", "goal": "minimize"},
                    "space": {"x": {"float": [0.0, 1.0]}},
                    "sampler": "random",
                    "seed": k,
                    "budget": {"trials": trials // STUDIES + (k < trials % STUDIES)},
                    "resources": {"gpus": gpus, "gpu_memory": f"{gib}GiB"},
                }
            )
        )
    return Load(specs, seed)


def run(trials: int, *, losses: bool = False) -> dict[str, Any]:
    """Run the load on our own code; what was seen."""
    asked, rng, began = load(trials), random.Random(7), time.monotonic()
    with postgres() as url:
        box = Box(url, CARDS, SLOTS, asked.lasts)
        studies = box.open_studies(asked.specs)
        loss_at, lost = rng.expovariate(1 / LOSS_EVERY_S), 0
        back_at: list[tuple[float, str]] = []
        limit_s = 10 * sum(asked.lasts(s.id, n) for s in studies for n in range(s.budget)) / CARDS
        while True:
            now = box.clock.passed_s
            if losses and now >= loss_at:
                loss_at, lost = now + rng.expovariate(1 / LOSS_EVERY_S), lost + 1
                uuid = rng.choice([each for each, card in box.cards.items() if not card.is_lost] or ["GPU-0"])
                box.lose(uuid)
                heapq.heappush(back_at, (now + LOST_S, uuid))
            while back_at and back_at[0][0] <= now:
                box.find(heapq.heappop(back_at)[1])
            if box.step() and (not box.store.studies_to_drive() or now > limit_s):
                break  # all is over, or stands still: what is missing is told below
        makespan_s = box.last_end_s
        found = _counted(box, [each.id for each in studies], asked)
        box.close()
    print(
        f"{trials} trials, {lost} losses: {makespan_s:.0f} virtual s in {time.monotonic() - began:.0f} s",
        file=sys.stderr,
    )
    return {
        **found,
        "trials": trials,
        "losses": lost,
        "makespan_s": round(makespan_s, 1),
        "busy_share": round(box.busy_s / makespan_s / CARDS, 4),
        "refused_leases": box.refused,
        "over": box.flaws,
    }


def _counted(box: Box, ids: Sequence[int], asked: Load) -> dict[str, Any]:
    """Whether each study ended with exactly its trials."""
    missing = []
    for study_id, spec in zip(ids, asked.specs, strict=True):
        study = box.store.study(study_id)
        states = Counter(each.state for each in box.store.trials(study_id, limit=100_000))
        if study.state is not StudyState.DONE or study.counts.finished != spec.budget.trials:
            missing.append(f"{study.name} is {study.state} with {study.counts.finished} of {spec.budget.trials}")
        elif states[TrialState.SCORED] != study.counts.scored or study.counts.failed:
            missing.append(f"{study.name}: {dict(states)}, {study.counts.failed} failed")
    return {"missing": missing}


def clairvoyant_s(trials: int) -> float:
    """The makespan of first fit decreasing with everything known: the largest trial that fits, the longest first."""
    asked = load(trials)
    waiting: dict[int, list[float]] = {}
    for study_id, spec in enumerate(asked.specs, start=1):
        waiting[study_id] = sorted(asked.lasts(study_id, n) for n in range(spec.budget.trials))
    wants: dict[int, Resources] = {k: spec.resources for k, spec in enumerate(asked.specs, start=1)}
    spots = {
        f"GPU-{k}": Spot(f"GPU-{k}", "box", True, MEMORY_BYTES, {}, SLOTS, 1.0, MEMORY_BYTES) for k in range(CARDS)
    }
    running: list[tuple[float, int, Any]] = []
    now, begun = 0.0, 0
    while any(waiting.values()) or running:
        demands = [Demand(k, wants[k], len(left), wants[k].gpu_memory_bytes) for k, left in waiting.items() if left]
        for each in place(demands, spots.values(), patience_s=float("inf")).places:
            begun += 1
            heapq.heappush(running, (now + waiting[each.study_id].pop(), begun, each.placed))
            for uuid in each.placed.devices:
                spots[uuid] = spots[uuid].without(each.placed.share, each.placed.memory_bytes)
        now, _, placed = heapq.heappop(running)
        for uuid in placed.devices:
            spots[uuid] = spots[uuid].without(-placed.share, -placed.memory_bytes, -1)
    return now


def measure(trials: int = TRIALS) -> dict[str, Any]:
    """Both runs, and the bound."""
    bound_s = clairvoyant_s(trials)
    calm, rough = run(trials), run(trials, losses=True)
    return {
        "bound_s": round(bound_s, 1),
        "packing_of_bound": round(bound_s / calm["makespan_s"], 4),
        "calm": calm,
        "with_losses": rough,
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that are not met."""
    found = [f"{name}: {flaw}" for name in ("calm", "with_losses") for flaw in figures[name]["over"]]
    found += [f"{name}: {flaw}" for name in ("calm", "with_losses") for flaw in figures[name]["missing"]]
    if figures["packing_of_bound"] < LEAST_OF_BOUND:
        found.append(f"{figures['packing_of_bound']} of the clairvoyant bound, less than {LEAST_OF_BOUND}")
    return found
