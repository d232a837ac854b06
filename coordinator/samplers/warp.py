"""Prepares losses for a Gaussian process: pulls outliers in, makes the rest as normal as one power can, and
standardises.

Only the bad side is winsorised: a very bad score must not flatten the model, a very good one is what we look for.
The power is Yeo and Johnson's (Biometrika 87, 2000), with the most likely exponent of a grid. The whole map is
monotone, so a predicted quantile can be turned back into a loss.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Array = NDArray[np.float64]

_FENCE = 2.5
_FAR = 1e9  # deviations: where a value is read back to that no loss is mapped to
_POWERS = np.linspace(-2.0, 4.0, 61)
_TAIL = float(ndtri(0.95))
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(24)


@dataclass(frozen=True, slots=True)
class Warp:
    """A monotone map from losses to standardised values, and back."""

    scale: float
    fence: float
    centre: float
    spread: float
    power: float
    mean: float
    deviation: float

    def __call__(self, losses: Array) -> Array:
        """Warped losses; of those that `warp_of` saw, the mean is 0 and the deviation 1 (all 0 when they do not
        differ).
        """
        raw = np.minimum(losses / self.scale, self.fence)
        found: Array = (_power((raw - self.centre) / self.spread, self.power) - self.mean) / self.deviation
        return found

    def slope(self, losses: Array) -> Array:
        """The derivative at each loss, 0 beyond the fence: what turns a small loss's deviation into a warped one's."""
        raw = losses / self.scale
        place = (np.minimum(raw, self.fence) - self.centre) / self.spread
        steep = (np.abs(place) + 1.0) ** (np.sign(place) * (self.power - 1.0))
        return np.where(raw > self.fence, 0.0, steep / (self.spread * self.deviation * self.scale))

    def back(self, values: Array) -> Array:
        """The losses of warped values; the fence's where a value lies beyond it, the nearest end where no loss reaches
        it.
        """
        return self._sized(self._raw(values))

    def gain(self, best: float, values: Array) -> Array:
        """By how much the losses of warped values lie below that of the warped `best`; 0 where they do not."""
        return self._sized(np.maximum(self._raw(np.array([best])) - self._raw(values), 0.0))

    def expected(self, mean: float, deviation: float, best: float) -> dict[str, float]:
        """What to tell of a proposal by its warped mean and deviation, in units of the loss: median, 90 % interval, and
        the gain that is expected over the warped `best` (Gauss-Hermite quadrature).
        """
        low, middle, high = self.back(mean + deviation * np.array([-_TAIL, 0.0, _TAIL]))
        gain = self.gain(best, mean + deviation * _NODES) @ (_WEIGHTS / _WEIGHTS.sum())
        return {"mean": middle, "low": low, "high": high, "expected_gain": gain}

    def _raw(self, values: Array) -> Array:
        place = np.clip(_unpower(values * self.deviation + self.mean, self.power), -_FAR, _FAR)
        return np.asarray(np.minimum(place * self.spread + self.centre, self.fence))

    def _sized(self, raw: Array) -> Array:
        """In units of the loss, within what a double can hold."""
        most = 0.5 * np.finfo(np.float64).max / max(self.scale, 1.0)
        return np.asarray(np.clip(raw, -most, most) * self.scale)


def warp_of(losses: Array) -> Warp:
    """The warp that these losses (at least one, all finite) ask for."""
    scale = float(np.abs(losses).max()) or 1.0  # scores near the end of a double's range must not overflow
    raw = losses / scale
    low, middle, high = np.percentile(raw, [25, 50, 75])
    reach = max(float(high - middle), float(middle - low))
    # Where most losses are equal there is no measure of what is wild, and every difference counts.
    fence = float(middle + _FENCE * reach) if reach > 1e-12 else np.inf
    raw = np.minimum(raw, fence)
    spread = float(raw.std())
    if not spread > 1e-12 * max(1.0, float(np.abs(raw).max())):
        return Warp(scale, fence, float(raw.mean()), 1.0, 1.0, 0.0, 1.0)
    centre = float(raw.mean())
    place = (raw - centre) / spread
    power = _most_normal(place)
    values = _power(place, power)
    return Warp(scale, fence, centre, spread, power, float(values.mean()), float(values.std()) or 1.0)


def _most_normal(place: Array) -> float:
    """The exponent under which the values are most likely to be normal (all of the grid at once)."""
    logs = np.sign(place) * np.log1p(np.abs(place))
    likelihood = [
        -0.5 * len(place) * np.log(max(float(_power(place, power).var()), 1e-300)) + (power - 1.0) * logs.sum()
        for power in _POWERS
    ]
    return float(_POWERS[int(np.argmax(likelihood))])


def _power(x: Array, power: float) -> Array:
    """Yeo and Johnson's transform."""
    above, below = np.maximum(x, 0.0), np.maximum(-x, 0.0)
    up = np.log1p(above) if abs(power) < 1e-9 else np.expm1(power * np.log1p(above)) / power
    rest = 2.0 - power
    down = np.log1p(below) if abs(rest) < 1e-9 else np.expm1(rest * np.log1p(below)) / rest
    return np.asarray(up - down)


def _unpower(y: Array, power: float) -> Array:
    """Its inverse; a value that the transform never reaches becomes a very distant one."""
    above, below = np.maximum(y, 0.0), np.maximum(-y, 0.0)
    rest = 2.0 - power
    up = np.expm1(above) if abs(power) < 1e-9 else np.expm1(_log1p(power * above) / power)
    down = np.expm1(below) if abs(rest) < 1e-9 else np.expm1(_log1p(rest * below) / rest)
    return np.asarray(up - down)


def _log1p(x: Array) -> Array:
    return np.log1p(np.maximum(x, -1.0 + 1e-12))
