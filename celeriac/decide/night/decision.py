"""What does a firing do next? It opens a stage's study, waits for it, or ends; with a reason.

Pure: a night as it is now in, one move out. Whoever asks again after a crash gets the same move, and the store makes it
once.
"""

from dataclasses import dataclass, replace
from typing import Any

from celeriac.decide.gate import GateDecision, decide_gate, write_decision
from celeriac.decide.night.challenge import (
    Challenge,
    challenge_of,
    champion_flaw,
    look_of,
    of_firing,
    serving,
    verdict_of,
)
from celeriac.decide.night.pairs import MOST_BROKEN, challenger_fails, flaw_of, pairs_of, runs_by_seed, wanted_points
from celeriac.decide.night.paying import evidence_of, pays, small_budget
from celeriac.decide.night.rules import NightRules, rules_of
from celeriac.decide.night.stages import given, point, seed_of, stage_study
from celeriac.decide.verdicts import rolled_back
from celeriac.domain.errors import SpecInvalid
from celeriac.domain.firing_moves import FiringMove, StageOpening
from celeriac.domain.lifecycle import FiringEvent
from celeriac.domain.records import CLOSED, WORKING, Champion, FiringState, Night, Stage, StudyState, TrialState


@dataclass(frozen=True, slots=True)
class NightDecision:
    """The next move of a firing, or None: it waits, or is at its end."""

    reason: str
    move: FiringMove | None = None


def tonight(night: Night, used_up: str = "") -> NightDecision:
    """Decide the next move. `used_up`: why none of its stages may run anything more, if so
    (`celeriac.decide.device_budget`): what has ended until now is decided on.
    """
    firing = night.firing
    stage = WORKING.get(firing.state)
    study = night.studies.get(stage) if stage else None
    if firing.state not in WORKING:
        return NightDecision(f"{firing.name} is {firing.state}: {firing.reason}")
    if study is not None and study.state not in CLOSED:
        return NightDecision(f"{study.name} is {study.state}")
    try:
        rules = rules_of(night.plan)
    except SpecInvalid as error:
        return _move(FiringEvent.FAIL, f"this version cannot read what it was made with: {error}")
    if stage is not None and study is None:
        return _move(FiringEvent.FAIL, f"the study of its {stage} is gone: somebody deleted it")
    if firing.state is FiringState.DUE:
        return _begins(night, rules)
    after = {FiringState.LOOKING: _looked, FiringState.SEARCHING: _searched, FiringState.CONFIRMING: _confirmed}
    return after[firing.state](night, rules, used_up)


def _begins(night: Night, rules: NightRules) -> NightDecision:
    """On a slice's first night there is nothing to look at."""
    serves, flaw = serving(night, rules), champion_flaw(night, rules)
    if flaw:
        return _search(night, f"the champion keeps serving, but {flaw}: trial 0 is to be beaten")
    if rules.always:
        return _search(night, "`always: true`: it searches each night")
    if serves is None:
        return _search(night, "the slice has no champion yet: trial 0 is to be beaten")
    run = point(serves.params, serves.source, seed_of(night, "look", 0), f"{serves.name}, on tonight's data")
    reason = f"{serves.name} runs on tonight's data first"
    return _move(FiringEvent.LOOK, reason, opening=given(night, Stage.LOOK, (run,)))


def _looked(night: Night, rules: NightRules, used_up: str) -> NightDecision:
    flaw, look = champion_flaw(night, rules), look_of(night)
    if used_up:
        found = None if look is None or look.score is None else {"score": look.score, "drift": look.drift}
        what = f"the look found {found['score']:.6g}" if found else "the look has no score"
        reason = f"{what}, and nothing more may run: {used_up}; {_stays(night)}"
        return _end(night, FiringEvent.SKIP, reason, evidence={"look": found} if found else None)
    if flaw:
        return _search(night, f"the champion keeps serving, but {flaw}: trial 0 is to be beaten")
    if look is None or look.state is not TrialState.SCORED or look.score is None:
        return _search(night, "the look ended without a score")
    decided = pays(night, rules, look)
    evidence = {"look": {"score": look.score, "drift": look.drift}, "pays": evidence_of(decided)}
    if decided.action == "skip":
        return _end(night, FiringEvent.SKIP, f"{decided.reason}; {_stays(night)}", evidence=evidence)
    if decided.action == "confirm":
        return _challenged(night, rules, f"{decided.reason}: ", evidence)
    return _search(night, decided.reason, small=decided.action == "small", evidence=evidence)


