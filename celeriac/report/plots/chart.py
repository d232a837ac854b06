"""A chart as a value, and the looks that all charts share."""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from celeriac.domain.errors import ExtraMissing
from celeriac.report.plots import vega

Json = dict[str, Any]

INK, FAINT, GRID = "#1f2937", "#6b7280", "#e5e7eb"
SCORED, PRUNED, FAILED, BEST, DEFAULT = "#3b6fb6", "#e08a1e", "#c8323c", "#12805c", "#7a4fb5"
#: How each end of a trial looks: its name in legends, its colour, its shape.
LOOKS = {
    "scored": ("scored", SCORED, "circle"),
    "pruned": ("pruned", PRUNED, "diamond"),
    "failed": ("failed", FAILED, "cross"),
}

_CONFIG: Json = {
    "background": "white",
    "font": "Helvetica, Arial, sans-serif",
    "view": {"stroke": GRID},
    "axis": {
        "labelColor": FAINT,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "domainColor": GRID,
        "tickColor": GRID,
        "labelFontSize": 11,
        "titleFontSize": 12,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "symbolOpacity": 1,
    },
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": 15,
        "subtitleColor": FAINT,
        "subtitleFontSize": 12,
        "subtitlePadding": 4,
        "offset": 14,
    },
    "concat": {"spacing": 24},
}


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture: `kind` names its file, `spec` is Vega-Lite with the data, or None with a `reason`."""

    kind: str
    spec: Mapping[str, Any] | None
    reason: str = ""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """What a notebook shows: the chart where it can draw Vega-Lite (JupyterLab, VS Code), else the picture."""
        if self.spec is None:
            return {"text/plain": self.reason}
        bundle = {"application/vnd.vegalite.v5+json": dict(self.spec), "text/plain": f"{self.kind} of a study"}
        try:
            return bundle | {"image/png": b64encode(vega.png(self.spec)).decode()}
        except ExtraMissing:
            return bundle


def chart(kind: str, title: str, subtitle: Sequence[str], body: Mapping[str, Any]) -> Chart:
    """The chart of that body, with the title, the lines below it, and the shared looks."""
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "title": {"text": title, "subtitle": list(subtitle)},
        "config": _CONFIG,
        **body,
    }
    return Chart(kind, spec)


def quantity(field: str, title: str | None, domain: Sequence[float] = (), **axis: Any) -> Json:
    """The encoding of a number by its place; a domain that is given is kept to the digit."""
    scale: Json = {"nice": False, "zero": False, **({"domain": [rounded(edge) for edge in domain]} if domain else {})}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": axis}


def kinds(looks: Sequence[tuple[str, str, str]]) -> Json:
    """The encodings of the field `kind` by colour and shape, with one legend: (kind, colour, shape) each."""
    names = [name for name, _, _ in looks]
    legend = {"orient": "top", "direction": "horizontal"}
    common = {"field": "kind", "type": "nominal", "title": None, "legend": legend}
    return {
        "color": {**common, "scale": {"domain": names, "range": [colour for _, colour, _ in looks]}},
        "shape": {**common, "scale": {"domain": names, "range": [shape for _, _, shape in looks]}},
    }


def tips(*told: tuple[str, str] | tuple[str, str, str]) -> list[Json]:
    """What a pointer tells: (field, title) each, and a format where there is one."""
    return [dict(zip(("field", "title", "format"), each, strict=False)) for each in told]


def dots(**more: Any) -> Json:
    """The mark of a trial: a filled point."""
    return {"type": "point", "filled": True, "opacity": 1, "fillOpacity": 0.8, **more}


def nothing(kind: str, reason: str) -> Chart:
    """No picture, and why."""
    return Chart(kind, None, reason)


def rounded(value: float) -> float:
    """Six significant digits: what an eye can use, at half the bytes."""
    return float(f"{value:.6g}")


def round_numbers(low: float, high: float, about: int = 6) -> list[float]:
    """About so many round numbers (steps of 1, 2 or 5 times a power of ten) between two."""
    rough = high / about - low / about  # the whole range of doubles has no difference that is one
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(each for each in (1, 2, 5, 10) if each * power >= rough)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def label(mark: Json, encoding: Json) -> list[Json]:
    """Text that stays readable on whatever lies below it: itself over a white halo, as two layers."""
    base = {"type": "text", "fontSize": 12, **mark}
    halo = {**base, "color": "white", "stroke": "white", "strokeWidth": 4, "strokeJoin": "round"}
    return [{"mark": halo, "encoding": encoding}, {"mark": base, "encoding": encoding}]
