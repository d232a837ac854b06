"""The first points of a study that is not opened: what its first trials would get while no result is known."""

from collections.abc import Mapping
from typing import Any

from celeriac.decide.sampler import choose
from celeriac.domain.records import Source
from celeriac.domain.study_file import parse
from coordinator.samplers.api import Point, proposed
from coordinator.suggest.shapes import ask_in_shapes


def previewed(form: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Parameters by trial, the default first. Raises SpecInvalid, SamplerFailed."""
    spec = parse(form, "study")
    points: list[dict[str, Any]] = [] if spec.default is None else [dict(spec.default)]
    pending = [_as_default(proposed(spec.space, params, 0)) for params in points]
    left = max(count - len(points), 0)
    proposals = ask_in_shapes(choose(spec).name, spec, (), pending, left) if left else []
    return [*points, *(dict(each.params) for each in proposals)][:count]


def _as_default(point: Point) -> Point:
    return Point(point.number, point.params, point.unit, point.key, Source.DEFAULT)
