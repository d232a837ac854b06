"""A study over the API: what `Study` reads comes by `RemoteRows`, and what it does by the API's own verbs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, cast

from celeriac.client.dropped import Doomed, Dropped
from celeriac.client.lineage import Part
from celeriac.client.progress import Progress
from celeriac.client.proposing import Proposer
from celeriac.client.remote.decoding import record_from, study_from
from celeriac.client.remote.rows import RemoteRows
from celeriac.client.remote.wire import Wire
from celeriac.client.study import Study
from celeriac.client.waiting import PlaceWait, TimeLimits
from celeriac.decide.advise import AdviceDecision
from celeriac.decide.device_budget import DeviceBudget
from celeriac.decide.stop_early import cutoff_of
from celeriac.decide.waiting import WaitDecision
from celeriac.domain.errors import CallerError
from celeriac.domain.records import Device, GangPlace, RungRecord, StudyRecord, TrialRecord, TrialState
from celeriac.domain.study_file import stop_rule
from celeriac.report.explain.importance import Importances, Method
from celeriac.runtime.settings import Settings
from celeriac.store import Store

#: So many trials, and curves of so many points, are asked for at once.
_MANY, _CURVES, _POINTS = 500, 30, 200


class RemoteStudy(Study):
    """One study of the service, asked anew at each look. What `Study` promises holds here; what is made of its rows (a
    plot, an export) is made on this machine.
    """

    def __init__(self, wire: Wire, rows: RemoteRows, record: StudyRecord, settings: Settings) -> None:
        self._wire = wire
        super().__init__(cast(Store, rows), record, lambda _: "", settings)

    def __repr__(self) -> str:
        return f"RemoteStudy({self.name!r}, {self._wire.url!r})"

    def _get(self, *path: object, **given: Any) -> Any:
        return self._wire.get("studies", self.name, *path, **given)

    def _post(self, *path: object, **body: Any) -> Any:
        return self._wire.post("studies", self.name, *path, **body)

    def progress(self) -> Progress:
        """How far it is."""
        return progress_from(self._get("progress"))

    def newest_trials(self, most: int, states: Sequence[TrialState] | None = None) -> list[TrialRecord]:
        """The newest so many trials, or those in some states, by number."""
        words = None if states is None else [str(each) for each in states]
        path, found = ("studies", self.name, "trials"), list[TrialRecord]()
        for each in self._wire.items(*path, limit=min(most, _MANY), order="-number", state=words):
            found.append(record_from(TrialRecord, each))
            if len(found) == most:
                break
        return found[::-1]

    def best_trials(self, most: int) -> list[TrialRecord]:
        """The best so many scored trials, the best first: sorted by the service."""
        wanted = {"order": "score", "state": str(TrialState.SCORED)}
        forms = self._wire.items("studies", self.name, "trials", limit=min(most, _MANY), **wanted)
        return [record_from(TrialRecord, each) for each in islice(forms, most)]

    def each_rung_record(self) -> Iterator[RungRecord]:
        """What each trial had at each rung, by bracket, rung and place; see `Study.each_rung_record`."""
        rule = stop_rule(self.record.spec)
        for each in self._wire.items("studies", self.name, "rungs"):
            found = record_from(RungRecord, each)
            yield replace(found, cutoff=cutoff_of(rule, found))

    def pending_then(self, trial: TrialRecord) -> list[int]:
        """The numbers of the trials that were pending when this one was suggested."""
        return list(self._get("trials", trial.number, "why")["pending"])

    def lineage(self, number: int | None = None) -> list[Part]:
        """With which parameters each part of a trial's training, or the best one's, was trained."""
        wanted = self.record.best_number if number is None else number
        forms = [] if wanted is None else self._get("trials", wanted, "lineage")
        return [record_from(Part, each) for each in forms]

    def best_model(self, path: str | Path) -> Path:
        """Copy the best trial's model, where the study keeps it, to a file; returns its path."""
        self._wire.file(Path(path), "studies", self.name, "model")
        return Path(path)

    def importance(self, method: Method = "ped-anova") -> Importances:
        """Which parameters mattered: judged by the service, so that Optuna is not needed here."""
        return record_from(Importances, self._get("importance", method=method))

    def _curves(self, numbers: Sequence[int]) -> dict[int, list[tuple[int, float]]]:
        """What these trials reported, thinned by the service to what a picture can show."""
        found: dict[int, list[tuple[int, float]]] = {}
        for at in range(0, len(numbers), _CURVES):
            forms = self._get("curves", trial=numbers[at : at + _CURVES], points=_POINTS)
            found |= {int(n): list(zip(each["step"], each["value"], strict=True)) for n, each in forms.items()}
        return found

    def gang_places(self, trials: Sequence[TrialRecord]) -> list[GangPlace]:
        """Where the members of these trials' gangs are."""
        numbers = {each.number for each in trials if each.state in (TrialState.RUNNING, TrialState.QUEUED)}
        is_gang = bool(numbers) and self.record.resources.is_gang
        return [each for each in self.progress().gangs if each.trial in numbers] if is_gang else []

    def waiting(self) -> tuple[WaitDecision, TimeLimits, PlaceWait | None]:
        """What it waits for, what its time is limited by, and what its next trial's place lacks."""
        form = self._get("waiting")
        budgets = tuple(DeviceBudget(**each, holds=0) for each in form["device_budgets"])
        late = form["deadline_at"] and datetime.fromisoformat(form["deadline_at"])
        lacks = form["placement"]
        place = None
        if lacks is not None:
            devices = tuple((each["host"], each["device"], each["lacks"]) for each in lacks["devices"])
            barred = tuple((each["number"], each["reason"]) for each in lacks.get("barred", ()))
            place = PlaceWait(lacks["reason"], devices, barred)
        return record_from(WaitDecision, form), TimeLimits(budgets, late, form["announced"]), place

    def proposers(self) -> list[Proposer]:
        """Who has proposed points to it, how those went, and how many more it takes now."""
        return [record_from(Proposer, each) for each in self._get("waiting")["proposers"]]

    def advice(self) -> AdviceDecision:
        """Which share of a GPU its trials should have, and how many then run at once."""
        return record_from(AdviceDecision, self._get("advice"))

    def stop(self, reason: str = "") -> StudyRecord:
        """Close it now. Raises IllegalTransition."""
        return study_from(self._post("stop", reason=reason))

    def pause(self, reason: str = "", *, hand_back: bool = False) -> StudyRecord:
        """Start no more trials. Raises IllegalTransition."""
        return study_from(self._post("pause", reason=reason, hand_back=hand_back))

    def resume(self, reason: str = "") -> StudyRecord:
        """Go on after a pause. Raises IllegalTransition."""
        return self._went_on(self._post("resume", reason=reason))

    def reopen(self, reason: str = "") -> StudyRecord:
        """Go on after its end. Raises IllegalTransition."""
        return self._went_on(self._post("reopen", reason=reason))

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
        return self._went_on(self._post("extend", **body))

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

    def doomed(self) -> Doomed:
        """What `delete` would delete, on the service's host. Raises IllegalTransition as it does."""
        return record_from(Doomed, self._post("delete", dry_run=True))

    def delete(self) -> Dropped:
        """Delete it, and its files on the service's host. Raises IllegalTransition."""
        return record_from(Dropped, self._post("delete"))

    def _went_on(self, form: Mapping[str, Any]) -> StudyRecord:
        self.took_code = bool(form["took_code"])
        return study_from(form)


def progress_from(form: Mapping[str, Any]) -> Progress:
    """How far a study is, as the API says it."""
    return Progress(
        study_from(form),
        tuple(record_from(TrialRecord, each) for each in form["running"]),
        tuple(record_from(Device, each) for each in form["devices"]),
        datetime.fromisoformat(form["now"]),
        tuple(record_from(GangPlace, each) for each in form["gangs"]),
        form.get("no_place", ""),
    )
