"""What is to be done to publish a champion's version, and which published versions may go."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

NO_SLICE = "all"


@dataclass(frozen=True, slots=True)
class PublicationDecision:
    """Whether to make the version's package, and whether to have `current` name it then."""

    pack: bool
    advance: bool
    reason: str


def publication(version: int, current: int | None) -> PublicationDecision:
    """Versions only go forward: who comes late with an older one leaves `current` alone."""
    if current is None:
        return PublicationDecision(True, True, "the slice's first version")
    if version < current:
        return PublicationDecision(False, False, f"version {current} came later and is published")
    if version == current:
        return PublicationDecision(False, False, "published already")
    return PublicationDecision(True, True, f"in place of version {current}")


def place_of(schedule: str, slice_: Mapping[str, Any]) -> str:
    """Where a slice's versions lie below the artefact root: `champions/flights/airport=JFK`. A schedule without slices
    has one, `all`.
    """
    named = ",".join(f"{key}={value}" for key, value in slice_.items())
    return f"champions/{schedule}/{named or NO_SLICE}"


def old_versions(versions: Mapping[int, datetime | None], current: int | None, before: datetime) -> list[int]:
    """Which of a slice's versions, each with when it was decided, may be deleted.

    Never the one that is current, the one before it, or a newer one; nor one decided after `before`, or at a time that
    nobody knows.
    """
    if current is None:
        return []
    kept = {current, *sorted(each for each in versions if each < current)[-1:]}
    return sorted(
        each
        for each, decided_at in versions.items()
        if each < current and each not in kept and decided_at is not None and decided_at < before
    )
