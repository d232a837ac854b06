"""The store's reading verbs over the API: as many as the code asks for that works on rows wherever they are.

Rule: each is the verb of that name in `celeriac.store.Store`, with its arguments and its answer (a test compares them).
A verb that is not here is named in the error, with what to do.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NoReturn

from celeriac.client.remote.decoding import attempt_from, record_from, study_from
from celeriac.client.remote.wire import Wire
from celeriac.domain.errors import CallerError, UnknownStudy
from celeriac.domain.records import (
    Attempt,
    Champion,
    CodeRun,
    Delivery,
    Device,
    Firing,
    FiringState,
    PutAside,
    Replay,
    Report,
    Savings,
    Schedule,
    ScheduleEdit,
    SliceDue,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)
from celeriac.domain.study_file import slice_name

#: So many are named in one request, and asked for in one page.
_NAMED, _PAGE, _FIRINGS = 200, 500, 200


class RemoteRows:
    """Rows, asked for anew at each call. Studies are known to the API by their names, and here by those of the rows
    that were read.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._names: dict[int, str] = {}

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise CallerError(
            f"`{name}` of the store cannot be asked over the API ({self._wire.url}): it needs the database. Do it on"
            " the service's host, or unset CELERIAC_URL and set CELERIAC_DATABASE_URL and CELERIAC_BROKER_URL"
        )

    def now(self) -> datetime:
        """The database's time."""
        return datetime.fromisoformat(self._wire.get("me")["now"])

    def check_schema(self) -> None:
        """Nothing, when the service answers to this token: its schema is its own matter."""
        self._wire.get("me")

    def close(self) -> None:
        """Nothing is held between two requests."""

    # -- studies ----------------------------------------------------------------------------------------------------
    def study(self, study_id: int) -> StudyRecord:
        """Raises UnknownStudy."""
        return self.study_named(self._named(study_id))

    def study_named(self, name: str) -> StudyRecord:
        """Raises UnknownStudy."""
        return self._seen(study_from(self._wire.get("studies", name)))

    def studies(
        self,
        *,
        states: Sequence[StudyState] | None = None,
        schedule: str | None = None,
        named: str | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[StudyRecord]:
        """Newest first."""
        _from_the_newest(before_id)
        wanted = {"state": _words(states), "schedule": schedule, "q": named, "spec": True}
        forms = self._wire.items("studies", limit=min(limit, _PAGE), **wanted)
        return [self._seen(study_from(each)) for each in islice(forms, limit)]

    def savings(self, study_id: int) -> Savings:
        """What early stopping has spared."""
        return record_from(Savings, self._of(study_id, "progress")["saved"])

    def codes(self, study_id: int) -> list[CodeRun]:
        """Which code its ended trials ran."""
        return [record_from(CodeRun, each) for each in self._of(study_id, "progress")["codes"]]

    # -- trials -----------------------------------------------------------------------------------------------------
    def trial(self, study_id: int, number: int) -> TrialRecord:
        """Raises UnknownTrial."""
        return record_from(TrialRecord, self._of(study_id, "trials", number))

    def trials(
        self, study_id: int, *, states: Sequence[TrialState] | None = None, after: int = -1, limit: int = 100
    ) -> list[TrialRecord]:
        """By number, from the one after `after`."""
        forms = self._items(study_id, "trials", state=_words(states), after=after, limit=limit)
        return [record_from(TrialRecord, each) for each in islice(forms, limit)]

    def ended_since(self, study_id: int, ended_no: int, limit: int = 1000) -> list[TrialRecord]:
        """In the order of their ends, from the one after this."""
        forms = self._items(study_id, "ended", after=ended_no, limit=limit)
        return [record_from(TrialRecord, each) for each in islice(forms, limit)]

    def attempts(self, study_id: int, number: int) -> list[Attempt]:
        """The attempts of a trial, first to last. Their leases' tokens stay with the service."""
        return self.attempts_of(study_id, [number])[number]

    def attempts_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Attempt]]:
        """The attempts of each of these trials: one request for all, where there are not very many."""
        found: dict[int, list[Attempt]] = {number: [] for number in numbers}
        for some in _chunks(list(found), _NAMED):
            for each in self._items(study_id, "attempts", trial=some):
                found[each["trial"]].append(attempt_from(each))
        return found

    def log_tail(self, study_id: int, number: int, attempt: int) -> str:
        """Raises UnknownTrial."""
        return str(self._of(study_id, "trials", number, "attempts", attempt, "log")["log"])

    def reports(self, study_id: int, number: int, *, attempt: int | None = None) -> list[Report]:
        """What a trial reported, by step."""
        if attempt is not None:
            raise CallerError("over the API a trial's reports are read of all its attempts together")
        return self.reports_of(study_id, [number])[number]

    def reports_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Report]]:
        """What each of these trials reported, by step, without checkpoints."""
        found: dict[int, list[Report]] = {number: [] for number in numbers}
        for some in _chunks(list(found), _NAMED):
            for each in self._items(study_id, "reports", trial=some):
                found[each["trial"]].append(record_from(Report, each))
        return found

    # -- schedules --------------------------------------------------------------------------------------------------
    def schedule(self, name: str) -> Schedule:
        """Raises UnknownSchedule."""
        return record_from(Schedule, self._wire.get("schedules", name)["schedule"])

    def schedules(self) -> list[Schedule]:
        """By name."""
        return [record_from(Schedule, each) for each in self._wire.get("schedules")]

    def slice_dues(self, schedule: str) -> list[SliceDue]:
        """When each slice is due next."""
        return [record_from(SliceDue, each) for each in self._wire.get("schedules", schedule)["dues"]]

    def schedule_edits(self, schedule: str, *, limit: int = 50) -> list[ScheduleEdit]:
        """Newest first."""
        forms = self._wire.get("schedules", schedule, "history")
        return [record_from(ScheduleEdit, each) for each in forms[:limit]]

    def firings(
        self,
        schedule: str,
        *,
        slice_: Mapping[str, Any] | None = None,
        states: Sequence[FiringState] | None = None,
        before: tuple[datetime, int] | None = None,
        limit: int = 50,
    ) -> list[Firing]:
        """The latest due first."""
        _from_the_newest(before)
        named = None if slice_ is None else slice_name(slice_)
        wanted = {"slice": named, "state": _words(states)}
        forms = self._wire.items("schedules", schedule, "firings", limit=min(limit, _PAGE), **wanted)
        return [record_from(Firing, each) for each in islice(forms, limit)]

    def firing(self, firing_id: int) -> Firing:
        """One firing."""
        return record_from(Firing, self._wire.get("firings", firing_id)["firing"])

    def firings_by_id(self, ids: Sequence[int]) -> list[Firing]:
        """These firings as they are now: one request for all, where there are not very many."""
        chunks = _chunks(list(ids), _FIRINGS)
        forms = (each for some in chunks for each in self._wire.get("firings", firing=some)["firings"])
        return [record_from(Firing, each) for each in forms]

    def stage_studies(self, firing_ids: Sequence[int]) -> list[StudyRecord]:
        """The studies of these firings' stages."""
        chunks = _chunks(list(firing_ids), _FIRINGS)
        forms = (each for some in chunks for each in self._wire.get("firings", firing=some)["studies"])
        return [self._seen(study_from(each)) for each in forms]

    def replays(self, schedule: str, *, limit: int = 10) -> list[Replay]:
        """Past nights that were asked for, newest first."""
        forms = self._wire.get("schedules", schedule, "replays", limit=limit)
        return [record_from(Replay, each) for each in forms]

    def champions(self, schedule: str | None = None) -> list[Champion]:
        """The champion of each slice."""
        return [record_from(Champion, each) for each in self._wire.items("champions", schedule=schedule)]

    def verdicts(
        self, schedule: str, *, slice_: Mapping[str, Any] | None = None, before_id: int | None = None, limit: int = 200
    ) -> list[Champion]:
        """Newest first."""
        _from_the_newest(before_id)
        named = None if slice_ is None else slice_name(slice_)
        forms = self._wire.items("schedules", schedule, "verdicts", limit=min(limit, _PAGE), slice=named)
        return [record_from(Champion, each) for each in islice(forms, limit)]

    def deliveries(self, schedule: str, *, limit: int = 50) -> list[Delivery]:
        """Newest first."""
        forms = self._wire.get("schedules", schedule, "deliveries", limit=min(limit, _PAGE))
        return [record_from(Delivery, each) for each in forms]

    # -- the fleet --------------------------------------------------------------------------------------------------
    def devices(self, *, alive: bool = False) -> list[Device]:
        """All devices, or those whose nodes spoke lately."""
        return [record_from(Device, each) for each in self._wire.get("devices") if each["alive"] or not alive]

    def put_asides(self) -> list[PutAside]:
        """Slots that take no trials now."""
        return [record_from(PutAside, each) for each in self._wire.get("fleet")["put_aside"]]

    def knowing(self, record: StudyRecord) -> "RemoteRows":
        """The same, which can ask for what belongs to this study."""
        self._seen(record)
        return self

    def _seen(self, record: StudyRecord) -> StudyRecord:
        self._names[record.id] = record.name
        return record

    def _named(self, study_id: int) -> str:
        try:
            return self._names[study_id]
        except KeyError:
            raise UnknownStudy(f"there is no study {study_id}") from None

    def _of(self, study_id: int, *path: object, **given: Any) -> Any:
        return self._wire.get("studies", self._named(study_id), *path, **given)

    def _items(self, study_id: int, *path: object, limit: int = _PAGE, **given: Any) -> Iterator[Any]:
        return self._wire.items("studies", self._named(study_id), *path, limit=min(limit, _PAGE), **given)


def _from_the_newest(before: object) -> None:
    if before is not None:
        raise CallerError("over the API lists are read from the newest on: ask for as many as are needed")


def _words(states: Sequence[TrialState] | Sequence[StudyState] | Sequence[FiringState] | None) -> list[str] | None:
    return None if states is None else [str(each) for each in states]


def _chunks(numbers: list[int], size: int) -> Iterator[list[int]]:
    return (numbers[at : at + size] for at in range(0, len(numbers), size))
