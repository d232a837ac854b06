"""What the coordinator knows of each study's past: the trials that ended, in the order of their ends, as a sampler needs them.

Rule: this is a cache. It reads on from where it was (`ended_since`), so that a trial's end costs the same at trial 10 and at trial
5,000, and it can be dropped and read again at any moment: the rows are the truth.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from celeriac.records import Snapshot, StudyRecord
from celeriac.spec import StudySpec, parse
from celeriac.store import Store
from coordinator.samplers.seam import Observation, Point, observed, point_of

MOST_STUDIES = 64
PAGE = 1000


@dataclass(slots=True)
class History:
    """One study's spec and past. `ended_no` is the place in the order of ends up to which it has read."""

    spec: StudySpec
    ended_no: int = 0
    observations: list[Observation] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)

    def read_on(self, store: Store, study: StudyRecord, *, until: int | None = None) -> None:
        """Read the ends since the last call, at most up to place `until`."""
        while until is None or self.ended_no < until:
            limit = PAGE if until is None else min(PAGE, until - self.ended_no)
            page = store.ended_since(study.id, self.ended_no, limit)
            for trial in page:
                self.observations.append(observed(self.spec.space, study.goal, trial))
                self.numbers.add(trial.number)
                self.ended_no = trial.ended_no or self.ended_no
            if len(page) < limit:
                return

    def pending(self, snapshot: Snapshot) -> list[Point]:
        """The points of the open trials, by number, without those that ended since the snapshot was taken."""
        return [
            point_of(self.spec.space, trial)
            for trial in snapshot.open_trials
            if trial.number not in self.numbers
        ]


class Histories:
    """The histories of the studies driven last."""

    def __init__(self, most: int = MOST_STUDIES) -> None:
        self._most = most
        self._kept: OrderedDict[int, History] = OrderedDict()

    def of(self, study: StudyRecord) -> History:
        """The study's history as far as it was read. Raises SpecInvalid when its spec cannot be read by this version."""
        history = self._kept.get(study.id)
        # Fewer ends than were read already: the database was put back to an earlier state, so nothing kept is true.
        if history is None or history.ended_no > study.counts.ended:
            history = History(parse(study.spec, f"study {study.name}"))
        self._kept[study.id] = history
        self._kept.move_to_end(study.id)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return history

    def forget(self, study_id: int) -> None:
        """Drop what is known of a study."""
        self._kept.pop(study_id, None)
