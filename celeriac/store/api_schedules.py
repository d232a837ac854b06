"""The store's contract for schedules, their firings and their champions: a part of `celeriac.store.api.Store`, whose
rules hold here too.

A firing moves by compare-and-set on its turn, and everything that a move brings (a stage's study, its given points, a
verdict) is written with it or not at all. So a firing can be moved by anybody, at any time, as often as they like.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol

from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.records import (
    Champion,
    Delivery,
    Firing,
    FiringOpen,
    FiringState,
    NewStudy,
    Publication,
    Replay,
    Schedule,
    ScheduleEdit,
    SliceDue,
    StudyRecord,
)


class ScheduleStore(Protocol):
    """What schedules, firings and champions need of the store."""

    def put_schedule(
        self, schedule: Schedule, dues: Sequence[SliceDue] = (), *, edit: ScheduleEdit | None = None
    ) -> Schedule:
        """Insert or replace by name (`created_at` of an existing one stays), with when its slices are due and the edit
        to be kept. Slices that `dues` leaves out are due at `schedule.next_due_at`; those it has no more are dropped.
        """

    def schedule(self, name: str) -> Schedule:
        """Raises UnknownSchedule, naming the existing ones."""

    def schedules(self) -> list[Schedule]:
        """All, by name."""

    def drop_schedule(self, name: str, *, edit: ScheduleEdit | None = None) -> None:
        """Forget a schedule; its studies, firings, champions and edits stay. Raises UnknownSchedule."""

    def pause_schedule(self, name: str, paused: bool, *, edit: ScheduleEdit | None = None) -> Schedule:
        """Raises UnknownSchedule."""

    def schedule_edits(self, schedule: str, *, limit: int = 50) -> list[ScheduleEdit]:
        """What was done to a schedule of that name, newest first; also after it was dropped."""

    def ask_replay(self, schedule: str, first_day: date, last_day: date, who: str) -> Replay:
        """Keep that somebody wants the nights of these days run. Of the same days that are asked for already, it is the
        same. Raises IllegalTransition while others are.
        """

    def replays(self, schedule: str, *, limit: int = 10) -> list[Replay]:
        """What was asked for of a schedule of that name, newest first."""

    def open_replays(self) -> list[Replay]:
        """Those that have not come to their end, the oldest first."""

    def end_replay(self, replay_id: int, reason: str) -> bool:
        """Begin none of its nights any more; what runs goes on. False: it had its end already."""

    def due_schedules(self) -> list[Schedule]:
        """Schedules that are not paused and a slice of which is due, by the store's clock; the first due first."""

    def slice_dues(self, schedule: str) -> list[SliceDue]:
        """When each slice is due next, the first due first. Empty for a schedule that is not there."""

    def fire(self, due_at: datetime, new: NewStudy, *, by_hand: int = 0, note: str = "") -> Firing | None:
        """Make one slice's firing, DUE, whose stages' studies will be like `new`; None if it was fired already.

        Raises DuplicateStudy when a study or another firing has that name; `celeriac.store.firing.fire` then tries the
        next.
        """

    def advance_slice(self, due: SliceDue, next_due_at: datetime, *, note: str = "") -> bool:
        """Compare-and-set of a slice's `next_due_at`; False: another tick did it, or the slice is gone."""

    def firings(
        self,
        schedule: str,
        *,
        slice_: Mapping[str, Any] | None = None,
        states: Sequence[FiringState] | None = None,
        before: tuple[datetime, int] | None = None,
        limit: int = 50,
    ) -> list[Firing]:
        """The latest due first, from the one after `before` (due time, id); of one slice, and in one of these states,
        where they are given.
        """

    def firings_to_mind(self, schedule: str, since: datetime) -> list[FiringOpen]:
        """The clock's own firings that were due or ended since then, or are still open; the earliest due first."""

    def firing(self, firing_id: int) -> Firing:
        """Raises UnknownSchedule: there is no such firing."""

    def firing_plan(self, firing_id: int) -> NewStudy:
        """What the firing was made with: the spec and the code of that moment, whatever its schedule says by now."""

    def stage_studies(self, firing_ids: Sequence[int]) -> list[StudyRecord]:
        """The studies of these firings' stages, by id."""

    def studies_left_open(self) -> list[StudyRecord]:
        """The studies that are not closed although their firing is at its end."""

    def studies_held(self) -> list[StudyRecord]:
        """The studies that are paused, and their firings wait for them."""

    def earlier_studies(self, study_id: int, *, nights: int, sisters: int) -> list[StudyRecord]:
        """What a night's search may start from: searches of the same schedule that were due before this one and closed
        before it was opened, the newest first; at most `nights` of its own slice, then of at most `sisters` other
        slices the newest each, of one due time by name. Empty for a study that no schedule opened. One that is
        `reproducible` starts from nothing that was due when it was.
        """

    def firings_to_move(self) -> list[int]:
        """Ids of the firings that wait for a move, oldest first: those that are DUE, and those whose stage's study is
        closed, or gone.
        """

    def move_firing(self, firing_id: int, turn: int, move: FiringMove) -> Firing:
        """Move a firing by its table, with all that the move brings, whole or not at all.

        Compare-and-set on `turn`: raises StaleTurn when somebody moved it meanwhile, and when the verdict promotes over
        a champion that is not the slice's champion any more. Raises IllegalTransition, and DuplicateStudy when the name
        of the stage's new study is taken.
        """

    def announce(self, firing_id: int, reason: str) -> bool:
        """Tell in a working firing's life that its deadline will be missed: a step that moves nothing. Whether it was
        told now: it is once a firing.
        """

    def record_champion(self, champion: Champion) -> Champion:
        """Write a verdict. A firing's own (`VerdictKind.NIGHT`) once: a repeat returns the first.

        One that promotes must name the slice's champion of this moment as its `before_id`. Raises StaleTurn when it is
        another by now, UnknownStudy.
        """

    def champion_of(self, schedule: str, slice_: Mapping[str, Any]) -> Champion | None:
        """The newest promoted verdict of one slice: its champion now."""

    def champions(self, schedule: str | None = None) -> list[Champion]:
        """The newest promoted verdict of each slice, by schedule and slice."""

    def verdicts(
        self, schedule: str, *, slice_: Mapping[str, Any] | None = None, before_id: int | None = None, limit: int = 200
    ) -> list[Champion]:
        """All verdicts, or those of one slice, promoted or not, newest first: the champions' history."""

    def night_tallies(self, schedule: str, before: datetime) -> list[tuple[float, int]]:
        """Of each night of a schedule before that due time, oldest first: what its slices' tests spent (level x
        weight), and how many slices were promoted. Only tests that had an `fdr` count.
        """

    def due_deliveries(self, limit: int = 100) -> list[Delivery]:
        """What is to be done outside the database now. First of promotions, the oldest first, a hook only once its
        promotion is published; then mornings of nights.

        Each promotion has its two deliveries from the moment it is there, whoever wrote it. A night has one where its
        schedule says so (`schedule.morning`) once all its firings are over; those that ended within three days before
        anybody looked. Firings by hand are told of to nobody.
        """

    def claim_delivery(self, delivery: int, for_s: float) -> int:
        """Begin a try: nobody else does for so many seconds. Its number; 0: another has it, or it is done."""

    def renew_delivery(self, delivery: int, number: int, for_s: float) -> bool:
        """Keep a try for so many seconds from now. False: another has begun the next, or it is done."""

    def end_delivery(self, delivery: int, number: int, detail: str, again_s: float | None = None) -> None:
        """Note what came of a try, if it is still the newest; `again_s`: it is to be tried again after so many seconds,
        else it is done.
        """

    def deliveries(self, schedule: str, *, limit: int = 50) -> list[Delivery]:
        """All of a schedule, newest first."""

    def publication(self, promotion: int) -> Publication:
        """What is to be published of a promotion, with the model of a run of its parameters, if one was kept. Raises
        CallerError.
        """
