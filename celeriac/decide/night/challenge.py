"""Who challenges whom tonight? The best of the search, or a contender that waits since an earlier night, against the
slice's champion; against trial 0 where there is no champion, or none that can be trained any more.

Decided once, when the search is over, and kept in the firing's step: whatever changes in the middle of the night, its
pairs are of these two.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from celeriac.decide.gate import (
    Evidence,
    GateDecision,
    GateRules,
    LevelDecision,
    NightTally,
    Pair,
    Past,
    Run,
    fdr_level,
    open_gate,
    pool_past,
)
from celeriac.decide.night.rules import NightRules
from celeriac.decide.verdicts import near_miss
from celeriac.decide.warm_start import fitted
from celeriac.domain.errors import SpaceInvalid
from celeriac.domain.records import Champion, Fault, FiringState, Night, Params, Source, Stage, TrialRecord, TrialState
from celeriac.domain.study_file import StudySpec


@dataclass(frozen=True, slots=True)
class Contestant:
    """`source` is that of its runs: champion, default or challenger. `study_id` and `trial`: where it was found."""

    source: Source
    name: str
    params: Params
    score: float | None = None
    study_id: int = 0
    study: str = ""
    trial: int | None = None
    metrics: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Challenge:
    """Tonight's test. `before` and `past`: what earlier nights bring to it. `standing`: the champion as it was then, by
    its id. `champion_fails`: why it could not be trained tonight, where trial 0 stands in for it.
    """

    challenger: Contestant
    incumbent: Contestant
    before: Evidence
    past: Past | None
    level: float | None
    standing: int | None
    champion_fails: str = ""
    default_score: float | None = None

    def written(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "Challenge":
        """What `written` wrote."""
        told = dict(given)
        for who in ("challenger", "incumbent"):
            told[who] = Contestant(**{**told[who], "source": Source(told[who]["source"])})
        told["before"] = Evidence(**told["before"])
        told["past"] = None if told["past"] is None else Past(**told["past"])
        return cls(**told)


@dataclass(frozen=True, slots=True)
class ChallengeDecision:
    """The test that is worth its runs, with what the gate said before it; or why there is none."""

    reason: str
    challenge: Challenge | None = None
    opened: GateDecision | None = None


def challenge_of(night: Night, rules: NightRules) -> ChallengeDecision:
    """Decide on tonight's test, once the search is over."""
    incumbent, fails = incumbent_of(night, rules)
    if incumbent is None:
        return ChallengeDecision(fails)
    challenger = _challenger(night, incumbent, rules.spec)
    if isinstance(challenger, str):
        return ChallengeDecision(challenger)
    contestant, before = challenger
    level = _level(night, rules, before.weight)
    challenge = Challenge(
        contestant,
        incumbent,
        before,
        past_of(night),
        None if level is None else level.level,
        None if night.champion is None else night.champion.id,
        fails,
        None if night.first is None else night.first.score,
    )
    opened = open_gate(
        rules.gate,
        challenge.past,
        before=before,
        level=challenge.level,
        expected_gain=hoped_gain(rules.gate, incumbent.score, contestant.score),
    )
    if opened.verdict != "more":
        return ChallengeDecision(f"{contestant.name} against {incumbent.name}: {opened.reason}")
    return ChallengeDecision(f"{contestant.name} challenges {incumbent.name}: {opened.reason}", challenge, opened)


def of_firing(night: Night) -> Challenge:
    """The test that the firing is at. Raises LookupError when no step of it tells."""
    for step in reversed(night.firing.steps):
        if step.get("state") == FiringState.CONFIRMING and "challenge" in step:
            return Challenge.read(step["challenge"])
    raise LookupError(f"firing {night.firing.name} is CONFIRMING, and no step of it says who challenges whom")


def failed_itself(trial: TrialRecord) -> bool:
    """Whether a trial failed by its own fault, and not by the infrastructure's."""
    return trial.state is TrialState.FAILED and trial.fault not in (None, Fault.INFRASTRUCTURE, Fault.PREEMPTED)


def champion_flaw(night: Night, rules: NightRules) -> str:
    """Why the champion cannot be run tonight; "" when it can, or when that is not known yet."""
    if night.champion is None:
        return ""
    try:
        in_space(night.champion.params, rules.spec)
    except SpaceInvalid as error:
        return f"its parameters are not in the space any more ({error})"
    look = look_of(night)
    works = night.again is not None and night.again.state is TrialState.SCORED  # it was its data that came late
    if look is not None and failed_itself(look) and not works:
        return f"it fails on tonight's data ({look.detail or look.fault})"
    return ""


def in_space(params: Params, spec: StudySpec) -> Params:
    """A champion's parameters as tonight's space has them: one that was added since has the default's value, and one
    that is gone is left out. Raises SpaceInvalid where a value is not allowed any more, or an added one has no default.
    """
    if spec.learn_space:  # the objective says what there is; the file's space may be empty
        return params
    found = fitted(params, spec.space, spec.default)
    if found is not None and found.keys() <= {*params, *(spec.default or {})}:
        return found
    return spec.space.validate({name: value for name, value in params.items() if name in spec.space.names})


def look_of(night: Night) -> TrialRecord | None:
    """The run of the one that serves, on tonight's data."""
    return night.look[-1] if night.look else None


