"""Charts drawn: as PNG, and as pages that need no network.

A page carries Vega itself (0.9 MB), so that it opens from a mail or a share, offline, for as long as browsers read
HTML.
"""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celeriac.report.plots import vega
from celeriac.report.plots.chart import Chart


def png(chart: Chart) -> bytes:
    """The chart as PNG. Raises ExtraMissing, and ValueError for one that shows nothing."""
    return vega.png(_spec(chart))


def svg(chart: Chart) -> str:
    """The chart as SVG. Raises ExtraMissing, and ValueError for one that shows nothing."""
    return vega.svg(_spec(chart))


def page(title: str, charts: Sequence[Chart]) -> str:
    """One HTML page with the charts below each other, whole in itself. Raises ExtraMissing."""
    places = "\n".join(f'<div class="chart" id="{each.kind}"></div>' for each in charts)
    calls = "\n".join(f"vegaEmbed('#{each.kind}', {_script_safe(_spec(each))}, options);" for each in charts)
    return _PAGE.format(title=html.escape(title), bundle=vega.scripts(), places=places, calls=calls)


def write(title: str, charts: Sequence[Chart], directory: Path) -> list[Path]:
    """Write `<kind>.png` and `<kind>.html` for each chart that shows something, and `index.html` with all of them.

    Existing files are replaced. Returns the paths, the index last; none when nothing can be shown. Raises
    ExtraMissing, OSError.
    """
    shown = [each for each in charts if each.spec is not None]
    if not shown:
        return []
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for each in shown:
        path = directory / f"{each.kind}.png"
        path.write_bytes(png(each))
        written.append(path)
    pages = [(each.kind, [each]) for each in shown] + [("index", shown)]
    for name, on_it in pages:
        path = directory / f"{name}.html"
        path.write_text(page(title, on_it), encoding="utf-8")
        written.append(path)
    return written


def _spec(chart: Chart) -> dict[str, Any]:
    if chart.spec is None:
        raise ValueError(f"{chart.kind}: there is nothing to draw: {chart.reason}")
    return dict(chart.spec)


def _script_safe(value: object) -> str:
    """JSON that cannot end the script it stands in, whatever a study's file put into it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ margin: 2rem auto; max-width: 1600px; padding: 0 1rem; }}
body {{ font-family: Helvetica, Arial, sans-serif; color: #1f2937; }}
.chart {{ margin-bottom: 3rem; overflow-x: auto; }}
.vega-bind {{ color: #6b7280; font-size: 13px; }}
</style>
<script>{bundle}</script>
</head>
<body>
{places}
<script>
const options = {{ actions: {{ export: true, source: false, compiled: false, editor: false }}, renderer: "canvas" }};
{calls}
</script>
</body>
</html>
"""
