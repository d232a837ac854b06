"""The client: one connection to the service, for whoever submits, watches and stops.

Rows first, then a ticket: when Redis does not answer, what was asked is in Postgres already, and the next tick sees to
it.
"""

import warnings
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, cast

from celeriac.client.champions import find_slice
from celeriac.client.looking import gang_places
from celeriac.client.objective import code_root_of, moved_code, stored_root
from celeriac.client.operating import Operating
from celeriac.client.progress import Progress
from celeriac.client.schedules import fire_now, put, who
from celeriac.client.service import SpecLike as SpecLike
from celeriac.client.service import Submission, read_spec
from celeriac.client.study import Study
from celeriac.client.waiting import place_of
from celeriac.domain.errors import BrokerUnavailable, DuplicateStudy, SpecInvalid, StaleTurn, StoreUnavailable
from celeriac.domain.records import (
    CLOSED,
    Champion,
    Device,
    Firing,
    FiringState,
    NewStudy,
    Schedule,
    ScheduleEdit,
    StudyRecord,
    StudyState,
    TrialState,
)
from celeriac.domain.sampler_names import class_flaw, missing
from celeriac.domain.study_file import StudySpec, difference, parse
from celeriac.runtime.fingerprint import CODE_LOOK_S, fingerprint, same_code
from celeriac.runtime.settings import Settings
from celeriac.store import Store, WebStore, open_store, open_web_store

if TYPE_CHECKING:
    from celeriac.runtime.broker import Tickets


