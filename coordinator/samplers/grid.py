"""Grid search: every configuration of the grid once, in the space's own order; a continuous float takes 10 values.

Where it stands follows from the rows: of the grid's proposals made so far, each took the first configuration that was
not tried yet, so the next one lies at their number or, past what others (the default) tried already, behind it. Only
at the end is the whole grid looked through again, for what other proposals than the grid's own left out.
"""

from collections.abc import Sequence
from itertools import chain, islice

from celeriac.domain.provenance import By
from celeriac.domain.records import Source
from celeriac.domain.space import Space
from coordinator.samplers.api import Kind, Observation, Point, Proposal, seen_keys


def suggest(
    space: Space, observations: Sequence[Observation], pending: Sequence[Point], count: int, seed: int
) -> list[Proposal]:
    """See `coordinator.samplers.api`; `seed` changes nothing here."""
    known = [*(o.point for o in observations if o.kind is not Kind.PRIOR), *pending]
    seen = seen_keys(observations, pending)
    start = sum(point.source is Source.SUGGESTED for point in known)
    order = chain(islice(space.grid(), start, None), islice(space.grid(), start))
    rest = (params for params in order if space.key(params) not in seen)
    return [Proposal(params, {"by": By.GRID}) for params in islice(rest, count)]
