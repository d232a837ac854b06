"""The part of the client that looks after schedules, champions and devices: put down to whom the client acts as."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celeriac.client import champions
from celeriac.client.service import NextFirings, Standing, is_schedule
from celeriac.domain.records import Champion, Firing, Schedule, ScheduleEdit
from celeriac.runtime.settings import Settings
from celeriac.store import Store

if TYPE_CHECKING:
    from celeriac.client.fleet import Fleet
    from celeriac.report.morning import Morning

_MOST_DELIVERIES = 1000


class Operating(ABC):
    """What `Service` asks of schedules, champions and devices, answered from the store."""

    store: Store
    settings: Settings

    @property
    @abstractmethod
    def who(self) -> str:
        """Whom what it does is put down to."""

    def fleet(self) -> "Fleet":
        """All devices with what they run."""
        from celeriac.client.fleet import fleet_of

        return fleet_of(self.store)

    def drain(self, host: str, devices: Sequence[str]) -> list[str]:
        """Take devices of a host out, or all of it; the hosts that are known."""
        known = {each.host for each in self.store.devices()}
        self.store.drain(host, devices, self.who)
        return sorted(known)

    def undrain(self, host: str, devices: Sequence[str]) -> int:
        """Give them back; how many drains are over."""
        return self.store.undrain(host, devices)

    def schedule(self, name: str) -> Schedule:
        """One schedule. Raises UnknownSchedule."""
        return self.store.schedule(name)

    def schedule_edits(self, name: str) -> list[ScheduleEdit]:
        """Who changed it, when, and what; also after it was removed. Raises UnknownSchedule."""
        edits = self.store.schedule_edits(name)
        if not edits:
            self.store.schedule(name)
        return edits

    def coming(self, name: str, count: int) -> NextFirings:
        """What runs at its next so many due times, and what is due and waits. Raises UnknownSchedule."""
        from celeriac.client.schedules import waiting_of
        from celeriac.decide.calendar import coming

        row, dues, now = self.store.schedule(name), self.store.slice_dues(name), self.store.now()
        return NextFirings(row, coming(row, dues, count), waiting_of(self.store, row, dues, now), now)

    def firings_now(self, ids: Sequence[int]) -> list[Firing]:
        """These firings as they are now."""
        return [self.store.firing(each) for each in ids]

    def verdicts(self, schedule: str) -> list[Champion]:
        """Every verdict, newest first. Raises UnknownSchedule."""
        self.store.schedule(schedule)
        return self.store.verdicts(schedule)

    def standing(self, schedule: str, slice_: str | None) -> Standing:
        """One slice's champion and what waits there. Raises UnknownSchedule, CallerError for no such slice."""
        where = champions.find_slice(self.store, schedule, slice_)
        found = self.store.champion_of(schedule, where)
        sent = self.store.deliveries(schedule, limit=_MOST_DELIVERIES)
        of_it = [each for each in sent if found and each.promotion == found.id]
        return Standing(where, found, champions.awaiting(self.store, schedule, where), of_it)

    def approve(self, schedule: str, slice_: str | None, reason: str) -> Champion:
        """Make what waits the champion. Raises as `celeriac.client.champions.approve`."""
        return self._decided(champions.approve, schedule, slice_, reason)

    def reject(self, schedule: str, slice_: str | None, reason: str) -> Champion:
        """Say no to what waits. Raises CallerError when nothing does."""
        return self._decided(champions.reject, schedule, slice_, reason)

    def roll_back(self, schedule: str, slice_: str | None, reason: str, to: int | None = None) -> Champion:
        """Put an earlier champion in its place again. Raises CallerError, StaleTurn."""
        return self._decided(champions.roll_back, schedule, slice_, reason, to=to)

    def promote(self, study: str, trial: int, slice_: str | None, reason: str) -> Champion:
        """Make a scored trial champion by hand. Raises as `celeriac.client.champions.promote`."""
        return champions.promote(self.store, study, trial, slice_=slice_, who=self.who, reason=reason)

    def _decided(
        self, verb: Callable[..., Champion], schedule: str, slice_: str | None, reason: str, **more: Any
    ) -> Champion:
        where = champions.find_slice(self.store, schedule, slice_)
        return verb(self.store, schedule, where, who=self.who, reason=reason, **more)

    def mornings(self, schedule: str | None, night: str | None, last: int | None) -> "list[list[Morning]]":
        """Of each schedule the newest night, or one by name, or the newest few, the oldest first.

        Raises UnknownSchedule, CallerError for a night that there was not.
        """
        from celeriac.report.morning import last_mornings, read_morning

        names = [each.name for each in self.store.schedules()] if schedule is None else [schedule]
        if last is not None:
            found = [list(last_mornings(self.store, name, last)) for name in names]
        else:
            newest = (read_morning(self.store, name, night) for name in names)
            found = [[each] for each in newest if each is not None]
        return [each for each in found if each]

    def best_model(self, name: str, slice_: str | None, to: Path) -> tuple[int, str]:
        """Copy the model of a study's best trial, or of a slice's champion, to a file; its size and hash.

        Raises CallerError where there is none, ArtefactDamaged when it is not what its row says.
        """
        from celeriac.client.models import best_model, champion_model

        if slice_ is not None or is_schedule(self.store, name):
            model = champion_model(self.settings, name, champions.find_slice(self.store, name, slice_), to)
        else:
            model = best_model(self.store, self.settings, self.store.study_named(name), to)
        return model.size_bytes, model.sha256
