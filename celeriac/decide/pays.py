"""Does tuning pay tonight? The champion ran on tonight's data; its score against its own history says what a search can
be expected to gain, and past nights what it costs.

The *gap* is how much better than the champion the best parameters are by now. After each promotion it is next to
nothing; then it may grow slowly, at a pace that is not known, or jump. A filter over a grid of gaps, paces and
baselines (a hidden Markov model: Rabiner 1989) weighs each night's look with the champion's own noise, the drift value
where the objective reports one, and what came of searches: none promoted speaks against a large gap. So one bad night
of a noisy slice is no reason to search, several are, and so is one that noise cannot explain. What is learned about a
slice's pace outlives its champions. The search of the largest expected gain for its price is chosen (a forecast with
its uncertainty and a cost ratio: Regol et al., ICML 2025).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

from celeriac.domain.records import Goal

Action = Literal["skip", "confirm", "small", "full"]

#: A search must be expected to gain this much, in standard deviations of a look, for one night's full price.
_WORTH = 0.09
#: What a small search finds of the gap, and what it costs of a full night: fewer trials, as many pairs.
SMALL_FINDS, SMALL_COSTS = 0.75, 0.6
#: Fewer differences between two nights' looks do not tell their noise.
_FEWEST_STEPS = 4
#: A look cannot see everything: not even a champion that scores as ever is left alone for longer.
_MOST_NIGHTS = 21
_STEP, _STEPS = 0.5, 17
_PACES = ((0.0, 0.79), (0.1, 0.07), (0.25, 0.07), (0.5, 0.07))  # chance of one step a night, and how likely that is
_BASELINES = ((-1.6, 0.08), (-0.8, 0.24), (0.0, 0.36), (0.8, 0.24), (1.6, 0.08))
_JUMP, _JUMP_MEAN = 0.02, 3.0
#: How much likelier a drift value may make a jump.
_DRIFT_TIMES = 15.0


@dataclass(frozen=True, slots=True)
class PastNight:
    """One earlier night of a slice. `look`: the champion's score on that night's data, None where it had none.
    `action`: what was done. `promoted`: the slice got another champion, whose score on that night's data is `after`.
    `device_s`: what the night cost in all.
    """

    look: float | None
    action: Action
    promoted: bool = False
    after: float | None = None
    drift: float | None = None
    device_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PaysDecision:
    """What tonight's firing does after the look.

    `expected_gain`: of the search that is made, or of the full one that is not, in units of the score. `price_s`: the
    device-seconds that the action is expected to cost, `saved_s`: what a full search would have cost more. `chance`:
    that the champion has fallen behind by more than one standard deviation of its looks (`noise`). None where the
    history is too short to tell.
    """

    action: Action
    reason: str
    expected_gain: float | None = None
    price_s: float = 0.0
    saved_s: float = 0.0
    chance: float | None = None
    noise: float | None = None


def decide_pays(
    look: float,
    history: Sequence[PastNight],
    goal: Goal,
    *,
    drift: float | None = None,
    contender: bool = False,
    training_sd: float | None = None,
    noise: float | None = None,
) -> PaysDecision:
    """Decide after tonight's `look`. `history`: the slice's earlier nights, oldest first. `contender`: one waits for
    confirmation. `training_sd`: of one training, from the gate's past. `noise`: of a look, where it is known better
    than from this slice alone (`noise_of_looks`). Raises ValueError for a look that is not finite.
    """
    if not math.isfinite(look):
        raise ValueError(f"the champion's score tonight is {look}: without a finite look nothing can be said")
    full_s = _price(history, "full")
    if contender:
        price = _price(history, "confirm") or SMALL_COSTS * full_s
        why = "a contender waits: a confirmation is cheaper than a search, and the gate would test it first"
        return PaysDecision("confirm", why, None, price, max(0.0, full_s - price))
    noise = noise_of_looks([history]) if noise is None else noise
    if noise is None or not history:
        return PaysDecision("full", "too few looks at champions to know their noise", None, full_s)
    if noise == 0:
        return _without_noise(look, history, goal, full_s)
    told = _filtered(look, history, goal, noise, drift, (training_sd or noise) / noise)
    return _chosen(told, look, history, noise, full_s, (training_sd or noise) / noise)


def _chosen(
    gaps: Sequence[float], look: float, history: Sequence[PastNight], noise: float, full_s: float, training: float
) -> PaysDecision:
    full = sum(p * _gained(_STEP * i, training) for i, p in enumerate(gaps))
    small = sum(p * _gained(SMALL_FINDS * _STEP * i, training) for i, p in enumerate(gaps))
    chance = sum(p for i, p in enumerate(gaps) if _STEP * i > 1)
    waited = next((n for n, each in enumerate(reversed(history)) if each.action in ("full", "small")), len(history))
    found = f"champion {look:.6g} tonight (noise {noise:.3g}); {100 * chance:.0f} % that it is behind by more than that"
    told = f"{found}; a full search is expected to gain {full * noise:.3g}"
    if waited >= _MOST_NIGHTS:
        return PaysDecision("full", f"{told}; none for {waited} nights", full * noise, full_s, 0.0, chance, noise)
    options: list[tuple[float, Action, float, float]] = [
        (0.0, "skip", 0.0, 0.0),
        (small / _WORTH - SMALL_COSTS, "small", small, SMALL_COSTS),
        (full / _WORTH - 1.0, "full", full, 1.0),
    ]
    _, action, gain, share = max(options, key=lambda each: each[0])
    price = share * full_s
    words = {"skip": "less than it costs", "small": "a small search pays more", "full": "more than it costs"}
    why = f"{told}: {words[action]}"
    expected = (full if action == "skip" else gain) * noise
    return PaysDecision(action, why, expected, price, full_s - price, chance, noise)


def _without_noise(look: float, history: Sequence[PastNight], goal: Goal, full_s: float) -> PaysDecision:
    """Looks that never differed: any fall is real."""
    fall = -_sign(goal) * (look - next(each.look for each in reversed(history) if each.look is not None))
    if fall > 0:
        return PaysDecision(
            "full", f"the champion fell by {fall:.3g}, and its looks had no noise", fall, full_s, 0.0, 1.0, 0.0
        )
    return PaysDecision("skip", "the champion's looks do not change", 0.0, 0.0, full_s, 0.0, 0.0)


def _sign(goal: Goal) -> float:
    return 1.0 if goal == "maximize" else -1.0


def _price(history: Sequence[PastNight], action: Action) -> float:
    """What such a night cost, in the mean of the newest ten."""
    known = [each.device_s for each in history if each.action == action and each.device_s > 0][-10:]
    return sum(known) / len(known) if known else 0.0


def noise_of_looks(histories: Sequence[Sequence[PastNight]]) -> float | None:
    """A look's standard deviation, over slices whose scores have one scale: from the differences of successive nights
    with one champion, so that slow drift hardly counts, by their median, so that a jump does not. None where there
    are too few.
    """
    steps: list[float] = []
    for history in histories:
        for before, now in pairwise(history):
            start = before.after if before.promoted else before.look
            if start is not None and now.look is not None:
                steps.append(abs(now.look - start))
    return 1.4826 * median(steps) / math.sqrt(2) if len(steps) >= _FEWEST_STEPS else None


#: For each pace and each baseline, the chance of each gap.
_Belief = dict[tuple[int, int], list[float]]


def _filtered(
    look: float, history: Sequence[PastNight], goal: Goal, noise: float, drift: float | None, training: float
) -> list[float]:
    """The chance of each gap tonight. What was learned about the slice's pace outlives its champions."""
    base = next((each.look for each in history if each.look is not None), look)
    usual = [each.drift for each in history if each.drift is not None]
    belief = _fresh([likely for _, likely in _PACES])
    for night in [*history, PastNight(look, "skip", drift=drift)]:
        belief = _moved(belief, _jump(night.drift, usual))
        if night.look is not None:
            belief = _weighted(belief, _likelihood(_sign(goal) * (night.look - base) / noise))
        if night.action == "skip":
            continue
        chances = [_power(_finds(night.action) * _STEP * gap, training) for gap in range(_STEPS)]
        belief = _weighted(belief, _outcome(chances, night.promoted))
        if night.promoted:
            paces = [sum(sum(belief[k, b]) for b in range(len(_BASELINES))) for k in range(len(_PACES))]
            belief = _fresh(paces)
            base = night.after if night.after is not None else base
    return [sum(gaps[gap] for gaps in belief.values()) for gap in range(_STEPS)]


