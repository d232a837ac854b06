"""What is known of each study's trials, as a sampler needs them: those that ended, in the order of their ends, and
those pending.

Rule: this is a cache. It reads on from where it was (`ended_since`, `pending`), so that a trial's end costs the same
at trial 10 and at trial 5,000, with 30 trials running and with 3,000; it can be dropped and read again at any moment:
the rows are the truth.
"""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from celeriac.decide.warm_start import fitted, moved
from celeriac.domain.records import PendingTrial, StudyRecord, TrialRecord
from celeriac.domain.study_file import StudySpec, parse
from celeriac.store import Store
from coordinator.samplers.api import Kind, Observation, Point, observed, point_of
from coordinator.suggest.past import NightStart, night_start

MOST_STUDIES = 64
#: Of all studies together: some 40 MB. One study alone may have more.
MOST_OBSERVATIONS = 30_000
PAGE = 1000


@dataclass(slots=True)
class History:
    """One study's spec, its past and its pending trials. `ended_no` is the place in the order of ends up to which it
    has read.

    `written`: the space as it stood in the study's row. `resumed_at`: as of the study's row when the reading began;
    ends may have been taken back since then (`Store.retry_trials`).
    """

    spec: StudySpec
    resumed_at: datetime | None = None
    ended_no: int = 0
    observations: list[Observation] = field(default_factory=list)
    start: NightStart | None = None
    written: Any = None
    _pending: dict[int, tuple[PendingTrial, Point]] = field(default_factory=dict)

    def read_on(self, store: Store, study: StudyRecord, *, until: int) -> None:
        """Read the ends since the last call, up to place `until`."""
        while self.ended_no < until:
            page = store.ended_since(study.id, self.ended_no, min(PAGE, until - self.ended_no))
            for trial in page:
                self.observations.append(taught(self.spec, study, trial))
                self._pending.pop(trial.number, None)
                self.ended_no = trial.ended_no or self.ended_no
            if not page:
                return

    def started(self, store: Store, study: StudyRecord) -> NightStart:
        """What the night of this study starts from; read once."""
        if self.start is None:
            self.start = night_start(store, study, self.spec)
        return self.start

    def pending(self, store: Store, study: StudyRecord, *, below: int) -> list[Point]:
        """The points of the trials below this number that had not ended at `ended_no`, by number.

        Read are those that it does not know. Waiting trials may have been given other parameters since they were read,
        but only all of
        the newest together: so the newest that it knows tells, and where that one changed, it looks further back.
        """
        known = [number for number in sorted(self._pending) if number < below]
        back, unchanged = 1, False
        while not unchanged:
            since = known[-back] if back <= len(known) else 0
            rows = store.pending(study.id, observed=self.ended_no, below=below, since=since)
            unchanged = not since or (bool(rows) and rows[0] == self._pending[since][0])
            back *= 2
        for trial in rows:
            if trial.number not in self._pending or self._pending[trial.number][0] != trial:
                self._pending[trial.number] = trial, self._point(trial)
        return [self._pending[number][1] for number in sorted(self._pending) if number < below]

    def _point(self, trial: PendingTrial) -> Point:
        if not self.spec.learn_space:
            return point_of(self.spec.space, trial)
        return point_of(self.spec.space, replace(trial, params=moved(trial.params, self.spec.space, None)))


def taught(spec: StudySpec, study: StudyRecord, trial: TrialRecord) -> Observation:
    """What a trial teaches. Where the space is learned, a parameter that it did not ask for counts as its middle, and a
    trial that asked for what does not fit teaches nothing.
    """
    if not spec.learn_space:
        return observed(spec.space, study.goal, trial)
    params = fitted(trial.params, spec.space, None)
    seen = observed(spec.space, study.goal, replace(trial, params=params or moved(trial.params, spec.space, None)))
    return seen if params is not None else replace(seen, kind=Kind.VOID, loss=None, fault=None, rungs=())


class Histories:
    """The histories of the studies asked for last."""

    def __init__(self, most: int = MOST_STUDIES, most_observations: int = MOST_OBSERVATIONS) -> None:
        self._most, self._most_observations = most, most_observations
        self._kept: OrderedDict[int, History] = OrderedDict()

    def of(self, study: StudyRecord) -> History:
        """The study's history as far as it was read. Raises SpecInvalid when its spec cannot be read by this
        version.
        """
        history = self._kept.get(study.id)
        # More ends were read than are asked for: the database was put back to an earlier state, so nothing kept is
        # true.
        stale = history is not None and history.resumed_at != study.resumed_at
        # And a space that has grown has other places for all points.
        stale |= history is not None and history.spec.learn_space and history.written != study.spec.get("space")
        if history is None or stale or history.ended_no > study.counts.ended:
            spec = parse(study.spec, f"study {study.name}")
            history = History(spec, study.resumed_at, written=study.spec.get("space"))
        self._kept[study.id] = history
        self._kept.move_to_end(study.id)
        while len(self._kept) > 1 and self._is_too_much():
            self._kept.popitem(last=False)
        return history

    def _is_too_much(self) -> bool:
        observations = sum(len(history.observations) for history in self._kept.values())
        return len(self._kept) > self._most or observations > self._most_observations
