"""The service over the API."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NoReturn, cast

from celeriac.client.busy import SlotTrial
from celeriac.client.fleet import Fleet
from celeriac.client.progress import Progress
from celeriac.client.remote.decoding import record_from, study_from
from celeriac.client.remote.logins import token_for
from celeriac.client.remote.rows import RemoteRows
from celeriac.client.remote.study import RemoteStudy, progress_from
from celeriac.client.remote.wire import Wire
from celeriac.client.service import NextFirings, SpecLike, Standing, Submission, is_schedule, read_spec
from celeriac.client.study import Study
from celeriac.decide.calendar import coming
from celeriac.domain.errors import CallerError, SpecInvalid
from celeriac.domain.records import (
    Champion,
    Delivery,
    Device,
    Firing,
    PutAside,
    Replay,
    Schedule,
    ScheduleEdit,
    SliceDue,
    StudyRecord,
)
from celeriac.domain.study_file import slice_name
from celeriac.report.busy import Busy, Idle
from celeriac.report.morning import Morning
from celeriac.runtime.settings import Settings
from celeriac.store import Store


class RemoteClient:
    """The door for Python where there is an address and a token: `CELERIAC_URL`, and `CELERIAC_TOKEN` or what
    `celeriac login` kept. Raises SettingInvalid for no address, TokenInvalid where no token is known.
    """

    serves = True

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_env(running_stack=False)
        self._wire = Wire(self.settings.url, token_for(self.settings))
        self._rows = RemoteRows(self._wire)

    def __enter__(self) -> "RemoteClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        raise CallerError(
            f"a client over the API has no `{name}`: where it is needed, unset CELERIAC_URL and ask the database"
            " (CELERIAC_DATABASE_URL)"
        )

    def close(self) -> None:
        """Nothing is held between two requests."""

    @property
    def store(self) -> Store:
        """The rows, to be read; a verb that cannot be asked over the API says so by name."""
        return cast(Store, self._rows)

    @property
    def who(self) -> str:
        """Whom what it does is put down to: the token's name."""
        return self.me()[0]

    def me(self) -> tuple[str, list[str]]:
        """The token's name, and what it may do."""
        form = self._wire.get("me")
        return str(form["name"]), list(form["scopes"])

    # -- studies ----------------------------------------------------------------------------------------------------
    def submit(self, spec: SpecLike, *, name: str | None = None) -> Study:
        """Open a study, or attach to the one of the same name and spec; notes come as warnings."""
        made = self.open(spec, name=name)
        for note in made.notes:
            warnings.warn(note, stacklevel=2)
        return made.study

    def open(self, spec: SpecLike, *, name: str | None = None) -> Submission:
        """As `submit`, but the notes and whether it attached are in the answer."""
        sent = self._sent(spec, name)
        with _telling_of_code():
            form = self._wire.post("studies", spec=sent)
        study = self.study_of(study_from(form["study"]))
        return Submission(study, bool(form["attached"]), tuple(form["notes"]))

    def preview(self, spec: SpecLike, *, name: str | None = None, first: int) -> dict[str, Any]:
        """What a study would cost and try first; nothing is opened. See `celeriac.client.preview`."""
        sent = self._sent(spec, name)
        with _telling_of_code():
            form = self._wire.post("studies", spec=sent, dry_run=True, points=first)
        return {key: value for key, value in form.items() if key not in ("spec", "dry_run")}

    def study(self, name: str) -> RemoteStudy:
        """The study of that name. Raises UnknownStudy."""
        return self.study_of(self._rows.study_named(name))

    def study_of(self, record: StudyRecord) -> RemoteStudy:
        """The study of that row."""
        return RemoteStudy(self._wire, self._rows.knowing(record), record, self.settings)

    def studies(self, limit: int = 50) -> list[RemoteStudy]:
        """The newest studies, newest first."""
        return [self.study_of(each) for each in self.records(limit)]

    def records(self, limit: int) -> list[StudyRecord]:
        """The newest studies' rows, newest first."""
        return self._rows.studies(limit=limit)

    def progress(self, study: Study) -> Progress:
        """How far a study is."""
        return progress_from(self._wire.get("studies", study.name, "progress"))

    # -- the fleet --------------------------------------------------------------------------------------------------
    def devices(self) -> list[Device]:
        """The devices whose nodes spoke lately."""
        return self._rows.devices(alive=True)

    def fleet(self) -> Fleet:
        """All devices with what they run."""
        forms, whole = self._wire.get("devices"), self._wire.get("fleet")
        aside = [record_from(PutAside, each) for each in whole["put_aside"]]
        busy = {slot: _busy(each) for form in forms for slot, each in form["busy"].items()}
        runs = {
            slot: [SlotTrial(each["study"], each["trial"], each["attempt"]) for each in running]
            for form in forms
            for slot, running in form["running"].items()
        }
        names = {int(number): name for number, name in whole["names"].items()}
        devices = [record_from(Device, each) for each in forms]
        return Fleet(devices, runs, aside, busy, names, datetime.fromisoformat(whole["now"]))

    def drain(self, host: str, devices: Sequence[str]) -> list[str]:
        """Take devices out; the hosts that are known."""
        form = self._wire.post("fleet", "drain", host=host, devices=list(devices))
        return list(form["hosts"])

    def undrain(self, host: str, devices: Sequence[str]) -> int:
        """Give them back; how many drains are over."""
        return int(self._wire.post("fleet", "undrain", host=host, devices=list(devices))["given_back"])

    # -- schedules --------------------------------------------------------------------------------------------------
    def schedules(self) -> list[Schedule]:
        """All schedules, by name."""
        return self._rows.schedules()

    def schedule(self, name: str) -> Schedule:
        """One schedule. Raises UnknownSchedule."""
        return self._rows.schedule(name)

    def schedule_edits(self, name: str) -> list[ScheduleEdit]:
        """Who changed it, when, and what. Raises UnknownSchedule."""
        return self._rows.schedule_edits(name)

    def coming(self, name: str, count: int) -> NextFirings:
        """What is due next. Raises UnknownSchedule."""
        form = self._wire.get("schedules", name)
        row, dues = record_from(Schedule, form["schedule"]), [record_from(SliceDue, each) for each in form["dues"]]
        told = self._wire.get("schedules", name, "next", n=1)
        waits = tuple((each["slice"], each["reason"]) for each in told["waiting"])
        return NextFirings(row, tuple(map(tuple, coming(row, dues, count))), waits, datetime.fromisoformat(told["now"]))

    def firings_now(self, ids: Sequence[int]) -> list[Firing]:
        """These firings as they are now, by one request."""
        return self._rows.firings_by_id(ids)

    def add_schedule(self, spec: SpecLike, *, replace_it: bool = False, reason: str = "") -> Schedule:
        """Put a schedule into force. Raises SpecInvalid, DuplicateStudy."""
        sent = self._sent(spec, None)
        with _telling_of_code():
            form = self._wire.post("schedules", spec=sent, replace=replace_it, reason=reason)
        return record_from(Schedule, form)

    def edit_schedule(self, name: str, what: Literal["paused", "resumed", "removed"], reason: str = "") -> None:
        """Pause a schedule, let it go on, or remove it. Raises UnknownSchedule."""
        verb = {"paused": "pause", "resumed": "resume", "removed": "remove"}[what]
        self._wire.post("schedules", name, verb, reason=reason)

    def fired(
        self, schedule: str, due_at: datetime | date | None, slice_: str | None, *, again: bool, reason: str
    ) -> list[str]:
        """Open one firing's studies now; their names. Raises UnknownSchedule."""
        forms = self._fired(schedule, due_at, slice=slice_, again=again, reason=reason)["studies"]
        return [str(each["name"]) for each in forms]

    def fire(
        self,
        schedule: str,
        due_at: datetime | date | None = None,
        *,
        slice_: Mapping[str, Any] | None = None,
        again: bool = False,
        reason: str = "",
    ) -> list[RemoteStudy]:
        """As `fired`, of a slice by its values; the studies. Raises UnknownSchedule."""
        named = None if slice_ is None else slice_name(slice_)
        forms = self._fired(schedule, due_at, slice=named, again=again, reason=reason)["studies"]
        return [self.study_of(study_from(each)) for each in forms]

    def _fired(self, schedule: str, due_at: datetime | date | None, **body: Any) -> Any:
        at = None if due_at is None else due_at.isoformat()
        return self._wire.post("schedules", schedule, "fire", due_at=at, **body)

    def ask_replay(self, schedule: str, first: date, last: date) -> Replay:
        """Have the nights of past days run that had no firing; of the same days once. Raises UnknownSchedule."""
        days = {"first_day": first.isoformat(), "last_day": last.isoformat()}
        return record_from(Replay, self._wire.post("schedules", schedule, "replays", **days))

    def replay_now(self, asked: Replay) -> Replay:
        """What was asked for, as it is now."""
        rows = self._rows.replays(asked.schedule)
        return next((each for each in rows if each.id == asked.id), asked)

    def firings_since(self, schedule: str, at: datetime) -> list[Firing]:
        """The clock's own firings that were due since then, the latest due first."""
        forms = self._wire.items("schedules", schedule, "firings")
        found = takewhile(lambda each: each.due_at >= at, (record_from(Firing, each) for each in forms))
        return [each for each in found if not each.by_hand]

    # -- champions --------------------------------------------------------------------------------------------------
    def champions(self, schedule: str | None = None) -> list[Champion]:
        """The champion of each slice."""
        return self._rows.champions(schedule)

    def verdicts(self, schedule: str) -> list[Champion]:
        """Every verdict, newest first. Raises UnknownSchedule."""
        return self._rows.verdicts(schedule)

    def standing(self, schedule: str, slice_: str | None) -> Standing:
        """One slice's champion and what waits there."""
        form = self._wire.get("schedules", schedule, "champion", slice=slice_)
        champion, awaiting = (form[key] and record_from(Champion, form[key]) for key in ("champion", "awaiting"))
        deliveries = [record_from(Delivery, each) for each in form["deliveries"]]
        return Standing(form["slice"], champion, awaiting, deliveries)

    def approve(self, schedule: str, slice_: str | None, reason: str) -> Champion:
        """Make what waits the champion."""
        return self._decided(schedule, "approve", slice=slice_, reason=reason)

    def reject(self, schedule: str, slice_: str | None, reason: str) -> Champion:
        """Say no to what waits."""
        return self._decided(schedule, "reject", slice=slice_, reason=reason)

    def roll_back(self, schedule: str, slice_: str | None, reason: str, to: int | None = None) -> Champion:
        """Put an earlier champion in its place again."""
        return self._decided(schedule, "rollback", slice=slice_, reason=reason, to=to)

    def promote(self, study: str, trial: int, slice_: str | None, reason: str) -> Champion:
        """Make a scored trial champion by hand."""
        schedule = study_from(self._wire.get("studies", study)).schedule
        if schedule is None:
            raise CallerError(f"study {study} is of no schedule: it has no slice whose champion its trial could be")
        return self._decided(schedule, "promote", study=study, trial=trial, slice=slice_, reason=reason)

    def mornings(self, schedule: str | None, night: str | None, last: int | None) -> list[list[Morning]]:
        """Of each schedule the newest night, or one by name, or the newest few, the oldest first."""
        forms = self._wire.items("mornings", schedule=schedule, night=night, last=last)
        found: dict[str, list[Morning]] = {}
        for each in (record_from(Morning, form) for form in forms):
            found.setdefault(each.schedule, []).append(each)
        return list(found.values())

    def best_model(self, name: str, slice_: str | None, to: Path) -> tuple[int, str]:
        """Copy the model of a study's best trial, or of a slice's champion, to a file; its size and hash."""
        import hashlib

        kind = "schedules" if slice_ is not None or is_schedule(self.store, name) else "studies"
        size = self._wire.file(to, kind, name, "model", slice=slice_)
        with to.open("rb") as file:
            return size, hashlib.file_digest(file, "sha256").hexdigest()

    def _decided(self, schedule: str, verb: str, **body: Any) -> Champion:
        return record_from(Champion, self._wire.post("schedules", schedule, verb, **body))

    def _sent(self, spec: SpecLike, name: str | None) -> Mapping[str, Any]:
        """The file as it is sent: read and checked here, so that what is wrong is told at its line; `code` as the
        service finds it.
        """
        read, base = read_spec(spec, name)
        return {**read.to_dict(), "code": code_there(read.code, base, self.settings.code_root)}


