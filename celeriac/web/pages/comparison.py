"""Whole studies side by side: how the best of each came about, what it cost, and what differs between the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query

from celeriac.domain.errors import CallerError
from celeriac.domain.records import CLOSED, Counts, StudyRecord, StudyState, TrialRecord
from celeriac.store import WebStore
from celeriac.web.dependencies import StoreDep
from celeriac.web.pages.drawing import page, pages

router = pages()
MOST = 8


@dataclass(frozen=True, slots=True)
class Column:
    """A study. `steps`: each trial that led, as (finished trials, hours since the start, score); `behind`: by how much
    its best is worse than the best of all, None where it has none.
    """

    name: str
    state: StudyState
    metric: str
    sampler: str
    budget: int
    counts: Counts
    best_number: int | None
    best_score: float | None
    default_score: float | None
    behind: float | None
    params: Mapping[str, Any]
    device_hours: float
    hours: float
    steps: tuple[tuple[int, float, float], ...]


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    """Studies of one goal. `parameters`: of any of them, those in which their best differ (`differing`) first. `facts`:
    what stands below the chart.
    """

    now: datetime
    goal: str
    metrics: tuple[str, ...]
    studies: tuple[Column, ...]
    parameters: tuple[str, ...]
    differing: tuple[str, ...]
    facts: tuple[str, ...]

    @property
    def query(self) -> str:
        """What was asked, as its address has it."""
        return urlencode([("study", each.name) for each in self.studies])


@page(router, "/compare", "compare_studies.html")
def compare_studies(
    store: StoreDep, study: Annotated[list[str] | None, Query(max_length=100)] = None
) -> ComparisonPage:
    """The page. Raises UnknownStudy, and CallerError for studies that nobody can compare."""
    names = list(dict.fromkeys(filter(None, study or ())))
    if not 2 <= len(names) <= MOST:
        raise CallerError(
            f"compare: choose 2 to {MOST} studies in the list of studies; {len(names) or 'none'} "
            f"{'is' if len(names) == 1 else 'are'} named"
        )
    return compared(store, [store.study_named(each) for each in names])


def compared(store: WebStore, records: Sequence[StudyRecord]) -> ComparisonPage:
    """These studies side by side. Raises CallerError where their goals differ."""
    goals = {each.goal: each.name for each in records}
    if len(goals) > 1:
        told = "; ".join(f"{name} is to {goal} {_metric(records, name)}" for goal, name in goals.items())
        raise CallerError(f"compare: studies of different goals have no common best: {told}")
    now = store.now()
    bests = [_trial(store, each, each.best_number) for each in records]
    best = _best([each.best_score for each in records if each.best_score is not None], records[0].goal)
    steps = store.best_steps([each.id for each in records])
    columns = tuple(
        _column(
            store,
            each,
            its_best,
            now,
            best,
            [(s.place, s.after_s / 3600, s.score) for s in steps if s.study_id == each.id],
        )
        for each, its_best in zip(records, bests, strict=True)
    )
    names = list(dict.fromkeys(name for each in records for name in each.spec.get("space", {})))
    values = {name: {repr(each.params.get(name)) for each in columns if each.params} for name in names}
    differing = tuple(name for name in names if len(values[name]) > 1)
    return ComparisonPage(
        now=now,
        goal=records[0].goal,
        metrics=tuple(dict.fromkeys(each.metric for each in records)),
        studies=columns,
        parameters=tuple(sorted(names, key=lambda name: name not in differing)),
        differing=differing,
        facts=("A step is a trial that was better than all of its study that had ended before it",),
    )


def _column(
    store: WebStore,
    record: StudyRecord,
    best: TrialRecord | None,
    now: datetime,
    of_all: float | None,
    steps: Sequence[tuple[int, float, float]],
) -> Column:
    default = _trial(store, record, 0 if record.next_number else None)
    over_at = record.ended_at if record.state in CLOSED and record.ended_at else now
    score = record.best_score
    return Column(
        name=record.name,
        state=record.state,
        metric=record.metric,
        sampler=str(record.spec.get("sampler", "auto")),
        budget=record.budget,
        counts=record.counts,
        best_number=record.best_number,
        best_score=score,
        default_score=None if default is None or default.source != "default" else default.score,
        behind=None if score is None or of_all is None else abs(score - of_all),
        params={} if best is None else best.params,
        device_hours=record.device_s / 3600,
        hours=0.0 if record.started_at is None else (over_at - record.started_at).total_seconds() / 3600,
        steps=tuple(steps),
    )


def _metric(records: Sequence[StudyRecord], name: str) -> str:
    return next(each.metric for each in records if each.name == name)


def _best(scores: Sequence[float], goal: str) -> float | None:
    return (max if goal == "maximize" else min)(scores, default=None)


def _trial(store: WebStore, study: StudyRecord, number: int | None) -> TrialRecord | None:
    return None if number is None else store.trial(study.id, number)
