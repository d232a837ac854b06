"""Slices: for each parameter, every trial's score over its value; later trials are darker."""

import math

from celeriac.domain.space import Choice, Float, Int, Parameter
from celeriac.report.plots.chart import BEST, LOOKS, Chart, Json, chart, dots, nothing, quantity, rounded
from celeriac.report.plots.scene import Scene, caption, ended, option_text, tooltip

_COLUMNS, _WIDTH, _HEIGHT = 3, 250, 180
#: More points than that are thinned out: the best tenth stay, of the others every so-many-th.
_MOST_POINTS = 1500
_SPREAD = 0.4  # of the distance between two values
_FEW_POWERS, _FEW_VALUES = 3, 9


def slices(scene: Scene) -> Chart:
    """The chart, three parameters a row; nothing before the first score."""
    if scene.best is None:
        return nothing("slices", "no trial has a score yet")
    rows = ended(scene)
    drawn = _thinned(scene, rows)
    for row in drawn:
        row.setdefault("y", rounded(scene.edge))
        row["best"] = row["n"] == scene.best.number
        row["jitter"] = (row["n"] * 0.618034) % 1
    panels = [
        _panel(scene, place, name, parameter, first=place % _COLUMNS == 0)
        for place, (name, parameter) in enumerate(scene.parameters.items())
    ]
    body = {
        "data": {"values": drawn},
        "columns": _COLUMNS,
        "concat": panels,
        "resolve": {"scale": {"color": "shared", "xOffset": "independent"}},
    }
    facts = [*scene.facts, *scene.told_of_pruned("orange")]
    if len(drawn) < len(rows):
        facts.append(f"{len(drawn)} of {len(rows)} are drawn: the best tenth, and a sample of the others")
    return chart("slices", f"{scene.study.name}: score over each parameter", facts, body)


def _thinned(scene: Scene, rows: list[Json]) -> list[Json]:
    if len(rows) <= _MOST_POINTS:
        return rows
    losses = sorted(scene.loss(row["score"]) for row in rows if "score" in row)
    bound = losses[min(len(losses) // 10, _MOST_POINTS // 2)]
    best = [row for row in rows if "score" in row and scene.loss(row["score"]) <= bound]
    rest = [row for row in rows if "score" not in row or scene.loss(row["score"]) > bound]
    room = _MOST_POINTS - len(best)
    return sorted(best + [rest[len(rest) * k // room] for k in range(room)], key=lambda row: row["n"])


def _panel(scene: Scene, place: int, name: str, parameter: Parameter, *, first: bool) -> Json:
    field = f"p{place}"
    x = _x(field, parameter)
    across: Json = {
        "x": x,
        "y": quantity("y", scene.metric if first else None, scene.window, tickCount=5),
        "tooltip": tooltip(scene),
    }
    spread: list[Json] = []
    if isinstance(parameter, Choice):
        across["xOffset"] = {"field": "jitter", "type": "quantitative", "scale": {"domain": [-0.6, 1.6]}}
    elif _is_crowded(parameter):
        moved = f"datum.{field} + (datum.jitter - 0.5) * {_SPREAD * (parameter.step or 1)}"
        spread = [{"calculate": moved, "as": "moved"}]
        across["x"] = {**x, "field": "moved"}
    there = f"isValid(datum.{field})"
    layers = [
        {"transform": [{"filter": f"{test} && {there}"}, *spread], "mark": mark, "encoding": across | more}
        for test, mark, more in _marks(30 if len(scene.trials) < 300 else 14)
    ]
    title = {"fontSize": 12, "fontWeight": "normal", "offset": 6, "anchor": "middle"}
    return {"width": _WIDTH, "height": _HEIGHT, "title": {"text": caption(name, parameter), **title}, "layer": layers}


def _marks(size: int) -> list[tuple[str, Json, Json]]:
    """The layers from below: which trials, their mark, and what else tells them apart."""
    by_number = {
        "field": "n",
        "type": "quantitative",
        "title": "trial",
        "scale": {"range": ["#c9d9ee", "#3b6fb6", "#12284b"]},
        "legend": {"orient": "right", "gradientLength": 120, "format": "d", "tickCount": 4},
    }
    ring = {"type": "point", "filled": False, "opacity": 1, "size": 110, "strokeWidth": 2.5, "color": BEST}
    return [
        *(
            (f"datum.state === '{state}'", dots(size=size, color=colour, shape=shape), {})
            for state, colour, shape in (LOOKS["failed"], LOOKS["pruned"])
        ),
        ("datum.state === 'scored' && !datum.best", dots(size=size), {"color": by_number}),
        ("datum.best", ring, {}),
    ]


def _x(field: str, parameter: Parameter) -> Json:
    """The parameter's axis, over its whole range: logarithmic where the search is."""
    if isinstance(parameter, Choice):
        options = [option_text(option) for option in parameter.options]
        return {
            "field": field,
            "type": "nominal",
            "title": None,
            "scale": {"domain": options},
            "axis": {"labelAngle": 0 if len(options) <= 5 else -40, "labelLimit": 80},
        }
    room = 0.5 * (parameter.step or 1) if _is_crowded(parameter) else 0.0
    scale: Json = {"domain": [parameter.low - room, parameter.high + room], "nice": False, "zero": False, "padding": 4}
    axis: Json = {"tickCount": 5, "labelOverlap": True}
    if parameter.log:
        scale["type"] = "log"
        axis["format"] = "~g" if parameter.high <= 10000 and parameter.low >= 0.01 else "~e"
        powers = range(math.floor(math.log10(parameter.low)), math.ceil(math.log10(parameter.high)) + 1)
        if len(powers) > _FEW_POWERS:
            axis["values"] = [10.0**power for power in powers]
    elif isinstance(parameter, Int):
        axis |= {"format": "d", "tickMinStep": 1}
        if parameter.count <= _FEW_VALUES:
            axis["values"] = list(parameter.points(1))
    return {"field": field, "type": "quantitative", "title": None, "scale": scale, "axis": axis}


def _is_crowded(parameter: Float | Int) -> bool:
    """Whether many trials share each value, so that they are spread a little to the sides."""
    return isinstance(parameter, Int) and parameter.count <= 20 and not parameter.log
