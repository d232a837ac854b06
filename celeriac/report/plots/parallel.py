"""Parallel coordinates: a line a trial through its parameters to its score; the better the score, the stronger the
line.

Each axis is the parameter's place in the unit box, so that a log range is even in its logarithm and options stand
apart. A parameter that a trial does not have takes its line through a lane below the axes. Of more than 600 trials,
half of the lines are the best and half are every so-many-th of the others: more would be a wall.
"""

import math
from collections.abc import Iterator

from celeriac.domain.records import TrialRecord
from celeriac.domain.space import Choice, Float, Int, Parameter
from celeriac.report.plots.chart import FAINT, INK, Chart, Json, chart, label, nothing, round_numbers, rounded
from celeriac.report.plots.scene import Scene, option_text, row, tooltip

_HEIGHT, _PER_AXIS, _LEAST_WIDTH = 420, 110, 520
_LANE = -0.12
_MOST_LINES, _MOST_CURVES = 600, 200
_MOST_TICKS = 6
_ROOM = 0.08
_MOST_LETTERS = 12
#: Trials of one option or of few integers would lie on top of each other: they are spread a little, as a share of the
#: axis.
_SPREAD = 0.05


def parallel(scene: Scene) -> Chart:
    """The chart of the scored and the pruned trials; nothing before the first score."""
    if scene.best is None:
        return nothing("parallel", "no trial has a score yet")
    axes = [f"u{place}" for place in range(len(scene.parameters) + 1)]
    x = {
        "field": "axis",
        "type": "nominal",
        "scale": {"type": "point", "domain": axes, "padding": 0.35},
        "axis": {
            "title": None,
            "orient": "top",
            "labelExpr": f"{dict(zip(axes, [*scene.parameters, scene.metric], strict=True))!r}[datum.value]",
            "labelColor": INK,
            "labelFontSize": 12,
            "labelAngle": 0,
            "labelLimit": _PER_AXIS - 6,
            "domain": False,
            "ticks": False,
            "grid": True,
            "gridColor": FAINT,
            "gridOpacity": 0.6,
        },
    }
    lane = any(parameter.when for parameter in scene.parameters.values())
    y = {
        "field": "u",
        "type": "quantitative",
        "axis": None,
        "scale": {"domain": [_LANE - 0.05 if lane else -0.03, 1.03], "nice": False},
    }
    body = {
        "width": max(_LEAST_WIDTH, _PER_AXIS * len(axes)),
        "height": _HEIGHT,
        "view": {"stroke": None},
        "params": [
            {
                "name": "top",
                "value": 100,
                "bind": {"input": "range", "min": 1, "max": 100, "step": 1, "name": "show the best % "},
            }
        ],
        "layer": [_lines(scene, scene.best, axes, x, y), *_ticks(scene, axes, x, y)],
    }
    drawn, there = len(_drawn(len(scene.judged))), len(scene.judged)
    facts = [*scene.facts, *scene.told_of_pruned("dashed")]
    if drawn < there:
        facts.append(f"{drawn} of {there} are drawn: the best {drawn // 2}, and a sample of the others")
    return chart("parallel", f"{scene.study.name}: parallel coordinates", facts, body)


def _lines(scene: Scene, best: TrialRecord, axes: list[str], x: Json, y: Json) -> Json:
    """The trials from worst to best, so that the best lie on top."""
    ranked = sorted(scene.judged, key=lambda trial: (trial.number == best.number, -scene.loss_of(trial)))
    count, rows = len(ranked), []
    drawn = _drawn(count)
    for k, place in enumerate(drawn):
        trial = ranked[place]
        good = rounded((k + 1) / len(drawn))
        top = rounded(100 * (count - place) / count)
        rows.append({**row(scene, trial), **_places(scene, trial, axes), "good": good, "top": top})
    strongest, faintest = 0.95, max(0.06, min(0.5, 12 / len(rows)))
    return {
        "data": {"values": rows},
        "transform": [{"filter": "datum.top <= top"}, {"fold": axes, "as": ["axis", "u"]}],
        "params": [
            {"name": "pointed", "select": {"type": "point", "on": "mouseover", "fields": ["n"], "clear": "mouseout"}}
        ],
        "mark": {"type": "line", "interpolate": "monotone" if len(rows) <= _MOST_CURVES else "linear"},
        "encoding": {
            "x": x,
            "y": y,
            "detail": {"field": "n"},
            "color": {
                "condition": {"param": "pointed", "empty": False, "value": "#c8323c"},
                "field": "good",
                "type": "quantitative",
                "scale": {"domain": [0, 1], "range": ["#cfd8e3", "#8fb3d9", "#3b6fb6", "#12805c"]},
                "legend": None,
            },
            "strokeOpacity": {
                "condition": {"param": "pointed", "empty": False, "value": 1},
                "field": "good",
                "type": "quantitative",
                "scale": {"type": "pow", "exponent": 4, "domain": [0, 1], "range": [faintest, strongest]},
                "legend": None,
            },
            "strokeWidth": {
                "condition": [
                    {"param": "pointed", "empty": False, "value": 3},
                    {"test": f"datum.n === {best.number}", "value": 3},
                ],
                "value": 1.3,
            },
            "strokeDash": {"condition": {"test": "datum.state === 'pruned'", "value": [5, 4]}, "value": [1, 0]},
            "tooltip": tooltip(scene),
        },
    }


