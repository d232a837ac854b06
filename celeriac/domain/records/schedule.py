"""A schedule's row."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule's row: the study it opens for each slice, and when the first of its slices is due next."""

    name: str
    spec: Mapping[str, Any]
    cron: str
    timezone: str
    slices: tuple[Mapping[str, Any], ...]
    code_root: str
    fingerprint: str
    paused: bool
    next_due_at: datetime
    created_at: datetime