class Client(Operating):
    """The door for Python. `settings` default to the environment's, or to the stack that runs under `home`.

    Where no service runs, but studies are kept under `home`, their store is started alone, to be read and written to:
    `serves` is False then, and nothing runs until `celeriac up`. Raises StoreUnavailable where there is neither.
    Usable as a context manager; not shared between processes.
    """

    def __new__(
        cls, settings: Settings | None = None, home: str | Path | None = None, *, store: Store | None = None
    ) -> "Client":
        """A client; where `CELERIAC_URL` names a service's API and nothing else was asked for, one over that."""
        if cls is Client and home is None and store is None:
            settings = settings or Settings.from_env(running_stack=False)
            if settings.url:
                from celeriac.client.remote.client import RemoteClient

                return cast(Client, RemoteClient(settings))
        return super().__new__(cls)

    def __init__(
        self, settings: Settings | None = None, home: str | Path | None = None, *, store: Store | None = None
    ) -> None:
        self.settings = settings or Settings.from_env(home=None if home is None else Path(home))
        self._held = ExitStack()
        if store is None and not self.settings.has_service:
            if self.settings.database_url or not self.settings.has_store:
                raise no_service(self.settings)
            from celeriac.client.alone import store_url

            self.settings = replace(self.settings, database_url=store_url(self.settings, self._held))
        self.store = store or open_store(self.settings.database_url, pool_size=self.settings.pool_size)
        if store is None:  # a client and its studies that nobody holds any more give their connections back
            self._held.callback(self.store.close)
            weakref.finalize(self, self._held.close)
        self._tickets: Tickets | None = None
        self._who = ""
        self._code_roots: tuple[Path, ...] = ()

    def acting_as(self, who: str, code_roots: Sequence[Path] = ()) -> "Client":
        """The same client for somebody else: what it does is put down to `who`, and it takes code from below these
        directories only (none given: the code root). A relative `code` is seen from the first of them.
        """
        other = object.__new__(type(self))  # not `copy`, which would ask `__new__` for a client of the environment's
        other.__dict__.update(self.__dict__)
        other._who, other._code_roots = who, tuple(each.resolve() for each in code_roots)
        return other

    @property
    def who(self) -> str:
        """Whom what it does is put down to."""
        return self._who or who()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self.store.close()
        self._held.close()

    def web_store(self) -> WebStore:
        """The store with its verbs on tokens, on connections of its own, closed with this client's."""
        opened = open_web_store(self.settings.database_url, pool_size=self.settings.pool_size)
        self._held.callback(opened.close)
        return opened

    @property
    def serves(self) -> bool:
        """Whether there is a service that runs what is submitted, and not a store alone."""
        return bool(self.settings.broker_url)

    # -- studies ----------------------------------------------------------------------------------------------------
    def submit(self, spec: SpecLike, *, name: str | None = None) -> Study:
        """Open a study, or attach to the one of the same name and the same spec; notes come as warnings.

        `spec` is a file, a mapping shaped like one, or a `StudySpec`; `name` replaces the name in it. Raises
        SpecInvalid, DuplicateStudy when the name is taken by another spec, StoreUnavailable.
        """
        submission = self.open(spec, name=name)
        for note in submission.notes:
            warnings.warn(note, stacklevel=2)
        return submission.study

    def open(self, spec: SpecLike, *, name: str | None = None) -> Submission:
        """As `submit`, but the notes and whether it attached are in the answer."""
        read, base = read_study(spec, name)
        new = self.new_study(read, base)
        notes = self._code_notes() + self._sampler_notes(read) + self._gpu_notes(read)
        try:
            record, attached = self.store.create_study(new), False
        except DuplicateStudy as error:
            record, attached = self.store.study_named(new.name), True
            notes += _same_or_raise(record, read, new, error)
            if not same_code(record.fingerprint, new.fingerprint):
                notes.append(self._other_code(record, new))
        if record.state not in CLOSED:
            notes += filter(None, [self.wake(record)])
        return Submission(self.study_of(record), attached, tuple(notes))

    def _other_code(self, record: StudyRecord, new: NewStudy) -> str:
        """Have an open study run the code as it is now; what that means for its result, in words."""
        changed = f"the code below {new.code_root} has changed since {record.name} was submitted"
        if record.state in CLOSED:
            return f"{changed}: this is the result of the code before; run the new one under another name (`--name`)"
        self.store.take_code(record.id, new.fingerprint)
        return f"{changed}: its trials from now on run the new code, and are ranked with those before"

    def checked(self, spec: StudySpec) -> NewStudy:
        """What `open` would open of this spec; nothing is changed. Raises SpecInvalid as it does."""
        return self.new_study(read_study(spec, None)[0], Path.cwd())

    def new_study(self, spec: StudySpec, base: Path) -> NewStudy:
        """What the store needs to open this spec's study. Raises SpecInvalid for its objective or sampler."""
        if flaw := self._sampler_flaw(spec.sampler):
            raise SpecInvalid(f"{spec.study}: sampler: {flaw}")
        base = self._code_roots[0] if self._code_roots else base
        root = code_root_of(spec, base, self.settings.code_root, self._code_roots)
        return NewStudy(
            name=spec.study,
            spec=spec.to_dict(),
            goal=spec.metric.goal,
            parallel=spec.at_once,
            code_root=stored_root(root, self.settings.code_root),
            fingerprint=fingerprint(root),
        )

    def study(self, name: str) -> Study:
        """The study of that name. Raises UnknownStudy."""
        return self.study_of(self.store.study_named(name))

    def study_of(self, record: StudyRecord) -> Study:
        """The study of that row."""
        return Study(self.store, record, self.wake, self.settings)

    def records(self, limit: int) -> list[StudyRecord]:
        """The newest studies' rows, newest first."""
        return self.store.studies(limit=limit)

    def studies(self, limit: int = 50) -> list[Study]:
        """The newest studies, newest first."""
        return [self.study_of(record) for record in self.records(limit)]

    def wake(self, record: StudyRecord) -> str:
        """Tell the coordinator to look at a study now; what the caller should know when that was not possible."""
        from celeriac.domain.messages import DriveStudy
        from celeriac.runtime.broker import DRIVE_QUEUE

        if not self.serves:
            return "no service runs: it is noted, and `celeriac up` goes on with it"
        try:
            self.tickets.send(DriveStudy(record.id), queue=DRIVE_QUEUE, summary=f"{record.name} (a user's word)")
        except BrokerUnavailable:
            return "Redis does not answer: it is noted, and the coordinator sees to it at its next tick"
        return ""

    @property
    def tickets(self) -> "Tickets":
        """The sender of tickets, made at its first use: Celery takes a third of a second to load."""
        if self._tickets is None:
            from celeriac.runtime.broker import BrokerConfig, Tickets, make_app

            config = BrokerConfig(self.settings.broker_url, client_name="celeriac-client", socket_timeout_s=5.0)
            self._tickets = Tickets(make_app(config))
        return self._tickets

    # -- schedules --------------------------------------------------------------------------------------------------
    def add_schedule(self, spec: SpecLike, *, replace_it: bool = False, reason: str = "") -> Schedule:
        """Put a schedule into force, or leave it as it is when it is the same; its history keeps who changed what.

        Raises SpecInvalid, and DuplicateStudy when another of that name exists and `replace_it` is not given.
        """
        read, base = read_spec(spec, None)
        if read.schedule is None:
            raise SpecInvalid(
                f"{read.study}: it has no `schedule:` with a name and a cron line; `celeriac submit` runs it once"
            )
        new = self.new_study(read, base)
        return put(self.store, new, read, read.schedule, replace_it=replace_it, reason=reason, by=self.who)

    def edit_schedule(self, name: str, what: Literal["paused", "resumed", "removed"], reason: str = "") -> None:
        """Pause a schedule, let it go on, or remove it; its history keeps who did. Raises UnknownSchedule."""
        edit = ScheduleEdit(name, self.who, what, (), reason)
        if what == "removed":
            self.store.drop_schedule(name, edit=edit)
        else:
            self.store.pause_schedule(name, what == "paused", edit=edit)

    def schedules(self) -> list[Schedule]:
        """All schedules, by name."""
        return self.store.schedules()

    def fire(
        self,
        schedule: str,
        due_at: datetime | date | None = None,
        *,
        slice_: Mapping[str, Any] | None = None,
        again: bool = False,
        reason: str = "",
    ) -> list[Study]:
        """Open one firing's studies now, one for each slice (or for this `slice_`), as if `due_at` (default: now) had
        come; a date is each slice's own first time on it.

        A due time of the schedule's own that has passed is made up for, each slice once: what was fired for it already
        is not in the answer. For any other time it is a firing by hand, as often as you ask, and the clock's own
        firings are made regardless; with `again` also for a time that had its firing. The firing notes who asked, and
        the `reason`. Raises UnknownSchedule.
        """
        made = self.firings_of(schedule, due_at, slice_=slice_, again=again, reason=reason)
        return [study for _, studies in made for study in studies]

    def firings_of(
        self,
        schedule: str,
        due_at: datetime | date | None,
        *,
        slice_: Mapping[str, Any] | None,
        again: bool,
        reason: str,
    ) -> list[tuple[Firing, list[Study]]]:
        """As `fire`: the firings that were made, each with the studies that it begins with."""
        made = fire_now(self.store, schedule, due_at, slice_=slice_, again=again, reason=reason, by=self.who)
        return [(firing, self.begin(firing)) for firing in made]

    def fired(
        self, schedule: str, due_at: datetime | date | None, slice_: str | None, *, again: bool, reason: str
    ) -> list[str]:
        """`fire` by a slice's text; the names of the studies that were opened."""
        where = None if slice_ is None else find_slice(self.store, schedule, slice_)
        return [each.name for each in self.fire(schedule, due_at, slice_=where, again=again, reason=reason)]

    def begin(self, firing: Firing) -> list[Study]:
        """The study that a firing begins with. The coordinator would open it too, at its next tick."""
        from celeriac.decide.night import tonight
        from celeriac.store.firing import move, night_of

        night = night_of(self.store, firing.id)
        decision = tonight(night)
        if decision.move is not None and night.firing.state is FiringState.DUE:
            with suppress(StaleTurn):
                move(self.store, night.firing, decision.move)
        opened = self.store.stage_studies([firing.id])
        for record in opened:
            self.wake(record)
        return [self.study_of(record) for record in opened]

    def champions(self, schedule: str | None = None) -> list[Champion]:
        """The champion of each slice."""
        return self.store.champions(schedule)

    def progress(self, study: Study) -> Progress:
        """How far a study is: its row, its running trials, and the devices that are alive."""
        record = study.record
        running = self.store.trials(record.id, states=[TrialState.RUNNING]) if record.counts.running else []
        gangs = gang_places(self.store, record, running)
        idle = record.state is StudyState.RUNNING and not record.counts.running and not record.counts.queued
        place = place_of(self.store, record.id) if idle else None
        no_place = "" if place is None else place.why
        return Progress(record, tuple(running), tuple(self.devices()), datetime.now(UTC), tuple(gangs), no_place)

    # -- workers ----------------------------------------------------------------------------------------------------
    def devices(self) -> list[Device]:
        """The devices whose nodes spoke lately."""
        return self.store.devices(alive=True)

    def _sampler_flaw(self, sampler: str) -> str:
        """What is wrong with a sampler: all of it where the coordinator is this machine's, else only its name."""
        lacking = missing(sampler)
        if lacking:
            return lacking if self.settings.stack_file.exists() else ""
        return class_flaw(sampler)

    def _sampler_notes(self, spec: StudySpec) -> list[str]:
        lacking = missing(spec.sampler)
        return [f"{lacking} (where the coordinator runs, which from here nobody can see)"] if lacking else []

    def _gpu_notes(self, spec: StudySpec) -> list[str]:
        devices = self.devices()
        if not spec.gpus or not devices or any(each.is_gpu for each in devices):
            return []
        return [
            "no worker with a GPU is alive: the trials wait for one (`resources: {gpus: 0}` in a study of another name"
            " runs here)"
        ]

    def _code_notes(self) -> list[str]:
        """A note for each host whose code root holds other code; none where the root is the machine."""
        if self.settings.code_root.resolve() == Path("/"):
            return []
        mine = fingerprint(self.settings.code_root)
        others = {each.host: each.fingerprint for each in self.devices() if not same_code(mine, each.fingerprint)}
        return [
            f"host {host} has other code below its code root ({theirs}) than this one ({mine}): where this study's"
            f" differs, it takes none of its trials (it looks every {CODE_LOOK_S:.0f} s: of a change just made to a"
            " shared directory it may not know yet)"
            for host, theirs in sorted(others.items())
        ]


