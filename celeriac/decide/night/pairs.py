"""The pairs of a confirmation: which trainings make one, which are still wanted, and what the gate is told of them.

A pair is two trials of one seed. The champion's runs serve every challenger, so a second challenger of the night only
brings its own. The look's run is none of them: whether there was a search at all may have hung on its score, and a
score that was chosen is no fair one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

from celeriac.decide.gate import Pair, Run
from celeriac.decide.night.challenge import Challenge, Contestant, failed_itself
from celeriac.decide.night.stages import point, seed_of
from celeriac.domain.records import ENDED, Night, Suggestion, TrialRecord, TrialState

#: So many pairs of a night may break before it is decided on those that are whole.
MOST_BROKEN = 3


@dataclass(frozen=True, slots=True)
class SeedRuns:
    """One seed with the trials that there are of it."""

    seed: int
    incumbent: TrialRecord | None = None
    challenger: TrialRecord | None = None

    @property
    def is_whole(self) -> bool:
        """Whether both were scored."""
        return _is(self.incumbent, TrialState.SCORED) and _is(self.challenger, TrialState.SCORED)

    @property
    def is_broken(self) -> bool:
        """Whether one of them ended without a score."""
        return any(
            each is not None and each.state in ENDED and each.state is not TrialState.SCORED
            for each in (self.incumbent, self.challenger)
        )


def runs_by_seed(night: Night, challenge: Challenge) -> list[SeedRuns]:
    """One for each seed that was given, in their order."""
    found: dict[int, SeedRuns] = {}
    for trial in night.pairs:
        if trial.seed is None:
            continue
        runs = found.get(trial.seed, SeedRuns(trial.seed))
        if _runs(trial, challenge.incumbent):
            found[trial.seed] = SeedRuns(trial.seed, trial, runs.challenger)
        elif _runs(trial, challenge.challenger):
            found[trial.seed] = SeedRuns(trial.seed, runs.incumbent, trial)
    return list(found.values())


def pairs_of(by_seed: list[SeedRuns]) -> list[Pair]:
    """Those that are whole, as the gate takes them."""
    return [
        Pair(runs.seed, _run(runs.incumbent), _run(runs.challenger))
        for runs in by_seed
        if runs.incumbent is not None and runs.challenger is not None and runs.is_whole
    ]


def wanted_points(night: Night, challenge: Challenge, wanted: int) -> tuple[Suggestion, ...]:
    """What is to be run for so many whole pairs, beside what was given already."""
    by_seed = runs_by_seed(night, challenge)
    usable = [runs for runs in by_seed if not runs.is_broken][:wanted]
    fresh = _fresh(night, {runs.seed for runs in by_seed})
    usable += [SeedRuns(next(fresh)) for _ in range(wanted - len(usable))]
    return tuple(each for runs in usable for each in _missing(challenge, runs))


def challenger_fails(by_seed: list[SeedRuns]) -> bool:
    """Whether the challenger failed by its own fault."""
    return any(runs.challenger is not None and failed_itself(runs.challenger) for runs in by_seed)


def flaw_of(by_seed: list[SeedRuns], challenge: Challenge) -> str:
    """Why no gate need be asked: a contestant that fails by its own fault; "" where none does."""
    for runs in by_seed:
        trial = runs.challenger
        if trial is not None and failed_itself(trial):
            return f"{challenge.challenger.name} fails with seed {runs.seed}: {trial.detail or trial.fault}"
    failed = [runs for runs in by_seed if runs.incumbent is not None and failed_itself(runs.incumbent)]
    if len(failed) >= MOST_BROKEN:
        trial = failed[-1].incumbent
        why = "" if trial is None else trial.detail or trial.fault
        return f"{challenge.incumbent.name} fails with {len(failed)} seeds ({why}): there is nothing to compare with"
    return ""


def _fresh(night: Night, taken: set[int]) -> Iterator[int]:
    place = 0
    while True:
        seed = seed_of(night, "pair", place)
        place += 1
        if seed not in taken:
            yield seed


def _missing(challenge: Challenge, runs: SeedRuns) -> Iterator[Suggestion]:
    for there, who in ((runs.incumbent, challenge.incumbent), (runs.challenger, challenge.challenger)):
        if there is None:
            yield point(
                who.params, who.source, runs.seed, f"{challenge.challenger.name} against {challenge.incumbent.name}"
            )


def _runs(trial: TrialRecord, who: Contestant) -> bool:
    return trial.source is who.source and trial.params == who.params


def _is(trial: TrialRecord | None, state: TrialState) -> bool:
    return trial is not None and trial.state is state


def _run(trial: TrialRecord) -> Run:
    numbers = {
        name: float(value)
        for name, value in trial.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    }
    return Run(trial.score if trial.score is not None else 0.0, trial.holdout, numbers)
