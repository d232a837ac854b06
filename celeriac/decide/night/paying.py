"""Does tuning pay tonight? What `celeriac.decide.pays` is told: the look of tonight, and the slice's earlier nights as
their firings' steps tell them.
"""

from collections.abc import Mapping
from typing import Any, cast

from celeriac.decide.night.challenge import contender_of, past_of
from celeriac.decide.night.rules import NightRules
from celeriac.decide.pays import Action, PastNight, PaysDecision, decide_pays, error_of_gain
from celeriac.domain.records import WORKING, Firing, FiringState, Night, TrialRecord

#: A small search has one trial of so many of the file's budget, but not fewer than these: the default and the champion
#: are two of them.
SMALL_SHARE, FEWEST_TRIALS = 3, 5


def pays(night: Night, rules: NightRules, look: TrialRecord) -> PaysDecision:
    """What is worth its price after tonight's look, which was scored."""
    past = past_of(night)
    training_sd = None if past is None else past.training_sd
    return decide_pays(
        look.score if look.score is not None else 0.0,
        [past_night(each, training_sd) for each in reversed(night.earlier) if each.state not in WORKING],
        rules.gate.goal,
        drift=look.drift,
        contender=contender_of(night, rules.spec) is not None,
        training_sd=training_sd,
    )


def past_night(firing: Firing, training_sd: float | None = None) -> PastNight:
    """One earlier night, from what its steps noted. `training_sd`: of one training, over the slice's nights."""
    told: dict[str, Any] = {}
    for step in firing.steps:
        told |= {key: step[key] for key in ("look", "pays", "device_s", "after", "challenge", "gate") if key in step}
    look: Mapping[str, Any] = told.get("look", {})
    of_champion = not told.get("challenge", {}).get("champion_fails")  # else the default stood in for it
    gate: Mapping[str, Any] = told.get("gate", {}) if of_champion else {}
    searched = any(step["state"] == FiringState.SEARCHING for step in firing.steps)
    action = told.get("pays", {}).get("action", "full" if searched else "skip")
    if "challenge" in told and "gate" not in told:  # no pair came of it: that says nothing of what a search finds
        action = "skip"
    return PastNight(
        look=look.get("score"),
        action=cast(Action, action),
        promoted=firing.state is FiringState.PROMOTED,
        after=told.get("after"),
        drift=look.get("drift"),
        device_s=told.get("device_s", 0.0),
        gain=gate.get("gain"),
        error=error_of_gain(gate.get("pairs", 0), gate.get("error"), training_sd),
    )


def small_budget(trials: int) -> int:
    """The trials of a small search."""
    return min(trials, max(-(-trials // SMALL_SHARE), FEWEST_TRIALS))


def evidence_of(decision: PaysDecision) -> dict[str, Any]:
    """What a step keeps of it."""
    return {
        "action": decision.action,
        "expected_gain": decision.expected_gain,
        "price_s": decision.price_s,
        "saved_s": decision.saved_s,
        "chance": decision.chance,
        "noise": decision.noise,
    }
