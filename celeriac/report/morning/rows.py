"""Reads what one night of a schedule left: in a few verbs a slice, and nothing that is not in the rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from celeriac.decide.calendar import calendar_of, plan_of
from celeriac.decide.firing import night_name
from celeriac.domain.errors import CallerError
from celeriac.domain.records import Firing, Savings, Schedule, Source, Stage, StudyRecord, TrialRecord, TrialState
from celeriac.report.morning.night import MOST_LOOKS, Morning, SliceRows, morning_of
from celeriac.store import Store

#: Of a schedule's newest firings, at least so many are looked through for a night.
_FIRINGS = 1000
#: A slice's nights before this one: enough to find ten that searched in full.
_EARLIER = 2 * MOST_LOOKS


def nights_of(store: Store, schedule: Schedule) -> dict[str, list[Firing]]:
    """The newest nights of a schedule that have a firing, the newest first: their names, and their firings. Slices meet
    in a night by their local dates; a firing by hand is in a night of its own.
    """
    calendar = calendar_of(schedule)
    nights: dict[str, list[Firing]] = {}
    for firing in store.firings(schedule.name, limit=max(_FIRINGS, 3 * len(schedule.slices))):
        plan = plan_of(calendar, firing.slice)
        nights.setdefault(night_name(plan, firing.due_at, by_hand=firing.by_hand), []).append(firing)
    return nights


def read_morning(store: Store, schedule: str, night: str | None = None) -> Morning | None:
    """The newest night of a schedule, or the one of that name; None before its first.

    Raises UnknownSchedule, and CallerError for a night that the schedule did not have, naming the newest ones.
    """
    row = store.schedule(schedule)
    nights = nights_of(store, row)
    if not nights:
        return None
    name = next(iter(nights)) if night is None else night
    if name not in nights:
        known = ", ".join(list(nights)[:7])
        raise CallerError(f"schedule {schedule} had no night {name!r}; its newest: {known}")
    return _read(store, row, name, nights[name])


def _read(store: Store, row: Schedule, night: str, firings: Sequence[Firing]) -> Morning:
    studies = store.stage_studies([each.id for each in firings])
    deliveries = store.deliveries(row.name, limit=_FIRINGS)
    calendar, rows = calendar_of(row), []
    for each in firings:
        own = [study for study in studies if study.firing_id == each.id]
        search = next((study for study in own if study.stage is Stage.SEARCH), None)
        others = [
            other
            for other in store.firings(row.name, slice_=each.slice, limit=_EARLIER)
            if (other.due_at, other.id) != (each.due_at, each.id)
        ]
        later = [other.fired_at for other in others if other.fired_at > each.fired_at]
        rows.append(
            SliceRows(
                firing=each,
                studies=own,
                faults={str(fault): count for fault, count in store.fault_counts([study.id for study in own]).items()},
                verdicts=store.verdicts(row.name, slice_=each.slice),
                deliveries=[sent for sent in deliveries if sent.promotion and sent.slice == each.slice],
                earlier=[other for other in others if other.due_at < each.due_at],
                deadline_at=plan_of(calendar, each.slice).deadline_at(each.due_at),
                next_fired_at=min(later, default=None),
                spared=Savings() if search is None else store.savings(search.id),
                runs=_runs(store, own),
            )
        )
    return morning_of(
        row.name,
        night,
        rows,
        store.now(),
        metric=str(row.spec["metric"]["name"]),
        goal=str(row.spec["metric"]["goal"]),
        to_come=_to_come(store, row, night),
        deliveries=deliveries,
    )


def _runs(store: Store, studies: Sequence[StudyRecord]) -> list[TrialRecord]:
    """Trial 0 of the look, and of the search where it is the default: those that were scored, the look's last."""
    first = {each.stage: store.trials(each.id, limit=1) for each in studies if each.stage is not Stage.CONFIRM}
    found = [trial for stage in (Stage.SEARCH, Stage.LOOK) for trial in first.get(stage, ())]
    return [
        each for each in found if each.state is TrialState.SCORED and each.source in (Source.DEFAULT, Source.CHAMPION)
    ]


def last_mornings(store: Store, schedule: str, count: int, *, after: str | None = None) -> Iterator[Morning]:
    """The newest nights of a schedule, at most so many, the oldest first; of these only those `after` one of them. Each
    is read when it is asked for. Raises UnknownSchedule.
    """
    row = store.schedule(schedule)
    nights = nights_of(store, row)
    names = list(nights)[:count]
    for name in reversed(names[: names.index(after)] if after is not None and after in names else names):
        yield _read(store, row, name, nights[name])


def _to_come(store: Store, row: Schedule, night: str) -> list[tuple[Mapping[str, Any], Any]]:
    """Slices whose next due time is in this night."""
    if row.paused:
        return []
    calendar = calendar_of(row)
    return [
        (each.slice, each.next_due_at)
        for each in store.slice_dues(row.name)
        if night_name(plan_of(calendar, each.slice), each.next_due_at) == night
    ]
