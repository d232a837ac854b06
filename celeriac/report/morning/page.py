"""A morning as one HTML page, whole in itself: no script, no font and no picture comes from elsewhere.

So it opens offline, from a mail or a share, for as long as browsers read HTML.
"""

from base64 import b64encode
from collections.abc import Iterator
from html import escape

from celeriac.report.morning.charts import charts
from celeriac.report.morning.lines import clock, cost, of_slice, outcome
from celeriac.report.morning.night import Morning, SliceMorning, slice_text
from celeriac.report.plots import Chart, drawn
from celeriac.report.words import number, span


def page(morning: Morning) -> str:
    """The page. Raises ExtraMissing: its pictures need `celeriac[plots]`."""
    title = f"{morning.schedule}, night {morning.night}"
    pictures = "".join(_picture(each) for each in charts(morning))
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=lead>{escape(outcome(morning))}.</p>",
        _tiles(morning),
        _attention(morning),
        _table(morning),
        f"<div class=charts>{pictures}</div>",
        "<h2>Slice by slice</h2>",
        *(_details(each) for each in morning.slices),
        f"<footer>{escape(cost(morning))}. As of {escape(clock(morning.at))}.</footer>",
    ]
    body = "\n".join(part for part in parts if part)
    return _PAGE.format(title=escape(title), style=_STYLE, body=body)


def _tiles(morning: Morning) -> str:
    """The night in five numbers."""
    told = [
        (str(morning.states.get("PROMOTED", 0)), f"of {len(morning.slices)} promoted"),
        (str(len(morning.attention)), "to look at"),
        (span(morning.used_s), "device time used"),
        (span(morning.saved_s), "saved by searching less"),
        (str(sum(morning.faults.values())), "faults"),
    ]
    return f"<div class=tiles>{''.join(f'<div><b>{escape(a)}</b>{escape(b)}</div>' for a, b in told)}</div>"


def _attention(morning: Morning) -> str:
    if not morning.attention:
        return "<p class=calm>Nothing needs a person.</p>"
    items = "".join(
        f"<li><b>{escape(slice_text(each.slice))}</b> <span class=tag>{escape(each.kind)}</span> {escape(each.what)}"
        f"<br><code>{escape(each.command)}</code></li>"
        for each in morning.attention
    )
    return f"<section class=attention><h2>Look at</h2><ul>{items}</ul></section>"


def _table(morning: Morning) -> str:
    head = ("slice", "decision", "gain on hold-out", "trials", "used", "saved", "faults", "deadline")
    rows = "".join(f"<tr>{''.join(_cells(each))}</tr>" for each in morning.slices)
    heads = "".join(f"<th>{each}</th>" for each in head)
    return f"<div class=wide><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"


def _cells(each: SliceMorning) -> Iterator[str]:
    test = each.test
    gained = "-" if test is None else f"<b>{number(test.gain, 4)}</b>"
    if test is not None and test.interval is not None:
        gained += f" <span class=faint>{number(test.interval[0], 3)} to {number(test.interval[1], 3)}</span>"
    yield f"<th scope=row>{escape(slice_text(each.slice))}</th>"
    yield f"<td>{_state(each)}</td><td>{gained}</td>"
    saved = "?" if each.saved_s is None else span(each.saved_s) if each.saved_s else "-"
    for told in (str(sum(each.trials.values())), span(each.used_s), saved, str(sum(each.faults.values()) or "-")):
        yield f"<td class=number>{escape(told)}</td>"
    yield f"<td>{escape(each.deadline or '-')}</td>"


def _state(each: SliceMorning) -> str:
    return f'<span class="state {str(each.state).lower()}">{str(each.state).lower()}</span>'


def _details(each: SliceMorning) -> str:
    """One slice's card: what changed and why."""
    told = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(words)}</dd>"
        for name, words in of_slice(each)
        if words and name != "changed"
    )
    changed = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(_value(old))}</td><td>{escape(_value(new))}</td></tr>"
        for name, (old, new) in each.changed.items()
    )
    if changed:
        head = "<thead><tr><th>parameter</th><th>before</th><th>after</th></tr></thead>"
        changed = f"<table class=changed>{head}<tbody>{changed}</tbody></table>"
    return f"<article><h3>{escape(slice_text(each.slice))} {_state(each)}</h3><dl>{told}</dl>{changed}</article>"


def _value(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _picture(chart: Chart) -> str:
    """As an image of its own, so that no name in one picture means something in another."""
    data = b64encode(drawn.svg(chart).encode()).decode()
    return f'<img alt="{escape(chart.kind)}" src="data:image/svg+xml;base64,{data}">'


_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 28px 24px 40px; background: white;
  font: 15px/1.5 Helvetica, Arial, sans-serif; color: #1f2937; }
h1 { font-size: 26px; margin: 0; } h2 { font-size: 18px; margin: 28px 0 10px; }
h3 { font-size: 16px; margin: 0 0 8px; }
.lead { margin: 4px 0 18px; color: #6b7280; font-size: 16px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px; }
.tiles div { border: 1px solid #e5e7eb; border-radius: 8px; padding: 10px 14px; color: #6b7280; font-size: 13px; }
.tiles b { display: block; font-size: 22px; color: #1f2937; }
.attention { margin-top: 18px; border: 1px solid #f0c48a; background: #fff8ee; border-radius: 8px; padding: 12px 18px; }
.attention h2 { margin: 0 0 6px; } .attention ul { margin: 0; padding-left: 18px; }
.attention li { margin: 6px 0; overflow-wrap: anywhere; }
.calm { margin: 18px 0 0; color: #12805c; }
code { font: 13px/1.4 ui-monospace, Menlo, Consolas, monospace; color: #4b5563; }
.tag { border-radius: 4px; padding: 1px 6px; background: #f7dcb8; font-size: 12px; }
.wide { overflow-x: auto; margin-top: 22px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 7px 10px; border-bottom: 1px solid #e5e7eb; vertical-align: top; }
thead th { color: #6b7280; font-weight: normal; font-size: 13px; }
tbody th { font-weight: 600; white-space: nowrap; } .number { white-space: nowrap; }
.faint { color: #6b7280; white-space: nowrap; }
.state { border-radius: 4px; padding: 1px 8px; font-size: 12px; font-weight: normal;
  background: #e8edf3; color: #374151; }
.state.promoted { background: #d8efe6; color: #0d6347; }
.state.failed, .state.missed { background: #f8dcde; color: #9b1c27; }
.state.skipped { background: #ece6f5; color: #5b3a8c; }
.charts { display: flex; flex-wrap: wrap; gap: 28px 32px; margin-top: 30px; align-items: flex-start; }
.charts img { max-width: 100%; height: auto; }
article { border: 1px solid #e5e7eb; border-radius: 8px; padding: 14px 18px; margin: 12px 0; break-inside: avoid; }
dl { display: grid; grid-template-columns: 84px 1fr; gap: 4px 12px; margin: 0; font-size: 14px; }
dt { color: #6b7280; } dd { margin: 0; overflow-wrap: anywhere; }
.changed { width: auto; margin: 10px 0 0 86px; } .changed th, .changed td { padding: 3px 10px; }
footer { margin-top: 28px; color: #6b7280; font-size: 13px; }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