def _searched(night: Night, rules: NightRules, used_up: str) -> NightDecision:
    if night.best is None or night.best.score is None:
        search = night.studies[Stage.SEARCH]
        if search.state is StudyState.DONE and not search.counts.finished:  # its device time was spent before it began
            return _end(night, FiringEvent.KEEP, f"its search ran no trial: {search.reason}; {_stays(night)}")
        reason = f"no trial was scored; {_stays(night)}"
        return _end(night, FiringEvent.FAIL, reason, verdict=verdict_of(night, None, reason, promoted=False))
    if used_up:
        reason = f"no test of trial {night.best.number} with {night.best.score:.6g}: {used_up}; {_stays(night)}"
        return _end(night, FiringEvent.KEEP, reason, verdict=verdict_of(night, None, reason, promoted=False))
    return _challenged(night, rules)


def _challenged(
    night: Night, rules: NightRules, because: str = "", evidence: dict[str, Any] | None = None
) -> NightDecision:
    """Confirm tonight's challenger, or keep, where no test is worth its runs."""
    decided = challenge_of(night, rules)
    challenge, opened = decided.challenge, decided.opened
    if challenge is None or opened is None:
        reason = f"{because}{decided.reason}; {_stays(night)}"
        verdict = verdict_of(night, None, reason, promoted=False)
        return _end(night, FiringEvent.KEEP, reason, verdict=verdict, evidence=evidence)
    points = wanted_points(night, challenge, opened.wanted)
    return _move(
        FiringEvent.CONFIRM,
        f"{because}{decided.reason}",
        opening=given(night, Stage.CONFIRM, points),
        evidence={**(evidence or {}), "challenge": challenge.written()},
    )


def _confirmed(night: Night, rules: NightRules, used_up: str) -> NightDecision:
    try:
        challenge = of_firing(night)
    except LookupError as error:
        return _move(FiringEvent.FAIL, str(error))
    study, by_seed = night.studies[Stage.CONFIRM], runs_by_seed(night, challenge)
    if flaw := flaw_of(by_seed, challenge):
        return _kept(night, challenge, f"{flaw}; {_stays(night)}", fails=challenger_fails(by_seed))
    is_short = study.state is not StudyState.DONE or sum(runs.is_broken for runs in by_seed) > MOST_BROKEN
    closing, why = is_short or bool(used_up), f"{used_up}: " if used_up else ""
    pairs = pairs_of(by_seed)
    if not pairs and closing:
        return _kept(night, challenge, f"{why}no pair was whole when {study.name} was {study.state}; {_stays(night)}")
    try:
        gate = (
            decide_gate(
                pairs, rules.gate, challenge.past, before=challenge.before, level=challenge.level, closing=closing
            )
            if pairs
            else None
        )
    except (ValueError, OverflowError) as error:  # a loss may be finite, and its square too large
        why = "a score or a block is too large to be squared" if isinstance(error, OverflowError) else str(error)
        return _kept(night, challenge, f"the runs cannot be compared: {why}; {_stays(night)}", failed=True)
    if gate is None or gate.verdict == "more":
        wanted = gate.wanted if gate else len(by_seed)
        reason = gate.reason if gate else "no pair is whole yet"
        more = given(night, Stage.CONFIRM, wanted_points(night, challenge, wanted))
        return _move(FiringEvent.MORE, reason, opening=more, evidence=_said(gate))
    return _judged(night, rules, challenge, gate, why)


