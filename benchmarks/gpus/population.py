"""Population based training beside random search of equal cost, on a training whose best learning rate falls as it
goes (`examples/population`): real studies on a real service, eight slots.

The cost is counted in epochs that were trained. Random search trains as many, each trial to its end, in this process.
Bars: the median height is below random search's, and most studies end lower than their neighbour.
"""

import importlib.util
import random
import statistics
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.embedded import Embedded, embedded
from celeriac.domain.records import Source
from celeriac.domain.study_file import StudySpec, load
from celeriac.trial import Trial
from worker.attempt.job import trial_seed

HEADLINES = ("population_of_random",)
SEEDS, SLOTS, LIMIT_S = range(5), 8, 120.0
MOST_OF_RANDOM = 1.0
EXAMPLE = Path(__file__).parents[2] / "examples" / "population"


def measure() -> dict[str, Any]:
    """Each study's best height, and random search's with as many epochs."""
    began, spec = time.monotonic(), load(EXAMPLE / "study.yaml")
    with embedded(SLOTS) as stack:
        studies = [_study(stack, spec, seed) for seed in SEEDS]
    training = _training()
    for seed, found in zip(SEEDS, studies, strict=True):
        found["random"] = _random_search(spec, training, found["epochs"], seed)
    ours, theirs = (statistics.median(each[name] for each in studies) for name in ("population", "random"))
    return {
        "studies": studies,
        "population_height": ours,
        "random_height": theirs,
        "population_of_random": ours / theirs,
        "lower": sum(each["population"] < each["random"] for each in studies),
        "took_s": round(time.monotonic() - began, 1),
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    told = []
    if figures["population_of_random"] > MOST_OF_RANDOM:
        told.append(f"the median height is {figures['population_of_random']:.2f} of random search's")
    if 2 * figures["lower"] <= len(figures["studies"]):
        told.append(f"only {figures['lower']} of {len(figures['studies'])} studies end below random search")
    return told


def _study(stack: Embedded, spec: StudySpec, seed: int) -> dict[str, Any]:
    form = {**spec.to_dict(), "study": f"valley-{seed}", "seed": seed, "code": str(EXAMPLE)}
    with stack.client() as client:
        began = time.monotonic()
        study = client.submit(form).wait(LIMIT_S)
        trials, counts, best = list(study.each_trial()), study.record.counts, study.best
        told = client.store.reports_of(study.id, [each.number for each in trials])
        course = study.lineage()
        took_s = round(time.monotonic() - began, 1)
    return {
        "population": None if best is None else best.score,
        "epochs": sum(map(len, told.values())),
        "heirs": sum(each.source is Source.PBT for each in trials),
        "scored": counts.scored,
        "pruned": counts.pruned,
        "course": [[part.first, part.last, float(f"{part.params['lr']:.3g}")] for part in course],
        "took_s": took_s,
    }


def _training() -> ModuleType:
    """The example's script, without its rests."""
    found = importlib.util.spec_from_file_location("population_train", EXAMPLE / "train.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    module.EPOCH_S = 0.0  # type: ignore[attr-defined]
    return module


def _random_search(spec: StudySpec, training: ModuleType, epochs: int, seed: int) -> float:
    rng, count = random.Random(seed), round(epochs / training.EPOCHS)
    points = [spec.space.sample(rng) for _ in range(count)]
    trials = [Trial.offline(point, seed=trial_seed(seed, number)) for number, point in enumerate(points)]
    return min(float(training.objective(each)) for each in trials)
