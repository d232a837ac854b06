"""Importance: a bar a parameter, with the range of nine in ten resamplings where there is one."""

from celeriac.report.explain.importance import Importance
from celeriac.report.plots.chart import FAINT, INK, SCORED, Chart, Json, chart, nothing, rounded, tips
from celeriac.report.plots.scene import Scene

_WIDTH, _PER_BAR = 520, 34


def importance(scene: Scene) -> Chart:
    """The chart of `scene.importance`; nothing, with its reason, where no answer was found."""
    judged = scene.importance
    if judged is None or not judged.parameters:
        return nothing("importance", "it was not judged" if judged is None else judged.reason)
    rows = [_row(each) for each in judged.parameters]
    order = [each.name for each in judged.parameters]
    y = {
        "field": "name",
        "type": "nominal",
        "title": None,
        "scale": {"domain": order, "padding": 0.35},
        "axis": {"labelColor": INK, "labelFontSize": 12, "labelLimit": 260, "ticks": False, "domain": False},
    }
    most = max(float(each.high or each.share or 0.0) for each in judged.parameters)
    scale = {"domain": [0, rounded(min(1.0, most * 1.12))], "nice": False}
    x = {"type": "quantitative", "title": "share", "axis": {"format": "%", "tickCount": 6}, "scale": scale}
    spread = (("low", "nine in ten from", ".1%"), ("high", "to", ".1%"))
    where = (("trials", "trials that have it"), ("note", "note"))
    tooltip = tips(("name", "parameter"), ("share", "share", ".1%"), *spread, *where)
    text = {"x": {**x, "field": "right"}, "y": y, "text": {"field": "text"}}
    body = {
        "width": _WIDTH,
        "height": _PER_BAR * len(rows),
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "bar", "color": SCORED, "cornerRadiusEnd": 2},
                "encoding": {"x": {**x, "field": "share"}, "y": y, "tooltip": tooltip},
            },
            {
                "mark": {"type": "rule", "color": INK, "strokeWidth": 1.5},
                "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y},
            },
            {"mark": {"type": "text", "align": "left", "dx": 6, "color": FAINT}, "encoding": text},
        ],
    }
    lines = [judged.headline, *filter(None, [judged.caution])]
    return chart("importance", f"{scene.study.name}: which parameters mattered", lines, body)


def _row(each: Importance) -> Json:
    found: Json = {"name": each.name, "trials": each.trials, "note": each.condition, "right": 0.0}
    if each.share is None:
        return {**found, "text": f"too few trials have it ({each.trials})"}
    found |= {"share": rounded(each.share), "right": rounded(max(each.share, each.high or 0.0))}
    if each.low is not None and each.high is not None:
        found |= {"low": rounded(each.low), "high": rounded(each.high)}
    note = f", {each.condition}" if each.condition else ""
    return {**found, "text": f"{each.share:.0%}{note}"}
