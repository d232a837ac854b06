"""A file that a trial leaves, such as its model, and what is published of a champion."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from celeriac.domain.states import Params


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file that was whole and hashed before its row was committed. `path` is relative to the artefact root."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published of a slice's champion. `version` is the promotion's id: of two, the larger came later.

    A roll-back is a promotion too, with a version of its own and the earlier champion's parameters and model. `code` is
    the fingerprint of the code that its trial ran; `more` goes into the published record as it is.
    """

    schedule: str
    slice: Mapping[str, Any]
    version: int
    study: str
    trial: int | None
    params: Params
    score: float | None
    metrics: Mapping[str, Any]
    reason: str
    decided_at: datetime | None
    code: str = ""
    model: Artefact | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """What came of publishing a version: whether `current` was moved to it now, where it lies, and why."""

    version: int
    path: str
    is_new: bool
    reason: str


class DeliveryKind(StrEnum):
    """What is to be done outside the database: of a promotion, its publication and then its hook; of a night, its
    morning.
    """

    PUBLISH = "publish"
    HOOK = "hook"
    MORNING = "morning"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One of them. `promotion` and its `slice`, or the `night` that it is about. `tries` were begun so far; the next is
    not before `next_at`; `done_at`: it came through, or there was nothing to do. `detail`: what came of the last.
    """

    id: int
    kind: DeliveryKind
    schedule: str
    slice: Mapping[str, Any]
    promotion: int | None
    night: str
    tries: int
    next_at: datetime
    done_at: datetime | None
    detail: str
