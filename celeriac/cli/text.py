"""How things are written on a screen: numbers, durations, times, parameters. Pure, and the same on every screen."""

import re
from datetime import datetime
from typing import TYPE_CHECKING

from celeriac.report.words import assigned, counted, number, one_line, span, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.domain.records import GangPlace, Schedule, StudyRecord

__all__ = [
    "assigned",
    "between",
    "counted",
    "due",
    "finished",
    "harmless",
    "labels",
    "moment",
    "number",
    "one_line",
    "span",
    "value_text",
    "with_members",
]

#: Escape sequences (CSI, then OSC and the like up to their end, then two-character ones), and control characters but
#: tab and line ends.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b.?|[\x00-\x08\x0b\x0c\x0e-\x1a\x7f\x80-\x9f]",
    re.DOTALL,
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def with_members(worker: str, members: "Sequence[GangPlace]") -> str:
    """Where a trial runs: its worker, or each member of its gang by rank; those of a gang that gathers are counted."""
    if not members:
        return worker
    if members[0].rank is None:
        return f"{counted(len(members), 'slot')} wait for more"
    return " ".join(f"{each.rank}:{each.worker}" for each in members)


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


def harmless(text: str, *, coloured: bool = True) -> str:
    """What a trial printed, or somebody wrote, for a terminal: of its escape sequences only colours stay, or none."""
    return _CONTROL.sub(lambda found: found[0] if coloured and _COLOUR.fullmatch(found[0]) else "", text)


def labels(found: "Mapping[str, str]") -> str:
    """A host's labels, as `CELERIAC_LABELS` has them."""
    return ",".join(f"{key}={value}" for key, value in sorted(found.items()))
