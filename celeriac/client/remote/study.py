"""A study over the API."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from celeriac.client.lineage import Part
from celeriac.client.progress import Progress, newest_failure
from celeriac.client.proposing import Proposer
from celeriac.client.remote.decoding import record_from, study_from
from celeriac.client.remote.wire import Wire
from celeriac.client.study import row_of, waited
from celeriac.client.waiting import PlaceWait, TimeLimits
from celeriac.decide.device_budget import DeviceBudget
from celeriac.decide.waiting import WaitDecision
from celeriac.domain.errors import CallerError
from celeriac.domain.records import (
    Attempt,
    CodeRun,
    Device,
    GangPlace,
    Savings,
    StudyRecord,
    StudyState,
    TrialRecord,
    TrialState,
)

#: So many are asked for with their attempts at once.
_MANY = 500


class RemoteStudy:
    """One study of the service, asked anew at each look. What `Study` promises holds here, but for what needs its rows
    or files: `plot`, `importance`, `delete`.
    """

    def __init__(self, wire: Wire, name: str) -> None:
        self._wire, self.name = wire, name
        self.took_code = False

    def __repr__(self) -> str:
        return f"RemoteStudy({self.name!r}, {self._wire.url!r})"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise CallerError(
            f"a study over the API has no `{name}`: where it is needed, ask the database (CELERIAC_DATABASE_URL), or"
            f" look at {self._wire.url}"
        )

    def _get(self, *path: object, **given: Any) -> Any:
        return self._wire.get("studies", self.name, *path, **given)

    def _post(self, *path: object, **body: Any) -> Any:
        return self._wire.post("studies", self.name, *path, **body)

    @property
    def record(self) -> StudyRecord:
        """The study's row as it is now."""
        return study_from(self._get())

    @property
    def id(self) -> int:
        """Its row's id."""
        return self.record.id

    @property
    def state(self) -> StudyState:
        """OPEN, RUNNING, PAUSED, DONE, STOPPED or FAILED."""
        return self.record.state

    @property
    def reason(self) -> str:
        """Why it is in its state."""
        return self.record.reason

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far; None before the first score."""
        number = self.record.best_number
        return None if number is None else self.trial(number)

    def progress(self) -> Progress:
        """How far it is."""
        form = self._get("progress")
        return Progress(
            study_from(form),
            tuple(record_from(TrialRecord, each) for each in form["running"]),
            tuple(record_from(Device, each) for each in form["devices"]),
            datetime.fromisoformat(form["now"]),
            tuple(record_from(GangPlace, each) for each in form["gangs"]),
        )

    def trial(self, number: int) -> TrialRecord:
        """One trial. Raises UnknownTrial."""
        return record_from(TrialRecord, self._get("trials", number))

    def trials(self) -> Any:
        """All trials by number: a pandas DataFrame where pandas is installed, else a list of dicts."""
        import importlib.util

        rows = [row_of(trial) for trial in self.each_trial()]
        if importlib.util.find_spec("pandas") is None:
            return rows
        import pandas as pd

        return pd.DataFrame(rows)

    def each_trial(self, states: Sequence[TrialState] | None = None) -> Iterator[TrialRecord]:
        """All trials, or those in some states, by number; read page by page."""
        for each in self._wire.items("studies", self.name, "trials", state=_words(states)):
            yield record_from(TrialRecord, each)

    def newest_trials(self, most: int, states: Sequence[TrialState] | None = None) -> list[TrialRecord]:
        """The newest so many trials, or those in some states, by number."""
        path, found = ("studies", self.name, "trials"), list[TrialRecord]()
        for each in self._wire.items(*path, limit=min(most, _MANY), order="-number", state=_words(states)):
            if len(found) == most:
                break
            found.append(record_from(TrialRecord, each))
        return found[::-1]

    def attempts_of(self, numbers: Sequence[int]) -> dict[int, list[Attempt]]:
        """The attempts of each of these trials, first to last. Their leases' tokens stay with the service."""
        return {each: [_attempt(run) for run in self._get("trials", each, "attempts")] for each in numbers}

    def log_tail(self, number: int, attempt: int) -> str:
        """What an attempt printed last. Raises UnknownTrial."""
        return str(self._get("trials", number, "attempts", attempt, "log")["log"])

    def logs(self, number: int) -> str:
        """What the newest attempt of a trial printed last; "" before its first attempt. Raises UnknownTrial."""
        attempts = self.attempts_of([number])[number]
        return self.log_tail(number, attempts[-1].number) if attempts else ""

    def pending_then(self, trial: TrialRecord) -> list[int]:
        """The numbers of the trials that were pending when this one was suggested."""
        return list(self._get("trials", trial.number, "why")["pending"])

    def last_failure(self) -> TrialRecord | None:
        """The newest failure among the newest failed trials."""
        return newest_failure(self.newest_trials(20, [TrialState.FAILED]))

    def lineage(self, number: int | None = None) -> list[Part]:
        """With which parameters each part of a trial's training, or the best one's, was trained."""
        wanted = self.record.best_number if number is None else number
        forms = [] if wanted is None else self._get("trials", wanted, "lineage")
        return [record_from(Part, each) for each in forms]

    def savings(self) -> Savings:
        """What early stopping has spared."""
        return record_from(Savings, self._get("progress")["saved"])

    def codes(self) -> list[CodeRun]:
        """Which code its ended trials ran."""
        return [record_from(CodeRun, each) for each in self._get("progress")["codes"]]

    def gang_places(self, trials: Sequence[TrialRecord]) -> list[GangPlace]:
        """Where the members of these trials' gangs are."""
        numbers = {each.number for each in trials}
        return [each for each in self.progress().gangs if each.trial in numbers] if numbers else []

    def waiting(self) -> tuple[WaitDecision, TimeLimits, PlaceWait | None]:
        """What it waits for, what its time is limited by, and what its next trial's place lacks."""
        form = self._get("waiting")
        budgets = tuple(DeviceBudget(**each, runs=0) for each in form["device_budgets"])
        late = form["deadline_at"] and datetime.fromisoformat(form["deadline_at"])
        lacks = form["placement"]
        place = None
        if lacks is not None:
            devices = tuple((each["host"], each["device"], each["lacks"]) for each in lacks["devices"])
            place = PlaceWait(lacks["reason"], devices)
        return record_from(WaitDecision, form), TimeLimits(budgets, late, form["announced"]), place

    def proposers(self) -> list[Proposer]:
        """Who has proposed points to it, how those went, and how many more it takes now."""
        return [record_from(Proposer, each) for each in self._get("waiting")["proposers"]]

    def aside(self, slots: Sequence[str]) -> list[tuple[str, str]]:
        """Those of these slots that take no trial of it now, with the reason."""
        own = (0, self.id)
        rows = self._wire.get("fleet")["put_aside"]
        return [
            (each["worker"], each["reason"]) for each in rows if each["worker"] in slots and each["study_id"] in own
        ]

    def wait(self, timeout: float | None = None, *, look: Callable[[], object] = lambda: None) -> "RemoteStudy":
        """Return once the study is closed; see `Study.wait`."""
        waited(self.name, lambda: self.record, timeout, look)
        return self

    def stop(self, reason: str = "") -> StudyRecord:
        """Close it now. Raises IllegalTransition."""
        return study_from(self._post("stop", reason=reason))

    def pause(self, reason: str = "", *, hand_back: bool = False) -> StudyRecord:
        """Start no more trials. Raises IllegalTransition."""
        return study_from(self._post("pause", reason=reason, hand_back=hand_back))

    def resume(self, reason: str = "") -> StudyRecord:
        """Go on after a pause. Raises IllegalTransition."""
        return self._goes_on(self._post("resume", reason=reason))

    def reopen(self, reason: str = "") -> StudyRecord:
        """Go on after its end. Raises IllegalTransition."""
        return self._goes_on(self._post("reopen", reason=reason))

    def extend(
        self,
        trials: int | str | None = None,
        *,
        wall: str | float | None = None,
        device_hours: str | float | None = None,
        reason: str = "",
    ) -> StudyRecord:
        """Give it a larger budget. Raises SpecInvalid, IllegalTransition."""
        body = {"trials": trials, "wall": wall, "device_hours": device_hours, "reason": reason}
        return self._goes_on(self._post("extend", **body))

    def cancel(self, number: int, reason: str = "") -> TrialRecord:
        """End one trial CANCELLED. Raises UnknownTrial, IllegalTransition."""
        return record_from(TrialRecord, self._post("trials", number, "cancel", reason=reason))

    def retry(self, numbers: Sequence[int] | None = None, reason: str = "") -> list[TrialRecord]:
        """Run FAILED trials once more. Raises UnknownTrial, IllegalTransition."""
        form = self._post("retry", trials=None if numbers is None else list(numbers), reason=reason)
        self.took_code = form["took_code"]
        return [record_from(TrialRecord, each) for each in form["trials"]]

    def add_points(self, points: Sequence[Mapping[str, Any]], *, reason: str = "", by: str = "") -> list[TrialRecord]:
        """Have points from outside tried; who proposes them is the token's name. Raises SpaceInvalid, CallerError."""
        if by:
            raise CallerError("over the API the token's name says who proposes: leave `by` out")
        form = self._post("points", points=[dict(each) for each in points], reason=reason)
        return [record_from(TrialRecord, each) for each in form["trials"]]

    def _goes_on(self, form: Mapping[str, Any]) -> StudyRecord:
        self.took_code = bool(form["took_code"])
        return study_from(form)


def _words(states: Sequence[TrialState] | None) -> list[str] | None:
    return None if states is None else [str(each) for each in states]


def _attempt(form: Mapping[str, Any]) -> Attempt:
    return record_from(Attempt, {**form, "token": ""})
