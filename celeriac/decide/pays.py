"""Does tuning pay tonight? The champion ran on tonight's data; its score against its own history says what a search can
be expected to gain, and past nights what it costs.

The *gap* is how much better than the champion the best parameters are by now. After each promotion it is next to
nothing; then it grows by so much a night, at a pace that is not known and may be none, and it may jump. A filter over a
grid of paces, jumps and baselines (a hidden Markov model: Rabiner 1989; a level with a trend: Harvey 1989) weighs each
night's look with the champion's own noise, the drift value where the objective reports one, and what came of searches.
A search that was tested in pairs has measured the gap, promoted or not, and far better than a look can: so a few
searches tell a slice that drifts from one that does not. One bad night of a noisy slice is no reason to search, several
are, and so is one that noise cannot explain. One that is far from all looks at its champion is of another level, since
the data or the code have changed; later nights are held against that level too. What is learned about a slice's pace
outlives its champions. The search of the largest expected gain for its price is chosen (a forecast with its uncertainty
and a cost ratio: Regol et al., ICML 2025).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

from celeriac.domain.records import Goal

Action = Literal["skip", "confirm", "small", "full"]

#: A search must be expected to gain this much, in standard deviations of a look, for one night's full price.
_WORTH = 0.04
#: What a small search finds of the gap, and what it costs of a full night: fewer trials, as many pairs.
SMALL_FINDS, SMALL_COSTS = 0.75, 0.6
#: Fewer differences between two nights' looks do not tell their noise, where a training's is not known either.
_FEWEST_STEPS = 4
#: A look is a training and a night's data: its deviation is about so many of a training's. Counts as so many nights.
_OF_TRAINING, _AS_NIGHTS = 1.4, 4
#: A look cannot see everything: not even a champion that scores as ever is left alone for longer.
_MOST_NIGHTS = 28
#: The gap grows by so much a night, and how likely that is before anything is seen.
_PACES = ((0.0, 0.79), (0.1, 0.07), (0.2, 0.07), (0.3, 0.07))
_BASELINES = ((-1.6, 0.08), (-0.8, 0.24), (0.0, 0.36), (0.8, 0.24), (1.6, 0.08))
#: Jumps: the grid of their sum, the chance of one on a night, its mean size, and that of a gap which a promotion left.
_STEP, _STEPS = 0.5, 17
_JUMP, _JUMP_MEAN, _LEFT = 0.01, 3.0, 0.05
#: How much likelier a drift value may make a jump.
_DRIFT_TIMES = 15.0
#: A look so many deviations from every level that its champion was at is of another one, and counts as just so far: the
#: grid of gaps ends earlier, and could not tell a longer fall from an odd look.
_OTHER_LEVEL = 12.0
#: Nothing that was seen rules anything out for ever.
_ODD_LOOK, _ODD_GAIN = 1e-12, 1e-9


@dataclass(frozen=True, slots=True)
class PastNight:
    """One earlier night of a slice. `look`: the champion's score on that night's data, None where it had none.
    `action`: what was done. `promoted`: the slice got another champion, whose score on that night's data is `after`.
    `gain`: of the challenger over the champion in the night's pairs, positive where it is better whatever the goal,
    with its standard `error` (`error_of_gain`); None where nothing was tested. `device_s`: what the night cost in all.
    """

    look: float | None
    action: Action
    promoted: bool = False
    after: float | None = None
    drift: float | None = None
    device_s: float = 0.0
    gain: float | None = None
    error: float | None = None


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
) -> PaysDecision:
    """Decide after tonight's `look`. `history`: the slice's earlier nights, oldest first. `contender`: one waits for
    confirmation. `training_sd`: of one training, from the gate's past. Raises ValueError for a look that is not finite.
    """
    if not math.isfinite(look):
        raise ValueError(f"the champion's score tonight is {look}: without a finite look nothing can be said")
    full_s = _price(history, "full")
    if contender:
        price = _price(history, "confirm") or SMALL_COSTS * full_s
        why = "a contender waits: a confirmation is cheaper than a search, and the gate would test it first"
        return PaysDecision("confirm", why, None, price, max(0.0, full_s - price))
    noise = noise_of_looks([*history, PastNight(look, "skip")], training_sd)
    if noise is None or not history:
        return PaysDecision("full", "too few looks at champions to know their noise", None, full_s)
    if noise == 0:
        return _without_noise(look, history, goal, full_s)
    training = (training_sd or noise) / noise
    nights = [*history, PastNight(look, "skip", drift=drift)]
    gaps = _filtered(nights, goal, noise, training)
    return _chosen(gaps, look, history, noise, full_s, training)


def _chosen(
    gaps: Sequence[tuple[float, float]],
    look: float,
    history: Sequence[PastNight],
    noise: float,
    full_s: float,
    training: float,
) -> PaysDecision:
    full = sum(chance * _gained(gap, training) for gap, chance in gaps)
    small = sum(chance * _gained(SMALL_FINDS * gap, training) for gap, chance in gaps)
    chance = sum(chance for gap, chance in gaps if gap > 1)
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


def noise_of_looks(history: Sequence[PastNight], training_sd: float | None = None) -> float | None:
    """A look's standard deviation: from the differences of successive nights with one champion, so that slow drift
    hardly counts, by their median, so that a jump does not; and from a training's, which the first night's pairs tell.
    None where there are too few differences, and no pairs.
    """
    steps: list[float] = []
    for before, now in pairwise(history):
        start = before.after if before.promoted else before.look
        if start is not None and now.look is not None:
            steps.append(abs(now.look - start))
    own = 1.4826 * median(steps) / math.sqrt(2) if steps else 0.0
    if not training_sd:  # none is known, or trainings have no noise at all: then looks have that of the nights' data
        return own if len(steps) >= _FEWEST_STEPS else None
    told = math.hypot(math.sqrt(len(steps)) * own, math.sqrt(_AS_NIGHTS) * _OF_TRAINING * training_sd)
    return told / math.sqrt(len(steps) + _AS_NIGHTS)


def error_of_gain(pairs: int, error: float | None, training_sd: float | None) -> float | None:
    """The standard error of a gain over so many pairs: the gate's own, which few pairs estimate badly, but no less than
    that of trainings which do not correlate. None where neither is known.
    """
    least = None if training_sd is None or pairs < 1 else training_sd * math.sqrt(2 / pairs)
    return max((each for each in (error, least) if each is not None), default=None)


#: For each pace and each baseline, the chance of each sum of jumps since the champion took its place.
_Belief = dict[tuple[int, int], list[float]]


def _departures(nights: Sequence[PastNight], noise: float) -> list[float | None]:
    """How far each look lies, in deviations, from the nearest level that its champion was at; None without a look. What
    a champion scored when it was promoted, or its first look, is its first level; a look far from all makes another.
    """
    found: list[float | None] = []
    known: list[float] = []
    for night in nights:
        look = night.look
        if look is None:
            found.append(None)
        else:
            departs = min((look - level for level in known), key=abs, default=0.0)
            found.append(departs / noise)
            known += [] if known and abs(departs) <= _OTHER_LEVEL * noise else [look]
        if night.promoted and night.after is not None:
            known = [night.after]
    return found


def _filtered(nights: Sequence[PastNight], goal: Goal, noise: float, training: float) -> list[tuple[float, float]]:
    """Each gap that there may be on the last of these nights, and its chance. What was learned about the pace outlives
    champions.
    """
    usual = [each.drift for each in nights[:-1] if each.drift is not None]
    belief, served = _fresh([likely for _, likely in _PACES]), 0
    for night, departs in zip(nights, _departures(nights, noise), strict=True):
        served += 1  # nights with this champion
        is_other = departs is not None and abs(departs) > _OTHER_LEVEL
        belief = _moved(belief, _JUMP * _DRIFT_TIMES if is_other else _jump(night.drift, usual))
        if departs is not None:
            counts = max(-_OTHER_LEVEL, min(_sign(goal) * departs, _OTHER_LEVEL))
            belief = _weighted(belief, served, _of_look(counts))
        if night.action == "skip":
            continue
        belief = _weighted(belief, served, _of_search(night, noise, training))
        if night.promoted:
            paces = [sum(sum(belief[k, b]) for b in range(len(_BASELINES))) for k in range(len(_PACES))]
            belief, served = _fresh(paces), 0
    return [
        (gap, chance)
        for (k, _), chances in belief.items()
        for gap, chance in zip(_gaps(k, served), chances, strict=True)
    ]


def _gaps(pace: int, nights: int) -> Iterator[float]:
    """The gaps of the grid after so many nights with one champion."""
    grown = _PACES[pace][0] * nights
    return (grown + _STEP * jumps for jumps in range(_STEPS))


def _fresh(paces: Sequence[float]) -> _Belief:
    """With a new champion: next to no gap, and a baseline as unsure as one night's noise."""
    rest = [0.0] * (_STEPS - 2)
    return {
        (k, b): [(1.0 - _LEFT) * chance * weight, _LEFT * chance * weight, *rest]
        for k, chance in enumerate(paces)
        for b, (_, weight) in enumerate(_BASELINES)
    }