@contextmanager
def _telling_of_code() -> Iterator[None]:
    """Whoever names code that the service cannot find is told where it must lie: it is never sent."""
    try:
        yield
    except SpecInvalid as error:
        if not any("code:" in each or "objective:" in each or "command:" in each for each in error.problems):
            raise
        raise SpecInvalid([*error.problems, _CODE_IS_NAMED]) from None


_CODE_IS_NAMED = (
    "over the API code is named and not sent: it must lie on the service's hosts, below their code root, with all that"
    " it imports. Put it there (a shared directory, a git checkout), and set CELERIAC_CODE_ROOT to this machine's copy"
    " of that root"
)


def code_there(code: str, base: Path, code_root: Path) -> str:
    """How a directory of this machine is named to the service: relative to the code root, which every host may have at
    another place; where the code root is the whole machine, or the directory is elsewhere, as it is. One that is not
    here is the service's own.
    """
    there = (base / Path(code).expanduser()).resolve()
    if not there.is_dir():
        return code
    root = code_root.resolve()
    if root == Path("/"):
        return str(there)
    if not there.is_relative_to(root):
        raise SpecInvalid(
            f"code: {there} is not below the code root {root}: the service would not find it; move it there, or set"
            " CELERIAC_CODE_ROOT to this machine's copy of the service's code root"
        )
    return str(there.relative_to(root))


def _busy(form: Mapping[str, Any]) -> Busy:
    idle = {Idle(why): idle_s for why, idle_s in form["idle_s"].items()}
    return Busy(form["window_s"], form["share"] * form["window_s"], idle)
