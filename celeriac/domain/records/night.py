"""What a firing's next move is decided on: its row, its slice's champion, and what its studies have found so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celeriac.domain.records.firing import Champion, Firing
from celeriac.domain.records.study import NewStudy, StudyRecord
from celeriac.domain.records.trial import TrialRecord
from celeriac.domain.states import Stage


@dataclass(frozen=True, slots=True)
class Night:
    """One firing as its next move finds it.

    `plan`: what its studies are like. `studies`: those of its stages, as far as they are opened. `look` and `pairs`:
    the trials of the stages that run given points. `first`, `again` and `best`: of the search, trial 0, the champion's
    trial (it is among the first), and the best so far.
    `history`: the slice's verdicts of earlier nights, and `earlier`: its earlier firings, both newest first.
    `tallies`: of each earlier night of the whole schedule, oldest first, what its tests spent (level x weight) and how
    many slices were promoted; only where the schedule holds the share of false promotions (`fdr`). `learned`: the
    parameters that the slice's newest earlier search had come to know, where the space is learned (`learn_space`).
    """

    firing: Firing
    plan: NewStudy
    champion: Champion | None
    studies: Mapping[Stage, StudyRecord] = field(default_factory=dict)
    look: tuple[TrialRecord, ...] = ()
    first: TrialRecord | None = None
    again: TrialRecord | None = None
    best: TrialRecord | None = None
    pairs: tuple[TrialRecord, ...] = ()
    history: tuple[Champion, ...] = ()
    earlier: tuple[Firing, ...] = ()
    tallies: tuple[tuple[float, int], ...] = ()
    learned: Mapping[str, Any] = field(default_factory=dict)
