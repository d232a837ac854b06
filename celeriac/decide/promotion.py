"""Does a closed study's best trial become the champion of its slice? Only if it beat the study's own trial 0.

Trial 0 ran on the same data in the same night, so the two scores can be compared. The champion's score comes from
another night's data and cannot. The decision always gives the reason.
"""

from dataclasses import dataclass

from celeriac.domain.records import Champion, Source, StudyRecord, TrialRecord, TrialState


@dataclass(frozen=True, slots=True)
class ChampionDecision:
    """Whether the best trial is promoted, and why; when not, the champion stays as it is."""

    promoted: bool
    reason: str


def judge(
    study: StudyRecord, best: TrialRecord | None, first: TrialRecord | None, champion: Champion | None
) -> ChampionDecision:
    """Decide for `study`: its `best` trial, its `first` (number 0), and the slice's `champion` so far."""
    stays = (
        f"the champion stays trial {champion.trial} of {champion.study}"
        if champion is not None
        else "the slice has no champion yet"
    )
    if best is None or best.score is None:
        return ChampionDecision(False, f"no trial was scored; {stays}")
    if first is None or first.state is not TrialState.SCORED or first.score is None:
        state = "does not exist" if first is None else f"is {first.state}"
        return ChampionDecision(False, f"trial 0 {state}, so there is nothing to compare with; {stays}")
    name = "trial 0 (the default)" if first.source is Source.DEFAULT else "trial 0 (a first suggestion)"
    if best.number == first.number:
        return ChampionDecision(False, f"nothing beat {name} with {first.score:.6g}; {stays}")
    gain = best.score - first.score if study.goal == "maximize" else first.score - best.score
    if not gain > 0:
        return ChampionDecision(
            False, f"trial {best.number} with {best.score:.6g} is no better than {name} with {first.score:.6g}; {stays}"
        )
    return ChampionDecision(
        True, f"trial {best.number} with {best.score:.6g} beat {name} with {first.score:.6g}, by {gain:.6g}"
    )