def no_service(settings: Settings) -> StoreUnavailable:
    """The error of one that is needed and not there."""
    back = "; its studies are kept, and `celeriac up` brings them back" if settings.has_store else ""
    return StoreUnavailable(
        "no service is known: start one (`celeriac up`), or name one: CELERIAC_URL after `celeriac login URL`, or"
        " CELERIAC_DATABASE_URL and CELERIAC_BROKER_URL "
        f"(no stack runs under {settings.home}{back})"
    )


def read_study(spec: SpecLike, name: str | None) -> tuple[StudySpec, Path]:
    """As `read_spec`, of a study that is opened by itself. Raises SpecInvalid for a schedule."""
    read, base = read_spec(spec, name)
    if read.schedule is not None:
        raise SpecInvalid(
            f"{read.study}: this is a schedule: `celeriac schedule add FILE`, then "
            f"`celeriac schedule fire {read.schedule.name}` runs it at once"
        )
    return read, base


def _same_or_raise(record: StudyRecord, spec: StudySpec, new: NewStudy, error: DuplicateStudy) -> list[str]:
    """Notes: none when the study in the store is the one that was asked for, one when it was extended since.

    Raises DuplicateStudy, with what differs, when it is another.
    """
    differs = difference(parse(record.spec, record.name, name=spec.study), spec)
    if spec.learn_space and not spec.space.names:  # what it has learned since is no other spec
        differs = [line for line in differs if not line.startswith("space.")]
    differs += moved_code(record.code_root, new.code_root)
    had, wall = record.spec["budget"], record.spec["budget"].get("wall")
    only_budget = all(line.startswith("budget.") for line in differs)
    longer = wall is None or spec.budget.wall_s is None or spec.budget.wall_s <= wall
    if only_budget and differs and longer and spec.budget.trials <= had["trials"]:
        limit = "" if wall is None else f" and {wall:g} s"
        return [f"{record.name} was given another budget since, and keeps it: {had['trials']} trials{limit}"]
    if differs:
        raise DuplicateStudy(_how_else(record, spec, only_budget), difference=differs) from error
    return []


def _how_else(record: StudyRecord, spec: StudySpec, only_budget: bool) -> str:
    """What to do about a study of that name with another spec."""
    exists, had = f"study {record.name} exists ({record.state})", record.spec["budget"]
    if not only_budget:
        return f"{exists} with another spec: choose another name (`--name`)"
    options = [f"--trials {spec.budget.trials}"] if spec.budget.trials > had["trials"] else []
    if spec.budget.wall_s not in (None, had.get("wall")):
        options.append(f"--wall {spec.budget.wall_s:g}")
    if not options:
        return f"{exists} with another budget: write that in the file, or choose another name (`--name`)"
    return (
        f"{exists} with another budget: `celeriac extend {record.name} {' '.join(options)}` gives it that, and then"
        " this goes on; or choose another name (`--name`)"
    )
