"""What the board's pages read. Rule: one statement a verb, and rows no wider than what is shown of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from celeriac.domain.records import Counts, RungRecord, StudyState, TrialRecord, TrialState
from celeriac.store.api_board import (
    BestStep,
    Condition,
    Drain,
    NightCell,
    RungLine,
    RunLine,
    RunNow,
    SlotFaults,
    StudyFilter,
    StudyLine,
    TrialLine,
    TrialOrder,
    TrialPage,
    VerdictLine,
)
from celeriac.store.connection import Row
from celeriac.store.postgres.records import record_of
from celeriac.store.postgres.statements import COUNTERS
from celeriac.store.postgres.verbs import Verbs


class Board(Verbs):
    """Verbs that read for pages."""

    def study_lines(self, wanted: StudyFilter, limit: int = 50) -> list[StudyLine]:
        states = [str(each) for each in wanted.states] or None
        asked = {name: getattr(wanted, name) for name in ("search", "schedule", "before_id", "goal", "metric")}
        return [_study_line(row) for row in self._rows("study_lines", states=states, limit=limit, **asked)]

    def study_states(self) -> dict[StudyState, int]:
        return {StudyState(row["state"]): row["studies"] for row in self._rows("study_states")}

    def trial_lines(self, study_id: int, order: TrialOrder, conditions: Sequence[Condition] = ()) -> TrialPage:
        where: dict[str, Any] = {"sort": order.by, "down": order.down, "skip": order.skip, "limit": order.limit}
        rows = self._rows("trial_lines", study=study_id, conditions=tuple(map(asdict, conditions)), **where)
        lines = [record_of(TrialLine, {name: row[name] for name in row if name != "of"}) for row in rows]
        return TrialPage(tuple(lines), rows[0]["of"] if rows else 0)

    def best_steps(self, study_ids: Sequence[int]) -> list[BestStep]:
        return self._all(BestStep, "best_steps", studies=list(study_ids))

    def drawn_trials(self, study_id: int, limit: int = 600) -> list[TrialRecord]:
        return self._all(TrialRecord, "drawn_trials", study=study_id, limit=limit)

    def drawn_curves(self, study_id: int, limit: int = 60) -> dict[int, TrialState]:
        rows = self._rows("drawn_curves", study=study_id, limit=limit)
        return {row["number"]: TrialState(row["state"]) for row in rows}

    def thinned_reports(self, study_id: int, numbers: Sequence[int], most: int) -> dict[int, list[tuple[int, float]]]:
        found: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
        for row in self._rows("thinned_reports", study=study_id, numbers=list(numbers), most=most):
            found[row["trial"]].append((row["step"], row["value"]))
        return dict(found)

    def rung_lines(self, study_id: int) -> list[RungLine]:
        return [
            RungLine(record_of(RungRecord, {name: row[name] for name in row if name != "stopped"}), row["stopped"])
            for row in self._rows("rung_lines", study=study_id)
        ]

    def newest_runs(self, study_id: int, limit: int = 400) -> list[RunLine]:
        return self._all(RunLine, "newest_runs", study=study_id, limit=limit)

    def runs_now(self, study_id: int | None = None, limit: int = 500) -> list[RunNow]:
        return self._all(RunNow, "runs_now", study=study_id, limit=limit)

    def drains(self) -> list[Drain]:
        return self._all(Drain, "drains")

    def faults_on_slots(self, since: datetime) -> list[SlotFaults]:
        return self._all(SlotFaults, "faults_on_slots", since=since)

    def night_cells(self, schedule: str, since: datetime, limit: int = 2000) -> list[NightCell]:
        return self._all(NightCell, "night_cells", schedule=schedule, since=since, limit=limit)

    def nights_version(self, schedule: str) -> str:
        return str(self._rows("nights_version", schedule=schedule)[0]["version"])

    def champion_lines(self, schedule: str | None = None) -> list[VerdictLine]:
        return self._all(VerdictLine, "champion_lines", schedule=schedule)

    def unanswered(self) -> list[VerdictLine]:
        return self._all(VerdictLine, "unanswered")


def _study_line(row: Row) -> StudyLine:
    return record_of(StudyLine, {**_without(row, COUNTERS), "counts": Counts(**{name: row[name] for name in COUNTERS})})


def _without(row: Row, names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}
