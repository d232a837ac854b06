"""A night's morning, to be sent."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class NightReport:
    """One night of a schedule that is to be told of. `tries` were begun so far; the next is not before `next_at`;
    `done_at`: it came through. `detail`: what came of the last.
    """

    schedule: str
    night: str
    tries: int
    next_at: datetime
    done_at: datetime | None
    detail: str