def serving(night: Night, rules: NightRules) -> Contestant | None:
    """Who can be looked at tonight: the champion; where there is none, the default, once a night has shown that it goes
    on serving.
    """
    champion, default = night.champion, rules.spec.default
    if champion is not None:
        params = champion.params if champion_flaw(night, rules) else in_space(champion.params, rules.spec)
        moved = "" if params == champion.params else ", moved into tonight's space"
        return Contestant(Source.CHAMPION, f"the champion (trial {champion.trial} of {champion.study}{moved})", params)
    kept = any(each.state in (FiringState.KEPT, FiringState.SKIPPED) for each in night.earlier)
    return Contestant(Source.DEFAULT, "the default", default) if kept and default is not None else None


def incumbent_of(night: Night, rules: NightRules) -> tuple[Contestant | None, str]:
    """Who is to be beaten, and why it is not the champion where there is one; None: nobody can be compared with."""
    flaw, champion, first, look = champion_flaw(night, rules), night.champion, night.first, look_of(night)
    serves = serving(night, rules)
    searched = Stage.SEARCH in night.studies
    if serves is not None and not flaw and (champion is not None or not searched):
        ran = night.again if look is None or look.score is None else look
        return replace(serves, score=None if ran is None else ran.score), ""
    stays = f"the champion stays, though {flaw}" if champion else "the slice has no champion yet"
    if first is None or first.state is not TrialState.SCORED:
        state = "does not exist" if first is None else f"is {first.state}"
        return None, f"trial 0 {state}, so there is nothing to compare with; {stays}"
    name = "trial 0 (the default)" if first.source is Source.DEFAULT else "trial 0 (a first suggestion)"
    return Contestant(Source.DEFAULT, name, first.params, first.score, first.study_id, "", first.number), flaw


def contender_of(night: Night, spec: StudySpec) -> tuple[Contestant, Evidence] | None:
    """The near miss that waits, as tonight's space has it; None where none does, or it is not in that space."""
    verdict = near_miss(night.history, None if night.champion is None else night.champion.id)
    if verdict is None:
        return None
    found = Challenge.read(verdict.evidence["challenge"]).challenger
    try:
        params = in_space(found.params, spec)
    except SpaceInvalid:
        return None
    found = replace(found, name=f"the contender (trial {found.trial} of {found.study})", params=params, score=None)
    return found, Evidence(**verdict.evidence["gate"]["said"]["evidence"])


def _challenger(night: Night, incumbent: Contestant, spec: StudySpec) -> tuple[Contestant, Evidence] | str:
    """The contender where one waits, else tonight's best; or why nobody challenges."""
    waiting = contender_of(night, spec)
    if waiting is not None:
        return waiting
    best, search = night.best, night.studies.get(Stage.SEARCH)
    if best is None or best.score is None or search is None:
        return "no trial was scored"
    if best.params == incumbent.params:
        return f"nothing beat {incumbent.name} with {best.score:.6g}"
    name = f"trial {best.number} with {best.score:.6g}"
    found = Contestant(
        Source.CHALLENGER, name, best.params, best.score, search.id, search.name, best.number, best.metrics
    )
    return found, Evidence()


def hoped_gain(rules: GateRules, before: float | None, after: float | None) -> float | None:
    """By how much the search, with one run of each, has the challenger better: at best what can be hoped for."""
    if before is None or after is None:
        return None
    return after - before if rules.goal == "maximize" else before - after


def past_of(night: Night) -> Past | None:
    """The noise of the slice's earlier tests."""
    tests = [_pairs(each.evidence["gate"]) for each in night.history if each.evidence.get("gate")]
    try:
        return pool_past(tests)
    except (ValueError, OverflowError):  # an earlier version's, damaged, or too large: the night goes on without it
        return None


def _pairs(gate: Mapping[str, Any]) -> list[Pair]:
    def run(told: Mapping[str, Any]) -> Run:
        return Run(told["score"], tuple(told["holdout"]), dict(told["metrics"]))

    return [Pair(each["seed"], run(each["champion"]), run(each["challenger"])) for each in gate["asked"]["pairs"]]


def _level(night: Night, rules: NightRules, weight: float) -> LevelDecision | None:
    schedule = rules.spec.schedule
    if rules.gate.fdr is None or schedule is None:
        return None
    nights = [NightTally(spent, promoted) for spent, promoted in night.tallies]
    return fdr_level(nights, len(schedule.combinations()), rules.gate.fdr, weight)


def verdict_of(night: Night, challenge: Challenge | None, reason: str, **more: Any) -> Champion:
    """The verdict on tonight's challenger, or on the search's best where nobody challenged."""
    search = night.studies.get(Stage.SEARCH)
    who = challenge.challenger if challenge else _found(night.best)
    study_id = who.study_id or (search.id if search else next(iter(night.studies.values())).id)
    return Champion(
        schedule=night.firing.schedule,
        slice=night.firing.slice,
        study_id=study_id,
        study=who.study or (search.name if search else night.firing.name),
        trial=who.trial,
        params=who.params,
        score=who.score,
        default_score=None if night.first is None else night.first.score,
        metrics=who.metrics or {},
        reason=reason,
        firing_id=night.firing.id,
        before_id=None if night.champion is None else night.champion.id,
        **more,
    )


def _found(best: TrialRecord | None) -> Contestant:
    if best is None:
        return Contestant(Source.CHALLENGER, "", {})
    return Contestant(Source.CHALLENGER, "", best.params, best.score, best.study_id, "", best.number, best.metrics)
