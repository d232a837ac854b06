"""How a firing moves: what is decided (`celeriac.decide.night`) and then written whole (`Store.move_firing`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celeriac.domain.lifecycle import FiringEvent
from celeriac.domain.records import Champion, NewStudy, Stage, Suggestion


@dataclass(frozen=True, slots=True)
class StageOpening:
    """The study of a stage. `points`: trials that it is given, one for each; they are added to those of a study that
    is there already. Without points it searches.
    """

    stage: Stage
    study: NewStudy
    points: tuple[Suggestion, ...] = ()


@dataclass(frozen=True, slots=True)
class FiringMove:
    """One move of a firing, written whole or not at all: its event and reason, the stage that it opens or continues,
    the verdict that it brings, and what the decision stood on.
    """

    event: FiringEvent
    reason: str
    opening: StageOpening | None = None
    verdict: Champion | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
