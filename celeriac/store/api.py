"""The store's contract: verbs of the lifecycle, kept by `PostgresStore`, and by the model in the tests.

Rules that hold for every verb:

* One call is one transaction: it happens whole or not at all. `StoreUnavailable` means it may be repeated; every verb
  is safe to repeat (a second `finish_attempt` of the same end by the same token returns the row as it is).
* Locks are taken in one order, the study's row first, then its trials by number, so that no two verbs can deadlock.
* Times of leases are the store's own clock; no caller's clock decides who owns a trial.
* A state changes only through `celeriac.domain.lifecycle.moved`, or by a statement whose WHERE is
  `lifecycle.sources(...)`.
* The study row's counters change in the transaction that changes a trial; so no verb on the way of a trial's life reads
  more than one trial and a few numbers, however many trials are open (`snapshot`).
* Records are values: changing what a caller passed in, or got back, changes nothing in the store.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import (
    Attempt,
    Checkpoint,
    Claim,
    CodeRun,
    Crossing,
    Device,
    DeviceSpent,
    Duty,
    Fault,
    Lease,
    LetGo,
    NewStudy,
    OpenAttempt,
    Params,
    PendingTrial,
    Placed,
    PutAside,
    ReaperLook,
    Refusal,
    Report,
    RungRecord,
    Savings,
    SlotRun,
    Snapshot,
    StudyRecord,
    StudyState,
    Suggestion,
    TrialRecord,
    TrialState,
)
from celeriac.store.api_figures import FigureStore
from celeriac.store.api_gangs import GangStore
from celeriac.store.api_packs import PackStore
from celeriac.store.api_placing import PlacingStore
from celeriac.store.api_records import AttemptEnd as AttemptEnd
from celeriac.store.api_records import Pruned as Pruned
from celeriac.store.api_records import ReportAck as ReportAck
from celeriac.store.api_schedules import ScheduleStore

#: Trials for the queue of their class.
NOWHERE: Mapping[int, Placed] = {}


class Store(ScheduleStore, PlacingStore, GangStore, PackStore, FigureStore, Protocol):
    """All that the programs may ask of Postgres; what schedules and their nights, places and pre-emption, gangs, packs
    and figures need is in protocols of their own.
    """

    # -- the store itself -------------------------------------------------------------------------------------------
    def now(self) -> datetime:
        """The store's clock, aware UTC. Raises StoreUnavailable; so it also serves as a ping."""

    def check_schema(self) -> None:
        """Raise SchemaMismatch when the database is older or newer than this program (and say what to run)."""

    def close(self) -> None:
        """Give the connections back."""

    # -- studies ----------------------------------------------------------------------------------------------------
    def create_study(self, new: NewStudy) -> StudyRecord:
        """Open a study. Raises DuplicateStudy if the name is taken (`difference` is left empty: the caller compares
        specs).
        """

    def study(self, study_id: int) -> StudyRecord:
        """Raises UnknownStudy."""

    def study_named(self, name: str) -> StudyRecord:
        """Raises UnknownStudy, naming the nearest existing names."""

    def studies(
        self,
        *,
        states: Sequence[StudyState] | None = None,
        schedule: str | None = None,
        named: str | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[StudyRecord]:
        """Newest first; the next page starts before the last one's id. `named`: whose name has this in it, in whatever
        case.
        """

    def move_study(self, study_id: int, event: StudyEvent, reason: str, *, turn: int | None = None) -> StudyRecord:
        """Move a study by its table. `turn` given: compare-and-set, raises StaleTurn. Raises IllegalTransition.

        pause: its QUEUED trials go back to WAITING. resume: `resumed_at` is set, and the pause added to `paused_s`.
        reopen: `reopened_at` is set too, the time since its end added, and a verdict that promoted nothing is void.
        stop, fail and finish: every open trial becomes CANCELLED and open attempts end `released` with the reason, so
        that their runners step aside at the next heartbeat.
        """

    def extend_study(self, study_id: int, budget: Mapping[str, Any], reason: str) -> StudyRecord:
        """Put this budget, of as many trials or more, in its spec; a closed study is opened again, as by reopen, with
        this reason.

        Raises IllegalTransition for fewer trials.
        """

    def retry_trials(self, study_id: int, numbers: Sequence[int] | None, reason: str) -> list[TrialRecord]:
        """FAILED trials (None: all of them) go back to WAITING, for one more attempt; a closed study is opened again,
        with this reason.

        The later ends move up, so that they stay numbered without a gap; `resumed_at` tells readers to read them anew.
        Raises UnknownTrial, and IllegalTransition when one is not FAILED; then none is moved.
        """

    def delete_study(self, study_id: int) -> None:
        """Delete a closed study with all its rows, but never one whose trial became champion. Raises
        IllegalTransition.

        Interrupted, it leaves the study with some of its reports, logs and checkpoints' rows gone; it can be asked for
        again.
        """

    def take_code(self, study_id: int, fingerprint: str) -> StudyRecord:
        """Run the study's trials from now on with this code, which a person has seen; slots that refused it are asked
        again.
        """

    def learn_space(self, token: str, params: Params, forms: Mapping[str, Mapping[str, Any]]) -> None:
        """Under a running attempt's lease: these are the trial's parameters, as its objective asked for them, and the
        study's space takes in these forms of a study file, by name: a new name with its form, a range or a choice of
        the same kind by what it adds; ranges on a grid, and all beyond MOST_PARAMETERS, stay as they are.

        Nothing but the trial is written where the study does not learn its space. May be repeated. Raises LeaseLost.
        """

    def studies_to_drive(self) -> list[int]:
        """Ids of all OPEN and RUNNING studies, and of PAUSED ones none: what a tick looks at."""

    def claims(self) -> list[Claim]:
        """What each OPEN, RUNNING or PAUSED study holds of the fleet and could use, by id: from the studies' rows,
        never from trials.
        """

    def device_spent(
        self, study_id: int, night: tuple[datetime, datetime] | None = None, *, runs: int = 0
    ) -> DeviceSpent:
        """What attempts of the study took until now, those of its firing, and those of its schedule's firings that are
        due in `night` (from, until); all 0 of a study that is gone. `runs`: with so many a confirmation begins.
        """

    # -- the coordinator's turn -------------------------------------------------------------------------------------
    def driving(self, study_id: int) -> AbstractContextManager[bool]:
        """Try to hold the study's advisory lock for the block; False: somebody else drives it. It only saves work."""

    def snapshot(self, study_id: int) -> Snapshot:
        """What a turn decides on, but for its `tail`; at most MOST_READY numbers of each kind. Raises UnknownStudy."""

    def newest_waiting(self, study_id: int, limit: int) -> list[TrialRecord]:
        """The WAITING trials with the highest numbers that were never leased, by number: a snapshot's `tail`."""

    def pending(self, study_id: int, *, observed: int, below: int, since: int = 0) -> list[PendingTrial]:
        """Trials numbered from `since` to `below` that had not ended when `observed` trials had, by number.

        With them and the first `observed` ends, all is known that the suggestion of trial `below` was made of.
        """

    def ended_since(self, study_id: int, ended_no: int, limit: int = 1000) -> list[TrialRecord]:
        """Trials that ended after that place in the order of ends, in that order, with `rungs` and `oom_device_kinds`:
        how a sampler reads on.
        """

    def add_trials(self, study_id: int, turn: int, suggestions: Sequence[Suggestion]) -> list[TrialRecord]:
        """Add WAITING trials, numbered on from the study's `next_number`, and take the turn. Raises StaleTurn.

        Refuses (IllegalTransition) when the study is not RUNNING.
        """

    def replace_waiting(
        self, study_id: int, turn: int, first: int, suggestions: Sequence[Suggestion]
    ) -> list[TrialRecord]:
        """Give the study's newest trials, from number `first` on, these parameters in place of theirs, and take the
        turn.

        One suggestion for each, whose `why` and `seed` replace theirs; number, state and source stay. Refused whole
        (IllegalTransition) unless the study is RUNNING and all of them are WAITING, suggested, and never leased: what
        an attempt has had stays as it was, and so does all that a later trial's `why` points to. Raises StaleTurn.
        """

    def queue_trials(
        self, study_id: int, turn: int, numbers: Sequence[int], places: Mapping[int, Placed] = NOWHERE
    ) -> list[TrialRecord]:
        """WAITING or PAUSED -> QUEUED, and take the turn; returns those moved. Tickets come after. Raises StaleTurn.

        `places`: where those numbers are placed that are not for the queue of their class.
        """

    # -- the worker -------------------------------------------------------------------------------------------------
    def lease(
        self,
        study_id: int,
        number: int,
        attempt: int,
        *,
        worker: str,
        device: str,
        device_kind: str = "",
        lease_s: float,
    ) -> Lease | Refusal:
        """WAITING|QUEUED -> RUNNING under a fresh token, once, if the trial's next attempt is `attempt`.

        Refused, with the trial back in WAITING, when the study is not RUNNING or as many trials run as `parallel`
        allows, or a placed trial finds what it was to hold of this device taken; refused without any change when the
        ticket is stale. Makes the attempt's row; it keeps the device's
        kind ("": unknown), since a device's own row comes and goes with its host.
        """

    def begin(self, token: str, *, fingerprint: str, resumed_step: int | None, log_path: str) -> None:
        """Note what the attempt runs with, once the child is up. Raises LeaseLost."""

    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> str:
        """Prolong the lease from the store's now, also when it has run out but nobody took it; returns why the trial
        is to hand itself back (`preempt`), or "". Raises LeaseLost.
        """

    def report(self, token: str, reports: Sequence[Report], crossings: Sequence[Crossing] = ()) -> ReportAck:
        """Insert reports with their checkpoints, and rank those that cross a rung, in one statement. Raises LeaseLost.

        Repeats are ignored: the first report of a step and an attempt stays, and the first record of a trial at a
        rung. A repeat may bring the report's checkpoint, which came later. What a rung tells costs the same at its
        tenth record and at its ten thousandth: a new record finds its cutoff from the one before it and one neighbour
        in the order of values. Two that arrive at once are ranked one after the other.
        """

    def own_reports(self, token: str) -> list[Report]:
        """What all attempts of the lease's trial reported, by step; the latest value wins. None: the lease is gone."""

    def forget_checkpoints(self, token: str, paths: Sequence[str]) -> None:
        """Delete rows of the lease's trial, whose files are about to be deleted. None when the lease is gone."""

    def drop_checkpoints(self, token: str, kept: Sequence[str] = ()) -> bool:
        """Delete the rows of all checkpoints but `kept` of a trial that has ended, by the token of any attempt of it.

        False, and nothing deleted, when it has not ended: then another attempt may go on from them.
        """

    def overtaken_models(self, token: str) -> list[str]:
        """Forget the models that a better trial of the lease's study has overtaken, and say their paths, if the study
        keeps only its best trial's.
        """

    def finish_attempt(self, token: str, end: AttemptEnd, *, only_expired: bool = False) -> TrialRecord:
        """End the attempt, move its trial, keep the study's counters and best.

        `only_expired`: only if the lease has run out by the store's clock (the reaper's guard), else LeaseLost. A
        token whose attempt has ended already: the result is kept as the attempt's late evidence and LeaseLost raised,
        unless the end is the very one recorded, which returns the trial, or a score that can be adopted: its attempt
        was superseded, and nobody has leased the trial again. Then it is as if the score had come in time: what the
        lapse had counted is taken back.
        """

    def cancel_ticket(self, study_id: int, number: int, attempt: int, reason: str) -> TrialRecord:
        """A user's cancel of a ticket: CANCELLED, if the trial's next attempt is this one, or if this store leased it
        and it runs.

        A repeat returns the trial. Raises IllegalTransition when the ticket means nothing now, or the trial runs
        elsewhere.
        """

    def cancel_trial(self, study_id: int, number: int, reason: str) -> TrialRecord:
        """A user's cancel: CANCELLED from any open state; an open attempt ends `released`. Raises UnknownTrial,
        IllegalTransition.
        """

    # -- the reaper and the node ------------------------------------------------------------------------------------
    def expired(self, limit: int = 1000) -> list[OpenAttempt]:
        """Attempts whose lease ran out, oldest first. Whether they are given up is `celeriac.decide.lapsed`'s."""

    def reaper_look(self) -> tuple[datetime, ReaperLook | None]:
        """The store's now, and the reaper's last look; None: it never looked."""

    def keep_look(self, look: ReaperLook, last: ReaperLook | None) -> bool:
        """Keep the reaper's look in place of the `last` one; False, and nothing kept: another looked meanwhile."""

    def did(self, duty: str, every_s: float) -> None:
        """Note that the coordinator has done this duty now, and how often it does."""

    def duties(self) -> list[Duty]:
        """What the coordinator has ever done, by name."""

    def open_attempts_of(self, worker: str) -> list[OpenAttempt]:
        """Attempts that this worker holds now."""

    def own_attempts(self, worker: str) -> list[OpenAttempt]:
        """Those of them that a store of the same key leased: what a node gives back when it saw the worker die."""

    def unclaimed(self, studies: Sequence[int], older_than_s: float, limit: int = 1000) -> list[TrialRecord]:
        """QUEUED trials of these studies whose ticket, sent longer ago than that, may be lost; oldest first."""

    def touch_queued(self, trials: Sequence[tuple[int, int]]) -> list[TrialRecord]:
        """Set `queued_at` of these (study, number) to now where still QUEUED; returns those: their tickets go again."""

    # -- devices ----------------------------------------------------------------------------------------------------
    def put_devices(self, host: str, devices: Sequence[Device]) -> None:
        """Replace what is known of a host; `heartbeat_at` is set by the store."""

    def devices(self, *, alive: bool = False) -> list[Device]:
        """All devices, by host and uuid; only those that are alive (`Device.is_alive`), when asked for."""

    def let_go(self, study_id: int, numbers: Sequence[int], older_than_s: float) -> list[LetGo]:
        """Which of these trials, ended so long ago, have files that a host may delete.

        That is: checkpoints without a row, and logs that were pruned. Of a study that is not known nothing is said: its
        files may be another service's.
        """

    def put_aside(self, token: str, reason: str, for_s: float, *, study_only: bool) -> None:
        """Note that the slot which had this lease, open or ended, takes no trials for so long, or none of its study."""

    def has_other_slots(self, worker: str, gpus: float) -> bool:
        """Whether a live slot besides this one could run a trial that needs so many GPUs."""

    def wanted_slots(self, *, on_gpus: bool) -> float:
        """How many GPUs, or CPU slots, the open studies could use at once, those included that run: what an autoscaler
        asks for.
        """

    def put_asides(self) -> list[PutAside]:
        """The slots that take no trials now, or none of a study; by worker."""

    def slot_runs(self, since: datetime) -> list[SlotRun]:
        """What ran on the slots since then, by lease, of studies that have not ended before: for a person who looks."""

    # -- reading ----------------------------------------------------------------------------------------------------
    def trial(self, study_id: int, number: int) -> TrialRecord:
        """Raises UnknownTrial."""

    def trials(
        self, study_id: int, *, states: Sequence[TrialState] | None = None, after: int = -1, limit: int = 100
    ) -> list[TrialRecord]:
        """By number, from the one after `after`: a page, with their `rungs` and `oom_device_kinds`."""

    def attempts(self, study_id: int, number: int) -> list[Attempt]:
        """All attempts of a trial, first to last."""

    def attempts_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Attempt]]:
        """All attempts of each of these trials, first to last."""

    def reports_of(self, study_id: int, numbers: Sequence[int]) -> dict[int, list[Report]]:
        """What `reports` gives for each of these trials."""

    def reports(self, study_id: int, number: int, *, attempt: int | None = None) -> list[Report]:
        """Reports by step; all attempts' when `attempt` is None (a later attempt's value wins at the same step)."""

    def rung_records(
        self, study_id: int, *, after: tuple[int, int, int] = (-1, -1, 0), limit: int = 1000
    ) -> list[RungRecord]:
        """By bracket, rung and place, from the one after `after`: a page."""

    def rung_leaders(self, study_id: int, number: int, limit: int) -> list[RungRecord]:
        """A trial's record at the first rung where it was not among the kept; then the best of those that came there up
        to it, best first, of equals the earlier, at most `limit`. None where it was kept at all.
        """

    def savings(self, study_id: int) -> Savings:
        """What early stopping has spared so far. Reads all the study's ends: for a person who looks, not a turn."""

    def fault_counts(self, studies: Sequence[int]) -> dict[Fault, int]:
        """How many attempts of these studies' trials ended with a fault, by class, as the trials count them."""

    def codes(self, study_id: int) -> list[CodeRun]:
        """Which code the ended trials of a study ran, by their last attempts, in the order of first use. For a person
        who looks.
        """

    def checkpoints(self, study_id: int, number: int) -> list[Checkpoint]:
        """Newest first."""

    def log_tail(self, study_id: int, number: int, attempt: int) -> str:
        """What the attempt printed last, capped. Raises UnknownTrial."""

    # -- retention --------------------------------------------------------------------------------------------------
    def prune(self, study_id: int, before: datetime, *, reports: bool, logs: bool, limit: int = 5000) -> Pruned:
        """Drop up to `limit` reports, and log tails, of a study that closed before then: to be repeated until none is
        dropped.

        So no statement takes longer than others do, whatever the study's size; interrupted, it goes on where it was.
        Trials that are or were champions keep all, and so does a study that is not closed.
        """

    def forget_models(self, study_id: int, kept: Sequence[str]) -> int:
        """Forget the models of a study's trials, but for those of these paths; how many."""

    def old_checkpoints(
        self, study_id: int, before: datetime, *, after: tuple[int, int, int] = (-1, -1, -1), limit: int = 500
    ) -> list[Checkpoint]:
        """Checkpoints that `prune` may drop, by (trial, step, attempt) from the one after `after`: a page. Files are
        deleted first.
        """

    def prune_checkpoints(self, study_id: int, before: datetime, checkpoints: Sequence[Checkpoint]) -> int:
        """Drop the rows of such checkpoints, whose files are gone; how many."""
