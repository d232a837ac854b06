"""What templates may ask of values: numbers, times and addresses as they are written on every page. Pure."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from celeriac.report.morning.night import slice_text
from celeriac.report.words import assigned, counted, number, one_line, part_of, span, value_text


def study_url(name: str, *parts: object) -> str:
    """The path of a study's page, or of one below it."""
    below = "".join(f"/{part}" for part in parts)
    return f"/studies/{quote(name, safe='/=,:@')}{below}"


def trial_url(name: str, trial: int) -> str:
    """The path of a trial's page."""
    return study_url(name, "trials", trial)


def night_url(schedule: str, night: str) -> str:
    """The path of a night's page."""
    return f"/nights/{quote(schedule, safe='')}/{quote(night, safe='')}"


def schedule_url(name: str) -> str:
    """The path of a schedule's page."""
    return f"/schedules/{quote(name, safe='')}"


def moment(at: datetime | None) -> Markup:
    """A time, to the minute, in UTC; the page writes it by the reader's own clock."""
    return (
        Markup("-")
        if at is None
        else Markup('<time datetime="{}">{:%Y-%m-%d %H:%M} UTC</time>').format(at.isoformat(), at)
    )


def day(night: str) -> Markup:
    """A night's name as the head of a narrow column: `Tue`, `24 Nov`, and what else is said in it."""
    try:
        at = date.fromisoformat(night[:10])
    except ValueError:
        return escape(night)
    more = night[10:].strip("-T").replace("-", " ")
    return Markup("{:%a}<br>{} {:%b}").format(at, at.day, at) + (Markup("<br>{}").format(more) if more else "")


def ago(at: datetime | None, now: datetime) -> Markup:
    """How long ago that was, or how soon it will be; the page lets it age."""
    if at is None:
        return Markup("-")
    s = (now - at).total_seconds()
    words = f"{_coarse(s)} ago" if s >= 0 else f"in {_coarse(-s)}"
    return Markup('<time data-age datetime="{}">{}</time>').format(at.isoformat(), words)


def since(at: datetime, now: datetime) -> Markup:
    """For how long, until now; the page lets it go on."""
    return Markup('<time data-since datetime="{}">{}</time>').format(
        at.isoformat(), _coarse((now - at).total_seconds())
    )


def percent(share: float | None) -> str:
    """A share as a whole number of per cent."""
    return "-" if share is None else f"{100 * share:.0f} %"


def _coarse(seconds: float) -> str:
    if seconds < 3600:
        return f"{round(seconds)}s" if seconds < 60 else f"{int(seconds // 60)}m"
    return (
        f"{int(seconds // 3600)}h {int(seconds % 3600 // 60):02d}m" if seconds < 86400 else f"{int(seconds // 86400)}d"
    )


def hours(value: float | None) -> str:
    """Hours, to three digits."""
    return "-" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def signed(value: float | None, digits: int = 2) -> str:
    """A gain with its sign."""
    if value is None:
        return "-"
    return f"{value:+.4f}" if 1e-4 <= abs(value) < 10 or not value else f"{value:+.{digits}g}"


def sentence(text: str) -> str:
    """With a capital and a full stop, where it has none; "" stays so."""
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def code(text: str) -> Markup:
    """Text in which what stands between backticks is code."""
    parts = str(text).split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 and place < len(parts) - 1 else escape(part)
        for place, part in enumerate(parts)
    )


def size(count: int | None) -> str:
    """Bytes, as people say them."""
    if not count:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count = count / 1024  # type: ignore[assignment]
    return str(count)


def badge(word: object, said: object = None) -> Markup:
    """A state as a small coloured word."""
    text = str(word)
    return Markup('<span class="badge {}">{}</span>').format(
        text.lower().replace("_", "-").replace(" ", "-"), str(text if said is None else said).lower().replace("_", " ")
    )


def lines(text: object) -> Markup:
    """Text whose line ends are kept."""
    return Markup("<br>").join(escape(line) for line in str(text).splitlines())


def query(values: Mapping[str, Any], **changed: Any) -> str:
    """A query string: these values, changed; without those that are empty."""
    merged = {**values, **changed}
    return urlencode({name: value for name, value in merged.items() if value not in (None, "", ())}, doseq=True)


FILTERS = {
    "number": number,
    "span": span,
    "assigned": assigned,
    "value": value_text,
    "one_line": one_line,
    "slice": slice_text,
    "moment": moment,
    "day": day,
    "ago": ago,
    "hours": hours,
    "sentence": sentence,
    "signed": signed,
    "code": code,
    "size": size,
    "since": since,
    "percent": percent,
    "badge": badge,
    "lines": lines,
    "counted": counted,
    "part_of": part_of,
    "study_url": study_url,
    "trial_url": trial_url,
    "schedule_url": schedule_url,
    "query": query,
}
