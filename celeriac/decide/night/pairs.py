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
class Seat:
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


def seats_of(night: Night, challenge: Challenge) -> list[Seat]:
    """One for each seed that was given, in their order."""
    found: dict[int, Seat] = {}
    for trial in night.pairs:
        if trial.seed is None:
            continue
        seat = found.get(trial.seed, Seat(trial.seed))
        if _runs(trial, challenge.incumbent):
            found[trial.seed] = Seat(trial.seed, trial, seat.challenger)
        elif _runs(trial, challenge.challenger):
            found[trial.seed] = Seat(trial.seed, seat.incumbent, trial)
    return list(found.values())


def pairs_of(seats: list[Seat]) -> list[Pair]:
    """Those that are whole, as the gate takes them."""
    return [
        Pair(seat.seed, _run(seat.incumbent), _run(seat.challenger))
        for seat in seats
        if seat.incumbent is not None and seat.challenger is not None and seat.is_whole
    ]


def wanted_points(night: Night, challenge: Challenge, wanted: int) -> tuple[Suggestion, ...]:
    """What is to be run for so many whole pairs, beside what was given already."""
    seats = seats_of(night, challenge)
    usable = [seat for seat in seats if not seat.is_broken][:wanted]
    fresh = _fresh(night, {seat.seed for seat in seats})
    usable += [Seat(next(fresh)) for _ in range(wanted - len(usable))]
    return tuple(each for seat in usable for each in _missing(challenge, seat))


def challenger_fails(seats: list[Seat]) -> bool:
    """Whether the challenger failed by its own fault."""
    return any(seat.challenger is not None and failed_itself(seat.challenger) for seat in seats)


def flaw_of(seats: list[Seat], challenge: Challenge) -> str:
    """Why no gate need be asked: a contestant that fails by its own fault; "" where none does."""
    for seat in seats:
        trial = seat.challenger
        if trial is not None and failed_itself(trial):
            return f"{challenge.challenger.name} fails with seed {seat.seed}: {trial.detail or trial.fault}"
    failed = [seat for seat in seats if seat.incumbent is not None and failed_itself(seat.incumbent)]
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


def _missing(challenge: Challenge, seat: Seat) -> Iterator[Suggestion]:
    for there, who in ((seat.incumbent, challenge.incumbent), (seat.challenger, challenge.challenger)):
        if there is None:
            yield point(
                who.params, who.source, seat.seed, f"{challenge.challenger.name} against {challenge.incumbent.name}"
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
