"""How things are written for people: numbers, durations, parameters. Pure, and the same on every screen and page."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.domain.records import Resources


def number(value: float | None, digits: int = 6) -> str:
    """A score or metric: six significant digits; "-" for none."""
    return "-" if value is None else f"{value:.{digits}g}"


def counted(count: int, thing: str) -> str:
    """`1 host`, `3 hosts`."""
    return f"{count} {thing}" + ("" if count == 1 else "s")


def part_of(trials: int, of: int, asked: "Resources") -> str:
    """A study's part of so many GPUs, or CPU slots, in trials at once."""
    unit = "GPU" if asked.on_gpu else "slot"
    if asked.width == 1:
        return f"{counted(trials, unit)} of {of}"
    return f"{counted(trials, 'trial')} at once on {counted(of, unit)}, each with {asked.width:g}"


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


def assigned(values: Mapping[str, Any], digits: int = 4) -> str:
    """Parameters on one line: `lr=0.01234 width=64 optimizer=adam`."""
    return " ".join(f"{name}={value_text(value, digits)}" for name, value in values.items())


def value_text(value: Any, digits: int = 4) -> str:
    """One parameter's or metric's value."""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return value if isinstance(value, str) else json.dumps(value)


def one_line(text: str, most: int = 100) -> str:
    """The text's first line, cut where it is too long."""
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= most else f"{line[: most - 1]}…"
