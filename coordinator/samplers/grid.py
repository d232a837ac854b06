"""Grid search: every configuration of the grid once, in the space's own order; a continuous float takes 10 values.

Where it stands follows from the rows: of the grid's proposals made so far, each took the first configuration that was not
tried yet, so the next one lies at their number or, past what others (the default) tried already, behind it.
"""

from collections.abc import Sequence
from itertools import islice

from celeriac.records import Source
from celeriac.space import Space
from coordinator.samplers.seam import Observation, Point, Proposal, seen_keys


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.seam`; `seed` changes nothing here."""
    known = [*(o.point for o in observations), *pending]
    seen = seen_keys(observations, pending)
    start = sum(point.source is Source.SUGGESTED for point in known)
    rest = (params for params in islice(space.grid(), start, None) if space.key(params) not in seen)
    return [Proposal(params, {"by": "grid"}) for params in islice(rest, count)]