def _finds(action: Action) -> float:
    """How much of the gap; a contender was found by an earlier full search."""
    return SMALL_FINDS if action == "small" else 1.0


def _fresh(paces: Sequence[float]) -> _Belief:
    """With a new champion: next to no gap, and a baseline as unsure as one night's noise."""
    rest = [0.0] * (_STEPS - 2)
    return {
        (k, b): [0.85 * chance * weight, 0.15 * chance * weight, *rest]
        for k, chance in enumerate(paces)
        for b, (_, weight) in enumerate(_BASELINES)
    }


def _moved(belief: _Belief, jump: float) -> _Belief:
    """One night on: the gap grows by a step at its pace, or jumps by a size with a geometric distribution."""
    return {key: _grown(gaps, _PACES[key[0]][0], jump) for key, gaps in belief.items()}


def _grown(gaps: Sequence[float], step: float, jump: float) -> list[float]:
    decay = math.exp(-_STEP / _JUMP_MEAN)
    after, jumped = [], 0.0
    for gap, chance in enumerate(gaps):
        below = gaps[gap - 1] if gap else 0.0
        jumped = decay * jumped + (1.0 - decay) * below
        after.append((1.0 - jump) * ((1.0 - step) * chance + step * below) + jump * jumped)
    after[-1] += sum(gaps) - sum(after)  # what would go beyond the grid
    return after


