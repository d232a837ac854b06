"""What does a firing do next? It opens a stage's study, waits for it, or ends; with a reason.

Pure: a night as it is now in, one move out. Whoever asks again after a crash gets the same move, and the store makes it
once.
"""

from dataclasses import dataclass, replace

from celeriac.decide.promotion import judge
from celeriac.domain.firing_moves import FiringMove, StageOpening
from celeriac.domain.lifecycle import FiringEvent
from celeriac.domain.records import CLOSED, WORKING, Champion, FiringState, NewStudy, Night, Stage


@dataclass(frozen=True, slots=True)
class NightDecision:
    """The next move of a firing, or None: it waits, or is at its end."""

    reason: str
    move: FiringMove | None = None


def tonight(night: Night) -> NightDecision:
    """Decide the next move."""
    firing = night.firing
    if firing.state not in WORKING:
        return NightDecision(f"{firing.name} is {firing.state}: {firing.reason}")
    stage = WORKING[firing.state]
    study = night.studies.get(stage) if stage else None
    if study is not None and study.state not in CLOSED:
        return NightDecision(f"{study.name} is {study.state}")
    if firing.state is FiringState.DUE:
        return _decided(FiringEvent.SEARCH, _why_search(night), opening=StageOpening(Stage.SEARCH, search_study(night)))
    verdict = _verdict(night)
    if firing.state is FiringState.CONFIRMING:
        return _decided(FiringEvent.PROMOTE, verdict.reason, verdict=verdict)
    if verdict.promoted:
        return _decided(FiringEvent.CONFIRM, verdict.reason)
    return _decided(FiringEvent.KEEP, verdict.reason, verdict=verdict)


def search_study(night: Night) -> NewStudy:
    """The study of the search: it has the firing's own name."""
    return replace(night.plan, name=night.firing.name, stage=Stage.SEARCH)


def _why_search(night: Night) -> str:
    return night.firing.note or ("the slice has no champion yet" if night.champion is None else "due")


def _verdict(night: Night) -> Champion:
    study, best, first = night.studies[Stage.SEARCH], night.best, night.first
    decision = judge(study, best, first, night.champion)
    return Champion(
        schedule=night.firing.schedule,
        slice=night.firing.slice,
        study_id=study.id,
        study=study.name,
        trial=None if best is None else best.number,
        params={} if best is None else best.params,
        score=None if best is None else best.score,
        default_score=None if first is None else first.score,
        metrics={} if best is None else best.metrics,
        promoted=decision.promoted,
        reason=decision.reason,
        firing_id=night.firing.id,
        before_id=None if night.champion is None else night.champion.id,
    )


def _decided(
    event: FiringEvent, reason: str, *, opening: StageOpening | None = None, verdict: Champion | None = None
) -> NightDecision:
    return NightDecision(reason, FiringMove(event, reason, opening, verdict))
