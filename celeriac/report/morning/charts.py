"""A morning's pictures: gains with their intervals, what each slice cost and saved, looks at the champions by night."""

from collections.abc import Mapping, Sequence

from celeriac.report.morning.night import Morning, SliceMorning, slice_text
from celeriac.report.plots.chart import (
    BEST,
    DEFAULT,
    FAILED,
    FAINT,
    INK,
    PRUNED,
    SCORED,
    Chart,
    Json,
    chart,
    dots,
    nothing,
    rounded,
)

_WIDTH, _PER_SLICE = 400, 30
_MOST_PANELS, _COLUMNS, _PANEL = 12, 4, 200
#: How each verdict looks.
_LOOKS = {"promoted": BEST, "kept": FAINT, "failed": FAILED, "open": SCORED}
_SPENT = {"look": DEFAULT, "search": SCORED, "confirm": PRUNED, "saved": "#d5dbe3"}


def charts(morning: Morning) -> list[Chart]:
    """Those that show something."""
    return [each for each in (gains(morning), costs(morning), looks(morning)) if each.spec is not None]


def gains(morning: Morning) -> Chart:
    """Each slice's gain by its test, with the interval: right of the line the challenger is better."""
    rows = [_gain(each) for each in morning.slices if each.test is not None and each.test.gain is not None]
    if not rows:
        return nothing("gains", "no challenger was tested")
    y = _slices([row["slice"] for row in rows])
    x: Json = {"type": "quantitative", "title": f"gain in {morning.metric}", "axis": {"tickCount": 6, "format": "~g"}}
    colour = _coloured("end", _LOOKS, rows)
    layers: list[Json] = [
        {"mark": {"type": "rule", "color": INK, "strokeDash": [4, 3]}, "encoding": {"x": {**x, "datum": 0}}},
        {
            "transform": [{"filter": "isValid(datum.low)"}],
            "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.55},
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": colour},
        },
        {"mark": dots(size=90), "encoding": {"x": {**x, "field": "gain"}, "y": y, "color": colour}},
    ]
    body = {"data": {"values": rows}, "width": _WIDTH, "height": _PER_SLICE * len(rows), "layer": layers}
    facts = ["mean over pairs; the bar is the test's interval"]
    return chart("gains", "Gain on hold-out", facts, body)


def costs(morning: Morning) -> Chart:
    """Device time of each slice by stage, and what was saved."""
    unit, word = _unit(max((_whole(each) for each in morning.slices), default=0.0))
    rows: list[Json] = []
    for each in morning.slices:
        for stage, seconds in {**each.device_s, "saved": each.saved_s or 0.0}.items():
            if seconds > 0:
                place = list(_SPENT).index(stage)
                value = rounded(seconds / unit)
                rows.append({"slice": slice_text(each.slice), "stage": stage, "place": place, "value": value})
    if not rows:
        return nothing("costs", "no device time was used")
    encoding = {
        "x": {
            "field": "value",
            "type": "quantitative",
            "stack": "zero",
            "title": f"device time ({word})",
            "axis": {"tickCount": 6},
        },
        "y": _slices(list(dict.fromkeys(row["slice"] for row in rows))),
        "order": {"field": "place", "type": "quantitative"},
        "color": _coloured("stage", _SPENT, rows),
    }
    height = _PER_SLICE * len({row["slice"] for row in rows})
    body = {"data": {"values": rows}, "width": _WIDTH, "height": height, "mark": {"type": "bar"}, "encoding": encoding}
    return chart("costs", "Device time, used and saved", [], body)


def looks(morning: Morning) -> Chart:
    """The champion's score night by night, a panel a slice; a night that promoted is marked."""
    shown = [each for each in morning.slices if len(each.looks) > 1][:_MOST_PANELS]
    if not shown:
        return nothing("looks", "a line needs two nights with a look at the champion")
    panels = [_panel(morning, each, first=place % _COLUMNS == 0) for place, each in enumerate(shown)]
    facts = ["its run on each night's own data; filled: a night that promoted, with the new champion's score"]
    if len(shown) < len(morning.slices):
        facts.append(f"{len(shown)} of {len(morning.slices)} slices")
    body = {"columns": _COLUMNS, "concat": panels}
    return chart("looks", "The champion, night by night", facts, body)


def _gain(each: SliceMorning) -> Json:
    test = each.test
    low, high = (None, None) if test is None or test.interval is None else map(rounded, test.interval)
    end = "open" if not each.is_over else str(each.state).lower()
    gain = None if test is None or test.gain is None else rounded(test.gain)
    return {"slice": slice_text(each.slice), "gain": gain, "low": low, "high": high, "end": end}


def _coloured(field: str, colours: Mapping[str, str], rows: Sequence[Json]) -> Json:
    """A field by these colours, with a legend of those that are there."""
    there = [name for name in colours if any(row[field] == name for row in rows)]
    scale = {"domain": there, "range": [colours[name] for name in there]}
    return {"field": field, "type": "nominal", "title": None, "scale": scale, "legend": {"orient": "top"}}


def _slices(names: Sequence[str]) -> Json:
    axis = {"labelColor": INK, "labelFontSize": 12, "labelLimit": 180, "ticks": False, "domain": False, "minExtent": 90}
    scale = {"domain": list(names), "padding": 0.3}
    return {"field": "slice", "type": "nominal", "title": None, "scale": scale, "axis": axis}


def _panel(morning: Morning, each: SliceMorning, *, first: bool) -> Json:
    rows = [
        {"at": look.due_at.isoformat(), "score": rounded(look.score), "promoted": look.promoted} for look in each.looks
    ]
    x = {
        "field": "at",
        "type": "temporal",
        "title": None,
        "axis": {"format": "%d %b", "tickCount": 4, "grid": False, "labelOverlap": "greedy", "labelSeparation": 10},
    }
    y = {
        "field": "score",
        "type": "quantitative",
        "title": morning.metric if first else None,
        "scale": {"zero": False, "nice": True, "padding": 6},
        "axis": {"tickCount": 4, "format": "~g"},
    }
    at = {"x": x, "y": y}
    title = {
        "text": slice_text(each.slice),
        "fontSize": 12,
        "fontWeight": "normal",
        "offset": 6,
        "anchor": "middle",
        "frame": "group",
    }
    hollow = {"type": "point", "filled": True, "fill": "white", "stroke": SCORED, "size": 34, "opacity": 1}
    promoted = {"type": "point", "filled": True, "color": BEST, "size": 80, "opacity": 1}
    layers: list[Json] = [
        {"mark": {"type": "line", "color": SCORED, "strokeWidth": 1.5}, "encoding": at},
        {"transform": [{"filter": "!datum.promoted"}], "mark": hollow, "encoding": at},
        {"transform": [{"filter": "datum.promoted"}], "mark": promoted, "encoding": at},
    ]
    return {"data": {"values": rows}, "width": _PANEL, "height": 120, "title": title, "layer": layers}


def _whole(each: SliceMorning) -> float:
    return each.used_s + (each.saved_s or 0.0)


def _unit(most_s: float) -> tuple[float, str]:
    return (3600.0, "hours") if most_s >= 3600 else (60.0, "minutes") if most_s >= 60 else (1.0, "seconds")