def _moved(belief: _Belief, jump: float) -> _Belief:
    """One night on: it may jump by a size with a geometric distribution."""
    return {key: _jumped(chances, jump) for key, chances in belief.items()}


def _jumped(chances: Sequence[float], jump: float) -> list[float]:
    decay = math.exp(-_STEP / _JUMP_MEAN)
    after, jumped, below = [], 0.0, 0.0
    for chance in chances:
        jumped = decay * jumped + (1.0 - decay) * below
        after.append((1.0 - jump) * chance + jump * jumped)
        below = chance
    after[-1] += sum(chances) - sum(after)  # what would go beyond the grid
    return after


#: How likely what was seen is, given the gap and the baseline.
_Likelihood = Callable[[float, float], float]


def _of_look(look: float) -> _Likelihood:
    return lambda gap, baseline: _bell(look - baseline + gap) + _ODD_LOOK


def _of_search(night: PastNight, noise: float, training: float) -> _Likelihood:
    """What came of it: the gain that the pairs measured, which an early stop does not distort (the likelihood
    principle); else whether it promoted. A contender was found by an earlier full search.
    """
    finds = SMALL_FINDS if night.action == "small" else 1.0
    if night.gain is None or not night.error:  # an error of 0 tells of one pair, or of trainings without any noise
        return lambda gap, _: _power(finds * gap, training) if night.promoted else 1.0 - _power(finds * gap, training)
    gain, error = night.gain / noise, max(night.error / noise, _STEP / 2)  # the grid tells no finer
    return lambda gap, _: _bell((gain - finds * gap) / error) + _ODD_GAIN


def _bell(z: float) -> float:
    return math.exp(-0.5 * z * z)  # `z**2` would raise where it overflows


def _weighted(belief: _Belief, nights: int, likelihood: _Likelihood) -> _Belief:
    found = {
        (k, b): [
            chance * likelihood(gap, _BASELINES[b][0]) for gap, chance in zip(_gaps(k, nights), chances, strict=True)
        ]
        for (k, b), chances in belief.items()
    }
    total = sum(map(sum, found.values()))
    return {key: [chance / total for chance in chances] for key, chances in found.items()}


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
