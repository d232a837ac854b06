"""Pictures of a study. Rule: a picture is a value (`Chart`, a Vega-Lite specification) made by a pure function of a
`Scene`.

Only `celeriac.report.plots.vega` knows how one becomes a picture; it alone needs the extra `celeriac[plots]`. So a
chart can be tested as data, looks the same on paper, in a browser and in a notebook, and carries its numbers with it.
"""

from collections.abc import Callable, Mapping

from celeriac.report.plots.chart import Chart
from celeriac.report.plots.history import history
from celeriac.report.plots.importance import importance
from celeriac.report.plots.parallel import parallel
from celeriac.report.plots.rungs import rungs
from celeriac.report.plots.scene import Scene
from celeriac.report.plots.slices import slices

#: Every kind of picture, in the order in which they are shown.
KINDS: Mapping[str, Callable[[Scene], Chart]] = {
    "history": history,
    "parallel": parallel,
    "importance": importance,
    "slices": slices,
    "rungs": rungs,
}

__all__ = ["KINDS", "Chart", "Scene"]
