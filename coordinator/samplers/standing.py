"""Where each trial of an earlier night stood within that night, on a scale that nights share; and whether a sister
slice ranks tonight's trials right.

A night's losses are warped to a normal shape (`coordinator.samplers.warp`) and standardised within the night, each
trial weighted by the share of the space that is nearest to it. So a night that searched mostly around its optimum and
one that searched everywhere are on the same scale: 0 is a middling point of the space, -2 about the best of it. No
unit, no level and no scale of a night's scores is left.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from coordinator.samplers.api import Observation
from coordinator.samplers.earlier import EarlierStudy
from coordinator.samplers.encoding import Array, Box
from coordinator.samplers.gp import squared_distances
from coordinator.samplers.training_rows import lessons
from coordinator.samplers.warp import warp_of

MOST_ROWS = 100
#: Of one study, at most, so that a long night does not push out all others.
MOST_OF_ONE = 50
_EVERYWHERE = 512
#: So few of tonight's trials say nothing about a sister.
_TELLING = 3


@dataclass(frozen=True, slots=True)
class Standings:
    """Rows of earlier studies, the newest study first. `standing`: see the module; `study` numbers the studies.

    `places` are the rows in the unit box, `x` as a model sees them.
    """

    places: Array
    x: Array
    standing: Array
    gap: Array
    study: Array
    is_sister: Array


def standings(box: Box, earlier: tuple[EarlierStudy, ...]) -> Standings | None:
    """The rows of these studies that matter, MOST_ROWS at most: own nights before sisters, newer before older; of each
    the best, the newest, and some of the rest. None when nothing of them has a score.
    """
    parts: list[tuple[Array, Array, Array, EarlierStudy]] = []
    left = MOST_ROWS
    for each in sorted(earlier, key=lambda e: (e.is_sister, e.gap)):
        rows = lessons(each.observations)
        if len(rows.losses) < 2 or left < 2:
            continue
        kept = rows.subset(min(MOST_OF_ONE, left), np.random.default_rng([each.study_id]))
        places = box.units([o.point.unit for o in kept.observations])
        x = box.encoded(places)
        parts.append((places, x, _standing(box, x, kept.losses), each))
        left -= len(x)
    if not parts:
        return None
    sizes = [len(x) for _, x, _, _ in parts]
    return Standings(
        np.vstack([places for places, _, _, _ in parts]),
        np.vstack([x for _, x, _, _ in parts]),
        np.concatenate([standing for _, _, standing, _ in parts]),
        np.repeat([float(each.gap) for *_, each in parts], sizes),
        np.repeat(np.arange(len(parts)), sizes),
        np.repeat([each.is_sister for *_, each in parts], sizes),
    )


def _standing(box: Box, x: Array, losses: Array) -> Array:
    everywhere = box.encoded(box.snapped(np.random.default_rng([box.columns]).random((_EVERYWHERE, box.columns))))
    nearest = squared_distances(everywhere, x).argmin(axis=1)
    share = np.bincount(nearest, minlength=len(x)) + 0.5
    share = share / share.sum()
    warped = warp_of(losses)(losses)
    centred = warped - share @ warped
    return np.asarray(centred / np.sqrt(max(float(share @ centred**2), 1e-6)))


def agreeing(box: Box, earlier: tuple[EarlierStudy, ...], tonight: tuple[Observation, ...]) -> tuple[EarlierStudy, ...]:
    """The studies without the sisters that rank tonight's scored trials no better than chance (Kendall's tau between
    tonight's losses and those of the sister's nearest trials); with few trials tonight, all of them.
    """
    if not any(each.is_sister for each in earlier):
        return earlier
    own = lessons(tonight)
    if len(own.losses) < _TELLING:
        return earlier
    x = box.encoded(box.units([o.point.unit for o in own.observations]))
    return tuple(each for each in earlier if not each.is_sister or _ranks(box, each, x, own.losses))


def _ranks(box: Box, sister: EarlierStudy, x: Array, losses: Array) -> bool:
    rows = lessons(sister.observations)
    if not len(rows.losses):
        return False
    places = box.encoded(box.units([o.point.unit for o in rows.observations]))
    tau = kendalltau(rows.losses[squared_distances(x, places).argmin(axis=1)], losses).statistic
    return bool(tau > 0.0)  # NaN, where either side does not differ, is no agreement
