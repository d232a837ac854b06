"""The key `schedule.blackout`: windows of local time in which no firing begins.

A window has dates (`{from: 2026-12-24, to: 2026-12-26}`, both days included; with a time the end is the first minute
outside), times of the day (`{from: "08:00", to: "18:00"}`, over midnight where `to` is earlier), or days of the week
(`{days: [sat, sun]}`); a window over midnight belongs to the day on which it begins.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from celeriac.domain.space import nearest, show
from celeriac.domain.study_file.section import Section

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_KEYS = frozenset({"from", "to", "days", "why"})
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_EXAMPLE = '{from: 2026-12-24, to: 2026-12-26}, {from: "08:00", to: "18:00"} or {days: [sat, sun]}'


@dataclass(frozen=True, slots=True)
class Blackout:
    """One window, as the file writes it; `start` and `end` are both dates, both times of the day, or both empty."""

    start: str = ""
    end: str = ""
    days: tuple[str, ...] = ()
    why: str = ""

    @property
    def comes_again(self) -> bool:
        """Whether it is one of the day or the week, and not of certain dates."""
        return not self.start or is_clock(self.start)

    def covers(self, local: datetime) -> bool:
        """Whether a moment, as the clocks of the place show it, lies within."""
        at = local.replace(tzinfo=None)
        if not self.start:
            return self._on(at)
        if not self.comes_again:
            return _moment(self.start) <= at < _moment(self.end, is_end=True) and self._on(at)
        clock, start, end = f"{at:%H:%M}", self.start, self.end
        if start < end:
            return start <= clock < end and self._on(at)
        return (clock >= start and self._on(at)) or (clock < end and self._on(at - timedelta(days=1)))

    def told(self) -> str:
        """The window in words: `sat sun`, `08:00 to 18:00 (office hours)`."""
        span = f"{self.start} to {self.end}" if self.start else ""
        why = f"({self.why})" if self.why else ""
        return " ".join(part for part in (" ".join(self.days), span, why) if part)

    def to_dict(self) -> dict[str, Any]:
        """The canonical form."""
        form = {"from": self.start, "to": self.end, "days": list(self.days), "why": self.why}
        return {key: value for key, value in form.items() if value}

    def _on(self, at: datetime) -> bool:
        return not self.days or DAYS[at.weekday()] in self.days


def is_clock(value: object) -> bool:
    """Whether this is a time of the day such as 06:00; 24:00 is the day's end."""
    return isinstance(value, str) and _CLOCK.fullmatch(value) is not None


def blackouts(section: Section) -> tuple[Blackout, ...]:
    """The windows of `blackout`; what is wrong with one is noted, and it is left out."""
    given = section.get("blackout")
    if given is None:
        return ()
    if not isinstance(given, (list, tuple)):
        section.fail("blackout", f"must be a list of windows, such as [{_EXAMPLE.split('}')[0]}}}], not {show(given)}")
        return ()
    read = [_blackout(section, f"blackout.{i}", each) for i, each in enumerate(given)]
    return tuple(each for each in read if each is not None)


def _blackout(section: Section, key: str, given: object) -> Blackout | None:
    if not isinstance(given, Mapping) or not given:
        section.fail(key, f"must be a window, such as {_EXAMPLE}, not {show(given)}")
        return None
    before = len(section.problems.found)
    inner = Section(given, f"{section.path}.{key}", section.problems, _KEYS)
    window = Blackout(str(given.get("from") or ""), str(given.get("to") or ""), _days(inner), inner.text("why", ""))
    flaw = _flaw(window) if len(section.problems.found) == before else ""
    if flaw:
        section.fail(key, flaw)
    return window if len(section.problems.found) == before else None


def _days(inner: Section) -> tuple[str, ...]:
    given = inner.get("days")
    if given is None:
        return ()
    words = given if isinstance(given, (list, tuple)) else [given]
    for word in words:
        if word not in DAYS:
            inner.fail("days", f"cannot be {show(word)}; {nearest(word, DAYS)}")
    return tuple(day for day in DAYS if day in words)


def _flaw(window: Blackout) -> str:
    """What is wrong with a window; "" when nothing is."""
    start, end = window.start, window.end
    if not start and not end:
        return "" if window.days else f"has no time: write {_EXAMPLE}"
    if not end:
        return f"never ends: write `to` beside `from: {start}`"
    if not start:
        return f"never begins: write `from` beside `to: {end}`"
    if is_clock(start) != is_clock(end):
        return f"goes from {start} to {end}: write two times of the day, or two dates"
    if is_clock(start):
        return f"goes from {start} to {end}, which is no time at all" if start == end else ""
    try:
        is_empty = _moment(end, is_end=True) <= _moment(start)
    except ValueError:
        return f"goes from {start} to {end}: write dates such as 2026-12-24 or 2026-12-24T08:00, without a zone"
    return f"ends ({end}) before it begins ({start})" if is_empty else ""


def _moment(text: str, *, is_end: bool = False) -> datetime:
    """A local moment; of a date as an end, the end of that day. Raises ValueError for text that is none."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is not None:
        raise ValueError(f"{text} has a zone")
    return at + timedelta(days=1) if is_end and len(text) == len("2026-12-24") and at.time() == time() else at
