"""How things are written on a screen: numbers, durations, times, parameters. Pure, and the same on every screen."""

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.domain.records import Schedule, StudyRecord

#: Escape sequences (CSI, then OSC and the like up to their end, then two-character ones), and control characters but
#: tab and line ends.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b.?|[\x00-\x08\x0b\x0c\x0e-\x1a\x7f\x80-\x9f]",
    re.DOTALL,
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def number(value: float | None, digits: int = 6) -> str:
    """A score or metric: six significant digits; "-" for none."""
    return "-" if value is None else f"{value:.{digits}g}"


def counted(count: int, thing: str) -> str:
    """`1 host`, `3 hosts`."""
    return f"{count} {thing}" + ("" if count == 1 else "s")


def span(seconds: float | None) -> str:
    """A duration: `0.4s`, `52s`, `1m 12s`, `2h 05m`, `3d 4h`; "-" for none."""
    if seconds is None or math.isinf(seconds):
        return "-"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def between(start: datetime | None, end: datetime | None) -> str:
    """The time between two moments; "-" where one is unknown."""
    return "-" if start is None or end is None else span(max((end - start).total_seconds(), 0.0))


def moment(at: datetime | None) -> str:
    """A time in the reader's own zone, which is named, to the minute; "-" for none."""
    return "-" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M %Z}"


def due(schedule: "Schedule") -> str:
    """When a schedule fires next, if it does."""
    return "paused" if schedule.paused else f"due {moment(schedule.next_due_at)}"


def finished(study: "StudyRecord") -> str:
    """`12/30`: how many trials have finished, of how many."""
    return f"{study.counts.finished}/{study.budget}"


def assigned(values: Mapping[str, Any], digits: int = 4) -> str:
    """Parameters on one line: `lr=0.01234 width=64 optimizer=adam`."""
    return " ".join(f"{name}={value_text(value, digits)}" for name, value in values.items())


def value_text(value: Any, digits: int = 4) -> str:
    """One parameter's or metric's value."""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return value if isinstance(value, str) else json.dumps(value)


def harmless(text: str) -> str:
    """What a trial printed, for a terminal: of its escape sequences only colours stay."""
    return _CONTROL.sub(lambda found: found[0] if _COLOUR.fullmatch(found[0]) else "", text)


def one_line(text: str, most: int = 100) -> str:
    """The text's first line, cut where it is too long."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= most else f"{line[: most - 1]}…"