def _judged(night: Night, rules: NightRules, challenge: Challenge, gate: GateDecision, why: str) -> NightDecision:
    """The gate has spoken: promote, wait for a person, or keep. `why` it was asked before it had all its pairs."""
    reason = f"{why}{challenge.challenger.name} against {challenge.incumbent.name}: {gate.reason}"
    if gate.verdict != "promote":
        return _kept(night, challenge, f"{reason}; {_stays(night)}", gate)
    if challenge.standing != (None if night.champion is None else night.champion.id):
        return _kept(night, challenge, f"{reason}; but the slice has another champion since the test began", gate)
    asks = "" if not rules.require_approval else "the schedule asks for a person's approval"
    if challenge.champion_fails:
        asks = f"the champion keeps serving until a person approves: {challenge.champion_fails}"
    back = rolled_back(night.history, challenge.challenger.params)
    if back is not None:
        asks = f"{back.who or 'a person'} rolled these parameters back ({back.reason}): a person approves"
    if asks:
        return _kept(night, challenge, f"{reason}; {asks}", gate, awaits=True)
    verdict = verdict_of(night, challenge, reason, promoted=True, evidence=_evidence(night, challenge, gate))
    return _end(night, FiringEvent.PROMOTE, reason, verdict=verdict, evidence=_said(gate))


def _kept(
    night: Night,
    challenge: Challenge,
    reason: str,
    gate: GateDecision | None = None,
    *,
    awaits: bool = False,
    failed: bool = False,
    fails: bool = False,
) -> NightDecision:
    evidence = {**_evidence(night, challenge, gate), **({"challenger_fails": True} if fails else {})}
    verdict = verdict_of(night, challenge, reason, promoted=False, awaits=awaits, evidence=evidence)
    event = FiringEvent.FAIL if failed else FiringEvent.KEEP
    return _end(night, event, reason, verdict=verdict, evidence=_said(gate))


def _evidence(night: Night, challenge: Challenge, gate: GateDecision | None) -> dict[str, Any]:
    """All that the verdict stands on: who, every score, the test and its decision. `recompute` reads it."""
    by_seed = [
        [None if each is None else each.number for each in (runs.incumbent, runs.challenger)]
        for runs in runs_by_seed(night, challenge)
    ]
    found: dict[str, Any] = {
        "challenge": challenge.written(),
        "study": night.studies[Stage.CONFIRM].name,
        "pairs": by_seed,
    }
    return found if gate is None else {**found, "gate": write_decision(gate)}


def _said(gate: GateDecision | None) -> dict[str, Any]:
    """What a step tells of the test."""
    if gate is None:
        return {}
    interval = None if gate.interval is None else list(gate.interval)
    numbers = {"gain": gate.gain, "error": gate.looks[-1].error if gate.looks else None, "interval": interval}
    said: dict[str, Any] = {"gate": {"pairs": len(gate.pairs), **numbers, "p": gate.p}}
    if gate.verdict == "promote":  # what the new champion scores on tonight's data, to compare later looks with
        said["after"] = sum(pair.challenger.score for pair in gate.pairs) / len(gate.pairs)
    return said


def _stays(night: Night) -> str:
    champion = night.champion
    if champion is None:
        return "the slice has no champion yet"
    return f"the champion stays trial {champion.trial} of {champion.study}"


def _search(night: Night, reason: str, *, small: bool = False, evidence: dict[str, Any] | None = None) -> NightDecision:
    study = stage_study(night, Stage.SEARCH)
    if small:
        budget = study.spec["budget"]
        study = replace(study, spec={**study.spec, "budget": {**budget, "trials": small_budget(budget["trials"])}})
    return _move(FiringEvent.SEARCH, reason, opening=StageOpening(Stage.SEARCH, study), evidence=evidence)


def _end(
    night: Night,
    event: FiringEvent,
    reason: str,
    *,
    verdict: Champion | None = None,
    evidence: dict[str, Any] | None = None,
) -> NightDecision:
    """The last move of a night, with what the night cost."""
    cost = {"device_s": sum(study.device_s for study in night.studies.values())}
    return _move(event, reason, verdict=verdict, evidence={**(evidence or {}), **cost})


def _move(
    event: FiringEvent,
    reason: str,
    *,
    opening: StageOpening | None = None,
    verdict: Champion | None = None,
    evidence: dict[str, Any] | None = None,
) -> NightDecision:
    return NightDecision(reason, FiringMove(event, reason, opening, verdict, evidence or {}))
