"""Packs: how many trials an hour on one CPU core, beside the same trials alone on the same stack; and what becomes of
trials whose packs are killed.

Bar: at least 3 x as many, and each trial's loss within 1e-5 of what it comes to alone (`examples/pack`). One slot and
one thread. The first sixteen trials only warm up (the slot imports torch, once); then the time runs from the first
lease to the last end, so that what the service takes between trials counts. Rates are such that training is stable:
where it is not, a last digit of rounding grows without bound.

Then walks in packs (`striding/stride.py`) under early stopping, some of which fail by themselves, while their process
is killed with -9 again and again: every trial ends once, unless it is stopped with the score of an undisturbed walk.
"""

import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from benchmarks.embedded import Embedded, embedded
from benchmarks.gpus.striding.stride import BAD, EACH, STEPS, objective
from celeriac import Pack
from celeriac.client import Client
from celeriac.domain.records import CLOSED, Fault, TrialRecord, TrialState
from worker.attempt.job import trial_seed

HEADLINES = ("pack_speedup",)
LEAST_SPEEDUP, MOST_OFF = 3.0, 1e-5
PACK, TRIALS, WALKS, KILLS = 16, 48, 48, 6
SEED, STEP_S, LIMIT_S = 7, 0.1, 420.0
ROOT = Path(__file__).parents[2]
SPACE = {
    "lr": {"float": [1e-3, 0.05], "log": True},
    "momentum": {"float": [0.0, 0.9]},
    "weight_decay": {"float": [1e-6, 1e-2], "log": True},
    "width": {"choice": [16], "shape": True},
}


def measure() -> dict[str, Any]:
    """The speed, the losses, and the killed packs."""
    with embedded(slots=1, environment={"OMP_NUM_THREADS": "1"}) as stack, stack.client() as client:
        packed, alone = (trained(client, name) for name in ("packed", "alone"))
        sizes = [client.store.attempts(each.study_id, each.number)[0].packed for each in packed]
    per_hour = {name: hourly(trials) for name, trials in (("packed", packed), ("alone", alone))}
    off = [abs((a.score or 0.0) - (b.score or 1e9)) for a, b in zip(packed, alone, strict=True)]
    same = all(a.params == b.params for a, b in zip(packed, alone, strict=True))
    return {
        "trials": TRIALS,
        "pack": PACK,
        "in_packs_of": dict(sorted(Counter(sizes).items())),
        "trials_an_hour": {name: round(each) for name, each in per_hour.items()},
        "pack_speedup": round(per_hour["packed"] / per_hour["alone"], 2),
        "same_params": same,
        "losses_off_at_most": max(off),
        "killed": killed_packs(),
    }


def broken(figures: Mapping[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    told, killed = [], figures["killed"]
    if figures["pack_speedup"] < LEAST_SPEEDUP:
        told.append(f"packs train {figures['pack_speedup']} x the trials an hour, below {LEAST_SPEEDUP:g}")
    if not figures["same_params"] or figures["losses_off_at_most"] > MOST_OFF:
        told.append(f"losses differ by {figures['losses_off_at_most']:g}, more than {MOST_OFF:g}")
    if killed["other_scores"] or killed["ended"] != WALKS:
        told.append(f"of {killed['ended']} trials whose packs were killed {killed['other_scores']} ended otherwise")
    if not killed["kills"] or not killed["resumed"] or not killed["pruned"] or not killed["failed"]:
        told.append(f"not everything was tried: {killed}")
    return told


def trained(client: Client, name: str) -> list[TrialRecord]:
    """The same trials, packed or alone, by number."""
    how = {"objective": "train:objective", "pack": PACK} if name == "packed" else {"objective": "train:alone"}
    study = client.submit(
        {
            "study": name,
            "code": str(ROOT / "examples" / "pack"),
            "metric": {"name": "loss", "goal": "minimize"},
            "space": SPACE,
            "sampler": "random",
            "seed": SEED,
            "budget": {"trials": TRIALS},
            **how,
        }
    )
    study.wait(timeout=LIMIT_S)
    return client.store.trials(study.record.id, limit=TRIALS)


def hourly(trials: list[TrialRecord]) -> float:
    """Trials an hour after the first PACK, from the first lease to the last end."""
    warm = trials[PACK:]
    begun = min(each.started_at for each in warm if each.started_at)
    ended = max(each.ended_at for each in warm if each.ended_at)
    return 3600 * len(warm) / (ended - begun).total_seconds()


def killed_packs() -> dict[str, Any]:
    """Walks whose processes are killed; what came of them."""
    with tempfile.TemporaryDirectory(prefix="celeriac-strides-") as place, embedded(slots=1) as stack:
        told = Path(place) / "told"
        told.touch()
        with stack.client() as client:
            study = client.submit(
                {
                    "study": "strides",
                    "code": str(Path(__file__).parent / "striding"),
                    "objective": "stride:objective",
                    "metric": {"name": "place", "goal": "maximize"},
                    "space": {
                        "x": {"float": [0.5, 2.0]},
                        "told": {"choice": [str(told)]},
                        "step_s": {"choice": [STEP_S]},
                    },
                    "sampler": "random",
                    "seed": SEED,
                    "pack": PACK,
                    "stop_early": {"rule": "asha", "min": 8, "max": STEPS, "eta": 2},
                    "budget": {"trials": WALKS},
                }
            )
            kills = strike(stack, client, study.record.id, told)
            trials = client.store.trials(study.record.id, limit=2 * WALKS)
            attempts = [each for t in trials for each in client.store.attempts(t.study_id, t.number)]
    return {"kills": kills, **came_to(trials), "resumed": sum(each.resumed_step is not None for each in attempts)}


def strike(stack: Embedded, client: Client, study_id: int, told: Path) -> int:
    """Kill processes that have saved something at random steps, until the study has ended; how often."""
    rng, until, kills, struck = random.Random(SEED), time.monotonic() + LIMIT_S, 0, set[int]()
    least = EACH + 1 + rng.randrange(2 * EACH)
    while client.store.study(study_id).state not in CLOSED:
        if time.monotonic() > until:
            raise TimeoutError(f"the study did not end in time: {client.store.study(study_id).counts}")
        lines = told.read_text().splitlines()
        pid, made = map(int, lines[-1].split()) if lines else (0, 0)
        if kills < KILLS and made >= least and pid not in struck:
            if len(struck) % 3 < 2:  # the third in a row would put the slot aside, for minutes
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills, least = kills + 1, EACH + 1 + rng.randrange(2 * EACH)
            struck.add(pid)
        time.sleep(0.02)
    return kills


def came_to(trials: list[TrialRecord]) -> dict[str, int]:
    """How the walks ended, and how many of them otherwise than they should have."""
    other = 0
    for each in trials:
        bad = each.params["x"] > BAD
        if each.state is TrialState.SCORED:
            other += bad or each.score != undisturbed(each)
        elif each.state is TrialState.FAILED:
            other += not bad or each.fault is not Fault.NOT_FINITE
        elif each.state is not TrialState.PRUNED:
            other += 1
    states = Counter(each.state for each in trials)
    return {
        "ended": sum(each.ended_at is not None for each in trials),
        "scored": states[TrialState.SCORED],
        "pruned": states[TrialState.PRUNED],
        "failed": states[TrialState.FAILED],
        "other_scores": other,
    }


def undisturbed(trial: TrialRecord) -> float:
    """The score of the same walk alone, at once in this process, with the trial's seed."""
    params = {**trial.params, "told": "", "step_s": 0.0}
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        return objective(Pack.offline([params], seed=trial_seed(SEED, trial.number)))[0]
