"""What should a study's next turn do? Start the study, queue trials, ask for suggestions, pause it, close it, or wait.

Promises: open and finished trials together never exceed the budget, so a study ends with exactly `budget.trials`
finished trials. A slot that ends a trial finds the next ticket waiting. Nothing here reads a clock or a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.decide.buffer import Sampling, depth, lone, stale
from celeriac.decide.pack import leaders
from celeriac.decide.share import Share
from celeriac.decide.stop_study import reason_to_end
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import CLOSED, GIVEN, EndedTrial, Fault, Snapshot, StudyRecord, StudyState, TrialRecord
from celeriac.domain.stop_rules import StopStudy

BUGS_IN_A_ROW = 3
#: While slots wait, tickets go out between portions; behind them, one model serves as many as this.
MOST_WANTED = 8
MOST_BUFFERED = 32


SAMPLING = Sampling()


@dataclass(frozen=True, slots=True)
class Limits:
    """What the study's file limits: finished trials, exactly; seconds since its first lease but for pauses, at most;
    and what ends it before (None: no limit). `in_order`: each trial is suggested when the one before has ended, so that
    its suggestion depends on nobody's speed. `pack`: so many trials share a slot at most, and a ticket is for all.
    `population`: so many are open at once, at most: who comes next follows from who ends.
    """

    trials: int
    wall_s: float | None = None
    stop: StopStudy | None = None
    in_order: bool = False
    pack: int = 0
    population: int | None = None


@dataclass(frozen=True, slots=True)
class NextDecision:
    """One step of a turn: at most one of `event`, `queue`, `replace` and `add` is set; none of them means to wait.

    `replace`: the numbers of waiting trials, the study's newest, that get other parameters. The shell carries the step
    out, takes a new snapshot, and asks again, until it is told to wait.
    """

    reason: str
    event: StudyEvent | None = None
    queue: tuple[int, ...] = ()
    replace: tuple[int, ...] = ()
    add: int = 0


def what_next(
    snapshot: Snapshot,
    limits: Limits,
    slots: int,
    sampling: Sampling = SAMPLING,
    *,
    share: Share | None = None,
    exhausted: str = "",
    newest: Sequence[TrialRecord] = (),
    used_up: str = "",
) -> NextDecision:
    """Decide one step. `slots`: live ones that may run this study; `exhausted`: why the sampler has nothing left, if
    so.

    `share`: the study's part of the fleet (`celeriac.decide.share`); None: it has all slots to itself. `newest`: the
    trials with the highest numbers, where `limits.stop` asks for them (`celeriac.decide.stop_study.newest_needed`).
    `used_up`: why no device time is left, if so (`celeriac.decide.device_budget`).
    """
    study = snapshot.study
    if study.state in CLOSED:
        return NextDecision(f"{study.name} is {study.state}: {study.reason}")
    if study.counts.finished >= limits.trials:
        all_of_them = "its one trial is" if limits.trials == 1 else f"all {limits.trials} trials are"
        return NextDecision(f"{all_of_them} finished", event=StudyEvent.FINISH)
    if study.state is StudyState.OPEN:
        return NextDecision("started", event=StudyEvent.START)
    if study.state is StudyState.PAUSED:
        return NextDecision(f"{study.name} is paused: {study.reason}")
    if study.stage in GIVEN:
        exhausted = "no more points are given"
    if used_up:
        return NextDecision(used_up, event=StudyEvent.FINISH)
    closing = _closing(snapshot, limits, exhausted, newest)
    if closing is not None:
        return closing
    return _filling(snapshot, limits, slots, share or lone(study, slots, limits.pack), sampling, exhausted)


def _closing(snapshot: Snapshot, limits: Limits, exhausted: str, newest: Sequence[TrialRecord]) -> NextDecision | None:
    """The reasons for which a running study pauses or ends before its budget of trials is used up.

    A reason counts the finished trials only where none is open: of those that run, some still end well while they are
    cancelled.
    """
    study = snapshot.study
    if limits.wall_s is not None and study.worked_s(snapshot.now) >= limits.wall_s:
        return NextDecision(f"wall budget of {duration(limits.wall_s)} is used up", event=StudyEvent.FINISH)
    stops = limits.stop is not None and study.reopened_at is None  # a person wanted more than it allowed
    won = "" if limits.stop is None or not stops else reason_to_end(limits.stop, study, newest)
    if won:
        return NextDecision(won, event=StudyEvent.FINISH)
    # What is given is few and comes to an end: whoever gave it decides what its faults mean.
    bug = "" if study.stage in GIVEN else _same_bug(study, snapshot.last_ended)
    if bug:
        return NextDecision(bug, event=StudyEvent.PAUSE)
    if exhausted and not study.counts.open:
        reason = f"{exhausted}: {study.counts.finished} of {limits.trials} trials finished"
        return NextDecision(reason, event=StudyEvent.FINISH)
    return None


def _filling(
    snapshot: Snapshot, limits: Limits, slots: int, share: Share, sampling: Sampling, exhausted: str
) -> NextDecision:
    """Tickets that slots wait for; stale suggestions anew; the other tickets; then suggestions.

    Those that a slot could take at once come before the buffer.
    """
    counts, wants = snapshot.study.counts, depth(snapshot.study, slots, share, limits.pack)
    if share.own:
        return NextDecision(f"{len(share.own)} tickets for kinds of devices that were not too small", queue=share.own)
    ready = tuple(number for number in snapshot.ready if number not in share.barred)
    old = stale(snapshot, min(slots, share.slots), sampling)
    room, size = max(wants.tickets - counts.queued, 0), max(limits.pack, 1)
    fresh = [number for number in ready if number not in old.numbers]
    left = limits.trials - counts.finished - counts.open
    whole = left > 0 and not exhausted  # more are to come: no pack starts before it is full
    behind, now = counts.queued, wants.now
    queue = leaders(ready, now, size, behind, whole=whole) or leaders(fresh, room, size, behind, whole=whole)
    if queue:
        return NextDecision(f"{len(queue)} tickets for {slots} slots", queue=queue)
    if old.numbers:
        return NextDecision(old.reason, replace=old.numbers)
    if left <= 0:
        return NextDecision(f"the last {counts.open} trials of {limits.trials} are under way")
    if exhausted:
        return NextDecision(f"{exhausted}; {counts.open} trials are under way")
    if limits.population is not None:
        left = min(left, limits.population - counts.open)
        if left <= 0:
            return NextDecision(f"the population of {limits.population} is under way")
    if limits.in_order:
        said = f"{counts.open} trials are under way, and the next is suggested when they have ended"
        return NextDecision(said) if counts.open else NextDecision("the next in order", add=1)
    if wants.now:  # and nothing is ready
        wanted = min(wants.now * size - len(ready), left, max(MOST_WANTED, size - len(ready)))
        return NextDecision("slots want suggestions", add=max(wanted, 1))
    missing = wants.tickets + wants.waiting - counts.queued - counts.waiting - counts.paused + len(share.barred)
    if missing > 0:
        return NextDecision("the buffer is not full", add=min(missing, left, MOST_BUFFERED))
    if not slots:
        return NextDecision("no live slot can run this study; its first trials are queued")
    return NextDecision(f"{counts.running} running, {counts.queued} queued, {counts.waiting} waiting")


def _same_bug(study: StudyRecord, last_ended: Sequence[EndedTrial]) -> str:
    """The reason to pause when the newest trials, since a person last resumed the study, all failed by one bug; else
    "".
    """
    newest = last_ended[:BUGS_IN_A_ROW]
    if len(newest) < BUGS_IN_A_ROW or not newest[0].signature:
        return ""
    if any(t.fault is not Fault.USER_BUG or t.signature != newest[0].signature for t in newest):
        return ""
    resumed_at = study.resumed_at
    if resumed_at is not None and any(t.ended_at <= resumed_at for t in newest):
        return ""
    numbers = ", ".join(str(t.number) for t in sorted(newest, key=lambda t: t.number))
    return (
        f"trials {numbers} failed one after the other by the same bug ({newest[0].detail or newest[0].signature}): "
        f"mend the objective (`celeriac logs {study.name} {newest[0].number}`), then `celeriac resume {study.name}`"
    )


def duration(seconds: float) -> str:
    """Seconds as a study file writes them: 90 is 90s, 1800 is 30m."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"