def _drawn(count: int) -> list[int]:
    """Places in the ranking (worst first) of the trials that get a line."""
    if count <= _MOST_LINES:
        return list(range(count))
    best = count - _MOST_LINES // 2
    others = _MOST_LINES - _MOST_LINES // 2
    return [*(best * k // others for k in range(others)), *range(best, count)]


def _places(scene: Scene, trial: TrialRecord, axes: list[str]) -> Json:
    """Where the trial's line crosses each axis."""
    jitter = ((trial.number * 0.618034) % 1 - 0.5) * _SPREAD  # even, and the same at every drawing
    found: Json = {}
    for axis, (name, parameter) in zip(axes, scene.parameters.items(), strict=False):
        if name not in trial.params:
            found[axis] = _LANE + jitter / 2
            continue
        place = parameter.to_unit(trial.params[name])
        crowded = isinstance(parameter, Choice) or (isinstance(parameter, Int) and parameter.count <= 20)
        found[axis] = rounded(place + jitter if crowded else place)
    found[axes[-1]] = rounded(_score_place(scene, trial.score or 0.0))
    return found


def _score_place(scene: Scene, score: float) -> float:
    """Where a score stands on its axis: the window from bottom to top, the better side on top whatever the goal."""
    low, high = scene.window
    place = (min(max(score, low), high) - low) / (high - low)
    return place if scene.study.goal == "maximize" else 1.0 - place


def _ticks(scene: Scene, axes: list[str], x: Json, y: Json) -> list[Json]:
    """The values beside each axis, and the name of the lane."""
    ticks: list[Json] = []
    for axis, parameter in zip(axes, scene.parameters.values(), strict=False):
        ticks += [{"axis": axis, "u": rounded(place), "text": text} for place, text in marks(parameter)]
        if parameter.when:
            ticks.append({"axis": axis, "u": _LANE, "text": "absent"})
    ticks += [
        {"axis": axes[-1], "u": rounded(_score_place(scene, value)), "text": f"{value:.4g}"}
        for value in round_numbers(*scene.window, about=8)
    ]
    data = {"values": ticks}
    mark = {"align": "left", "dx": 6, "fontSize": 10, "color": FAINT}
    dash: Json = {
        "data": data,
        "mark": {"type": "tick", "orient": "horizontal", "size": 7, "thickness": 1, "color": FAINT},
        "encoding": {"x": x, "y": y},
    }
    return [dash, *({"data": data, **layer} for layer in label(mark, {"x": x, "y": y, "text": {"field": "text"}}))]


def marks(parameter: Parameter) -> Iterator[tuple[float, str]]:
    """Some values of a parameter with their places: both ends, and between them as many round ones as have room."""
    if isinstance(parameter, Choice):
        for option in parameter.options[:: max(1, -(-parameter.count // 12))]:
            text = option_text(option)
            shown = text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
            yield parameter.to_unit(option), shown
        return
    kept: list[float] = []
    for value in (parameter.low, parameter.high, *_between(parameter)):
        place = parameter.to_unit(value)
        if all(abs(place - other) >= _ROOM for other in kept):
            kept.append(place)
            yield place, f"{value:.3g}" if isinstance(value, float) else str(value)


def _between(parameter: Float | Int) -> list[float] | list[int]:
    """Values inside a range in the order of how welcome they are as ticks."""
    if parameter.step is not None or (isinstance(parameter, Int) and parameter.count <= _MOST_TICKS):
        return [parameter.from_unit(k / _MOST_TICKS) for k in range(1, _MOST_TICKS)]
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [digit * 10.0**power for digit in (1, 2, 5) for power in powers]
    else:
        found = round_numbers(low, high)
    inside = [float(f"{value:.6g}") for value in found if low < value < high]
    return inside if isinstance(parameter, Float) else [round(value) for value in inside]
