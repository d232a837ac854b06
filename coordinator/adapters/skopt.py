"""`skopt`: scikit-optimize's own Optimizer (a Gaussian process, gp_hedge), made safe, for those who want exactly that.

What plain use gets wrong, and what is done here: it is built anew of the rows at each question, so that the rows alone
decide (the weights of gp_hedge begin anew with it); no NaN reaches it; pending trials are told as the model expects
them to score; it gets at most KEPT rows, since a fit grows with their cube, and keeps one model; a point that it
repeats is replaced by the nearest untried one; plain Python values come out. What stays is the cost: seconds a
suggestion, and as much again for each further one that is asked for at once. It knows no conditional parameters: an
inactive one is told as the middle of its range.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import clone
from skopt import Optimizer
from skopt.space import Categorical, Dimension, Integer, Real

from celeriac.domain.provenance import By
from celeriac.domain.space import INACTIVE, Choice, Int, Parameter, Space
from coordinator.adapters.numbered import number_of, value_of
from coordinator.samplers.api import Observation, Point, Proposal, dice
from coordinator.samplers.dedupe import untried
from coordinator.samplers.model_based import Model, propose
from coordinator.samplers.targets import Targets, targets_of

KEPT = 150


def suggest(
    option: str, space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.api`; there are no options."""

    def build(waiting: Sequence[Point]) -> Model | None:
        known = targets_of(observations, KEPT, seed)
        return _Asked(space, known, waiting, seed) if known else None

    return propose(build, space, observations, pending, count, seed)


class _Asked:
    """An Optimizer that was told everything."""

    def __init__(self, space: Space, known: Targets, pending: Sequence[Point], seed: int) -> None:
        self._space, self._seed = space, seed
        # One option alone is no dimension: its column would have no spread.
        self._names = [name for name in space.names if space.parameters[name].count != 1]
        if not self._names:
            raise ValueError("there is nothing to vary")
        self._optimizer = Optimizer(
            [_dimension(space.parameters[name]) for name in self._names],
            n_initial_points=1,
            model_queue_size=1,
            random_state=dice(seed, len(known.points), "skopt").randrange(2**32),
        )
        rows, losses = [self._row(point.params) for point in known.points], known.losses.tolist()
        lies = self._expected(rows, losses, pending) if pending else []
        self._optimizer.tell(rows + [self._row(point.params) for point in pending], losses + lies)

    def best(self, number: int, seen: set[str]) -> Proposal | None:
        """See `coordinator.samplers.model_based`."""
        asked = Proposal(self._params(self._optimizer.ask()), {"by": str(By.SKOPT)})
        return untried(self._space, asked, seen, self._seed, number, "skopt")

    def believe(self, point: Point) -> None:
        """See `coordinator.samplers.model_based`: a whole fit."""
        row = self._row(point.params)
        expected = self._optimizer.models[-1].predict(self._optimizer.space.transform([row]))
        self._optimizer.tell(row, float(expected[0]))

    def _expected(self, rows: list[list[Any]], losses: list[float], pending: Sequence[Point]) -> list[float]:
        """What a model of the rows expects of the pending points."""
        model = clone(self._optimizer.base_estimator_).fit(self._optimizer.space.transform(rows), losses)
        asked = self._optimizer.space.transform([self._row(point.params) for point in pending])
        return [float(loss) for loss in model.predict(asked)]

    def _row(self, params: Mapping[str, Any]) -> list[Any]:
        parameters = self._space.parameters
        return [
            number_of(parameters[name], params.get(name, parameters[name].from_unit(INACTIVE))) for name in self._names
        ]

    def _params(self, row: Sequence[Any]) -> dict[str, Any]:
        """The configuration of a row: what is not active there is left out."""
        found = dict(zip(self._names, row, strict=True))
        params: dict[str, Any] = {}
        while waiting := [name for name in self._space.active(params) if name not in params]:
            for name in waiting:
                params[name] = value_of(self._space.parameters[name], found.get(name, 0))
        return self._space.validate(params)


def _dimension(parameter: Parameter) -> Dimension:
    if isinstance(parameter, Choice):
        return Categorical(range(parameter.count))
    if parameter.log and isinstance(parameter, Int):
        return Integer(parameter.low, parameter.high, prior="log-uniform")
    if parameter.count is not None:
        return Integer(0, parameter.count - 1)
    return Real(parameter.low, parameter.high, prior="log-uniform" if parameter.log else "uniform")