def _likelihood(look: float) -> Callable[[int, int], float]:
    return lambda gap, baseline: math.exp(-0.5 * (look - _BASELINES[baseline][0] + _STEP * gap) ** 2) + 1e-12


def _outcome(chances: Sequence[float], promoted: bool) -> Callable[[int, int], float]:
    return lambda gap, _: chances[gap] if promoted else 1.0 - chances[gap]


def _weighted(belief: _Belief, likelihood: Callable[[int, int], float]) -> _Belief:
    found = {
        (k, b): [chance * likelihood(gap, b) for gap, chance in enumerate(gaps)] for (k, b), gaps in belief.items()
    }
    total = sum(map(sum, found.values()))
    return {key: [chance / total for chance in gaps] for key, gaps in found.items()}


def _jump(drift: float | None, usual: Sequence[float]) -> float:
    """How likely a jump is on a night with such a drift value: the likelihood ratio of a value that grows with the
    jump, of exponential size, to a usual one; within limits, since what a user's drift value sees is not known.
    """
    if drift is None or len(usual) < _FEWEST_STEPS:
        return _JUMP
    middle = median(usual)
    spread = 1.4826 * median(abs(each - middle) for each in usual)
    if not spread > 0:
        return _JUMP * (_DRIFT_TIMES if drift > middle else 1.0)
    rate = 1.0 / _JUMP_MEAN
    above = max(-6.0, min((drift - middle) / spread, 6.0)) - rate  # beyond either end the limits hold anyhow
    ratio = rate * math.exp(0.5 * above**2) * math.sqrt(2 * math.pi) * 0.5 * math.erfc(-above / math.sqrt(2))
    return _JUMP * min(_DRIFT_TIMES, max(1.0 / _DRIFT_TIMES, ratio))


def _gained(gap: float, training: float) -> float:
    """What a search that finds this much gains: as much, where the gate promotes it."""
    return gap * _power(gap, training)


def _power(gap: float, training: float) -> float:
    """The gate's chance to promote a challenger that is better by `gap`, both in deviations of a look; `training`: a
    training's. A normal approximation to the longest design: 4.5 % at 0, 82 % at one training's deviation.
    """
    z = -1.7 + 2.62 * gap / max(training, 1e-9)
    return 0.5 * math.erfc(-z / math.sqrt(2))
