"""How likely is a point to fail by its own fault? A Gaussian process of what failed and what did not.

It is a regression on labels (1: it ran, 0: it failed). The normal distribution with the fitted noise turns the
latent value into a probability. When failures fill a region, the noise is small and the edge sharp. When they strike
at random, the noise explains them, and the probability is the same everywhere. Running out of memory depends on the
device. It is learned for each kind of device by itself, also from attempts whose retry succeeded on another kind,
and weighted by each kind's share of the trials.

Source: Gelbart, Snoek, Adams 2014, "Bayesian Optimization with Unknown Constraints", with regression instead of
classification.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from celeriac.domain.records import Fault
from coordinator.samplers.api import Kind, Observation
from coordinator.samplers.encoding import Array, Box
from coordinator.samplers.gp import GaussianProcess, Prior, Rows, fitted

MOST_ROWS = 150
NEWEST_SHARES = 200
_PRIOR = Prior(noise=(float(np.log(0.05)), 1.5), noise_limits=(float(np.log(1e-3)), float(np.log(10.0))))


class Feasibility:
    """The probability that a point runs; 1 everywhere until something failed. Raises LinAlgError."""

    def __init__(self, box: Box, observations: Sequence[Observation], rng: np.random.Generator) -> None:
        ran = [o for o in observations if o.kind in (Kind.FINISHED, Kind.PRUNED, Kind.INFEASIBLE)]
        rest = [o for o in ran if o.fault is not Fault.OUT_OF_MEMORY]
        failed = any(o.kind is Kind.INFEASIBLE for o in rest)
        short = any(_oom_device_kinds(o) for o in ran)
        self.failed = failed or short
        self._box, self._rng = box, rng
        self._any = self._model([(o, o.kind is not Kind.INFEASIBLE) for o in rest]) if failed else None
        self._by_device = self._device_models(ran) if short else []

    def __call__(self, x: Array) -> Array:
        """For each encoded point, in (0, 1]."""
        chance = np.ones(len(x))
        if self._any is not None:
            chance *= self._any(x)
        if self._by_device:
            chance *= sum(
                (share * (1.0 if model is None else model(x)) for share, model in self._by_device), np.zeros(len(x))
            )
        return np.maximum(chance, 1e-12)

    def _device_models(self, ran: Sequence[Observation]) -> list[tuple[float, "_Labels | None"]]:
        """For each kind of device, its share of the newest trials, and its own model if memory ran out there."""
        kinds = [sorted({o.device, *_oom_device_kinds(o)}) for o in ran]
        newest = Counter(kind for each in kinds[-NEWEST_SHARES:] for kind in each)
        found = []
        for device in sorted(newest):
            rows = [
                (o, device not in _oom_device_kinds(o))
                for o, each in zip(ran, kinds, strict=True)
                if device in each and (device in _oom_device_kinds(o) or o.kind is not Kind.INFEASIBLE)
            ]
            model = self._model(rows) if any(not enough for _, enough in rows) else None
            found.append((newest[device] / newest.total(), model))
        return found

    def _model(self, rows: Sequence[tuple[Observation, bool]]) -> "_Labels":
        """Of observations and whether each ran."""
        if len(rows) > MOST_ROWS:
            newest = rows[-MOST_ROWS // 2 :]
            older = self._rng.choice(len(rows) - len(newest), MOST_ROWS - len(newest), replace=False)
            rows = [rows[at] for at in sorted(older.tolist())] + list(newest)
        labels = np.array([float(ran) for _, ran in rows])
        return _Labels(self._box, self._box.units([o.point.unit for o, _ in rows]), labels)


def _oom_device_kinds(observation: Observation) -> tuple[str, ...]:
    """The kinds of devices on which it ran out of memory."""
    last = (observation.device,) if observation.fault is Fault.OUT_OF_MEMORY else ()
    return (*observation.oom_device_kinds, *last)


class _Labels:
    """A Gaussian process of labels."""

    def __init__(self, box: Box, places: Array, labels: Array) -> None:
        # One more of each kind than were seen (Laplace's rule), so that neither is thought impossible.
        self._mean = (labels.sum() + 1.0) / (len(labels) + 2.0)
        self._spread = float(np.sqrt(self._mean * (1.0 - self._mean)))
        rows = Rows(
            box.encoded(places), (labels - self._mean) / self._spread, np.zeros(len(labels)), np.ones(len(labels))
        )
        theta = fitted(box.groups, rows, _PRIOR)
        self._noise = float(np.exp(theta[-1]))
        self._model = GaussianProcess(theta, box.groups, rows)

    def __call__(self, x: Array) -> Array:
        mean, deviation = self._model.predict(x, return_std=True)
        level = self._mean + self._spread * mean - 0.5
        variance = self._spread**2 * (deviation**2 + self._noise * self._model.amplitude)
        return np.asarray(ndtr(level / np.sqrt(variance)))
