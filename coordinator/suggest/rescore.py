"""What would another sampler have found on a night's search? An estimate from its rows: each point that the sampler
proposes is answered by the nearest trial of that night.

The night's first trials (default, champion, earlier nights' best) are every sampler's, as they were. What is told
beside it keeps it honest: the study's own sampler answered in the same way, how far the nearest trials were, and that
no sampler can find more than the night's trials hold. A space that was learned is the one it had come to at the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

import numpy as np

from celeriac.decide.sampler import chosen_sampler
from celeriac.domain.errors import CallerError
from celeriac.domain.records import Source, StudyRecord
from celeriac.domain.sampler_names import AUTO
from celeriac.domain.space import Space
from celeriac.domain.study_file import StudySpec, parse
from celeriac.store import Store
from coordinator.samplers import ask, learns_from_earlier
from coordinator.samplers.api import Kind, Observation, proposed
from coordinator.samplers.earlier import EarlierStudy
from coordinator.samplers.encoding import Array, Box
from coordinator.suggest.history import taught
from coordinator.suggest.past import night_start

#: After so many trials, and at the end.
AT = (5, 10, 25)
_SPREAD = 1_000_003


class Answers:
    """A night's trials, by their places in the space."""

    def __init__(self, space: Space, trials: Sequence[Observation]) -> None:
        self._box, self._trials, self._columns = Box(space), trials, max(len(space.names), 1)
        self._places = self._encoded(trials)

    def _encoded(self, trials: Sequence[Observation]) -> Array:
        return self._box.encoded(self._box.units([each.point.unit for each in trials]))

    def nearest(self, wanted: Observation) -> tuple[Observation, float]:
        """The trial nearest to a point, and how far it is: root mean square over the parameters, each as a share of its
        range (an option that differs counts 1).
        """
        apart = ((self._places - self._encoded([wanted])) ** 2).sum(axis=1)
        at = int(np.argmin(apart))
        return self._trials[at], float(np.sqrt(apart[at] / self._columns))

    def spacing(self) -> float:
        """How far a trial's own nearest neighbour is, in the median; 0 for one trial alone."""
        apart = ((self._places[:, None, :] - self._places[None, :, :]) ** 2).sum(axis=2)
        np.fill_diagonal(apart, np.inf)
        return float(np.median(np.sqrt(apart.min(axis=1) / self._columns))) if len(apart) > 1 else 0.0


@dataclass(frozen=True, slots=True)
class _Search:
    """A night's search as it was: its trials that taught something, by number; the first of them are given."""

    spec: StudySpec
    trials: tuple[Observation, ...]
    given: int
    earlier: tuple[EarlierStudy, ...]
    sign: float


def rescored(store: Store, study_id: int, sampler: str, seeds: int) -> dict[str, Any]:
    """One search under `sampler`, each figure the mean over so many seeds, the first of them the study's own:
    best score so far after so many trials `was`, and, answered by the nearest trial, by its `own` sampler and `other`.

    Raises CallerError for `auto`, and for a search that has no scored trial; SamplerFailed for a sampler that is none.
    """
    if sampler == AUTO:
        raise CallerError("auto chooses a sampler by the study: name the one that you mean")
    study = store.study(study_id)
    search = _search(store, study)
    own = chosen_sampler(search.spec, study).name
    answers = Answers(search.spec.space, search.trials)
    apart: list[float] = []
    runs = {
        name: [_run(search, answers, name, seed, apart if name == sampler else []) for seed in _seeds(search, seeds)]
        for name in dict.fromkeys((own, sampler))
    }
    was = _bests(search.trials)
    at = [n for n in AT if n < len(was)] + [len(was)]
    return {
        "study": study.name,
        "trials": len(search.trials),
        "given": search.given,
        "goal": study.goal,
        "own": own,
        "other": sampler,
        "at": at,
        "was": [_told(search, was[n - 1]) for n in at],
        "by_own": [_told(search, _mean([run[n - 1] for run in runs[own]])) for n in at],
        "by_other": [_told(search, _mean([run[n - 1] for run in runs[sampler]])) for n in at],
        "apart": median(apart) if apart else 0.0,
        "spacing": answers.spacing(),
    }


def _search(store: Store, study: StudyRecord) -> _Search:
    spec = parse(study.spec, f"study {study.name}")
    start = night_start(store, study, spec)
    rows = store.trials(study.id, limit=max(study.next_number, 1))
    told = [(each, taught(spec, study, each)) for each in rows if each.ended_at is not None]
    trials = [(each, found) for each, found in told if found.kind is not Kind.VOID]
    if not any(found.kind is Kind.FINISHED for _, found in trials):
        raise CallerError(f"study {study.name} has no scored trial: there is nothing to answer with")
    given = 0
    while given < len(trials) and trials[given][0].source is not Source.SUGGESTED:
        given += 1
    sign = -1.0 if study.goal == "maximize" else 1.0
    return _Search(spec, tuple(found for _, found in trials), given, start.earlier, sign)


def _seeds(search: _Search, seeds: int) -> list[int]:
    return [(search.spec.seed + k * _SPREAD) % 2**32 for k in range(seeds)]


def _run(search: _Search, answers: Answers, sampler: str, seed: int, apart: list[float]) -> list[float | None]:
    """The best loss so far after each trial; `apart` gets the distances of the proposed points."""
    space, known = search.spec.space, list(search.trials[: search.given])
    known = [replace(each, point=replace(each.point, number=number)) for number, each in enumerate(known)]
    earlier = search.earlier if learns_from_earlier(sampler) else ()
    while len(known) < len(search.trials):
        found = ask(sampler, space, known, [], 1, seed, earlier)
        if not found:
            break  # no point is left: what was found stays
        wanted = Observation(proposed(space, found[0].params, len(known)), Kind.VOID)
        answer, distance = answers.nearest(wanted)
        known.append(replace(answer, point=wanted.point))
        apart.append(distance)
    bests = _bests(known)
    return bests + bests[-1:] * (len(search.trials) - len(bests))


def _bests(trials: Sequence[Observation]) -> list[float | None]:
    """The best loss so far after each trial; None before the first that finished."""
    best: float | None = None
    found: list[float | None] = []
    for each in trials:
        if each.kind is Kind.FINISHED and each.loss is not None:
            best = each.loss if best is None else min(best, each.loss)
        found.append(best)
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return fmean(known) if known else None


def _told(search: _Search, loss: float | None) -> float | None:
    return None if loss is None else search.sign * loss
