"""Suggestions for packs: the trials of a pack must have one shape, so the first one's is held for the others.

The trials of a study come in groups of as many as a pack has, by their numbers. The first of each group is suggested
freely; for the others the sampler looks for the best points that have its shape. Where a shape has no further point,
the next is suggested freely as well, and leads a pack of its own sooner or later. Other libraries' samplers know no
held parameters: what they suggest is packed as it comes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from celeriac.decide.pack import lead_number
from celeriac.domain.records import Params
from celeriac.domain.study_file import StudySpec
from coordinator.samplers import ask, is_ours
from coordinator.samplers.api import Kind, Observation, Point, Proposal, next_number, proposed
from coordinator.samplers.earlier import EarlierStudy
from coordinator.samplers.held import held


def ask_in_shapes(
    name: str,
    spec: StudySpec,
    observations: Sequence[Observation],
    pending: Sequence[Point],
    count: int,
    earlier: tuple[EarlierStudy, ...] = (),
) -> list[Proposal]:
    """As `coordinator.samplers.ask`, for a study whose trials may come in packs. Raises SamplerFailed."""
    shape, size = spec.space.shape, spec.pack
    if size < 2 or not shape or not is_ours(name):
        return ask(name, spec.space, observations, pending, count, spec.seed, earlier)
    waiting, found = list(pending), list[Proposal]()
    while len(found) < count:
        number = next_number(observations, waiting)
        lead = lead_number(number, size)
        wanted = _shape_of(lead, shape, observations, waiting) if lead < number else None
        portion = 1 if wanted is None else min(count - len(found), lead + size - number)
        space = spec.space if wanted is None else held(spec.space, wanted)
        proposals = ask(name, space, observations, waiting, portion, spec.seed, earlier)
        if wanted is not None and proposals:
            proposals = [replace(each, how={**each.how, "shape_of_trial": lead}) for each in proposals]
        elif wanted is not None:
            proposals = ask(name, spec.space, observations, waiting, 1, spec.seed, earlier)
        if not proposals:
            break
        for place, each in enumerate(proposals):
            waiting.append(proposed(spec.space, each.params, number + place))
        found += proposals
    return found


def _shape_of(
    number: int, shape: Sequence[str], observations: Sequence[Observation], pending: Sequence[Point]
) -> dict[str, Any] | None:
    """The shape of the trial of that number; None where nothing is known of it."""
    known: list[Point] = [*pending, *(each.point for each in observations if each.kind is not Kind.PRIOR)]
    params: Params | None = next((each.params for each in known if each.number == number), None)
    return None if params is None else {name: params[name] for name in shape if name in params}
