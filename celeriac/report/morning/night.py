"""One night of a schedule as a value. Pure: rows in, a frozen `Morning` out.

A gain is positive where the new champion is better, whatever the goal. Durations of devices are device-seconds, from
the studies' rows; what a night saved is the mean cost of the slice's newest ten nights that searched in full, less
what this one cost.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from celeriac.decide.verdicts import near_miss, unanswered
from celeriac.domain.records import (
    WORKING,
    Champion,
    Delivery,
    DeliveryKind,
    Firing,
    FiringState,
    Params,
    Savings,
    Source,
    StudyRecord,
    StudyState,
    TrialRecord,
    VerdictKind,
)
from celeriac.domain.study_file import slice_name
from celeriac.report.words import number

#: Of so many nights, with this one, the looks at the champion are shown.
MOST_LOOKS = 30
_FULL_NIGHTS = 10
#: The kind of what waits for a person.
_PAUSED = "paused"
#: A champion's score that is worse than all before by so many times the noise of its looks is told of.
_FAR = 12.0


@dataclass(frozen=True, slots=True)
class SliceRows:
    """The rows of one slice's night.

    `studies`: of its stages. `faults`: of their trials' attempts, by class. `verdicts`: of the slice, newest first.
    `deliveries`: of the slice's promotions. `earlier`: the slice's firings before this one, newest first.
    `next_fired_at`: when the slice's next firing was made, where one was. `spared`: what early stopping spared the
    search. `runs`: tonight's run of the one that serves (the look), and the search's of the default, where scored.
    """

    firing: Firing
    studies: Sequence[StudyRecord] = ()
    faults: Mapping[str, int] = field(default_factory=dict)
    verdicts: Sequence[Champion] = ()
    deliveries: Sequence[Delivery] = ()
    earlier: Sequence[Firing] = ()
    deadline_at: datetime | None = None
    next_fired_at: datetime | None = None
    spared: Savings = field(default_factory=Savings)
    runs: Sequence[TrialRecord] = ()


@dataclass(frozen=True, slots=True)
class ServedChampion:
    """A champion as it serves: where it was found, since when, and whose decision that was."""

    id: int
    study: str
    trial: int | None
    params: Params
    since: datetime | None
    kind: str
    who: str


@dataclass(frozen=True, slots=True)
class Test:
    """What the gate measured: means over `pairs` pairs of the hold-out's mean (of the score, where there are no
    blocks). `before` and `after` are the two that were compared, whichever serves now.
    """

    pairs: int
    before: float
    after: float
    gain: float | None
    interval: tuple[float, float] | None
    p: float
    level: float
    covers_holdout: bool


@dataclass(frozen=True, slots=True)
class HoldOut:
    """The mean of tonight's hold-out (of the score, where there are no blocks) of the default, of the champion of the
    night before, and of tonight's challenger. Of those that were in the test over all its pairs, else of one run; None
    where none ran tonight.
    """

    default: float | None = None
    champion: float | None = None
    challenger: float | None = None


@dataclass(frozen=True, slots=True)
class NightLook:
    """How the one that serves scored on one night's data; after a promotion, how the new champion did."""

    due_at: datetime
    score: float
    promoted: bool


@dataclass(frozen=True, slots=True)
class SliceMorning:
    """What became of one slice. `deadline`: "" without one, or where it was over before the firing was made, else met,
    late, missed (never made), passed or ahead (it is still at it); `margin_s`: seconds that were left, negative where
    it was late. `saved_s`: None where no earlier night searched in full, so nobody knows. `trials`: finished ones, by
    stage.
    """

    slice: Mapping[str, Any]
    firing: str
    state: FiringState
    reason: str
    due_at: datetime
    ended_at: datetime | None
    before: ServedChampion | None
    after: ServedChampion | None
    changed: Mapping[str, tuple[Any, Any]]
    test: Test | None
    trials: Mapping[str, int]
    device_s: Mapping[str, float]
    saved_s: float | None
    spared: Savings
    faults: Mapping[str, int]
    deadline_at: datetime | None
    deadline: str
    margin_s: float | None
    looks: tuple[NightLook, ...]
    holdout: HoldOut

    @property
    def used_s(self) -> float:
        """Device-seconds of all its stages."""
        return sum(self.device_s.values())

    @property
    def is_over(self) -> bool:
        """Whether it has come to its end."""
        return self.state not in WORKING


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that a person should look at, and the command that shows it or answers it."""

    slice: Mapping[str, Any]
    kind: str
    what: str
    command: str


@dataclass(frozen=True, slots=True)
class Morning:
    """One night of a schedule. `to_come`: its slices that this night has not fired yet, and when they are due."""

    schedule: str
    night: str
    metric: str
    goal: str
    at: datetime
    is_over: bool
    slices: tuple[SliceMorning, ...]
    attention: tuple[Attention, ...]
    to_come: tuple[tuple[Mapping[str, Any], datetime], ...]
    states: Mapping[str, int]
    trials: int
    used_s: float
    saved_s: float
    faults: Mapping[str, int]

    @property
    def waits(self) -> int:
        """Slices that go on only when a person says so."""
        return sum(not each.is_over and self._is_paused(each) for each in self.slices)

    @property
    def goes_on(self) -> bool:
        """Whether anything of it is still to come by itself."""
        return bool(self.to_come) or any(not each.is_over and not self._is_paused(each) for each in self.slices)

    def _is_paused(self, of: SliceMorning) -> bool:
        return any(each.kind == _PAUSED and each.slice == of.slice for each in self.attention)


def morning_of(
    schedule: str,
    night: str,
    rows: Sequence[SliceRows],
    now: datetime,
    *,
    metric: str,
    goal: str,
    to_come: Sequence[tuple[Mapping[str, Any], datetime]] = (),
    deliveries: Sequence[Delivery] = (),
) -> Morning:
    """The morning after these slices' firings, by slice. `deliveries`: all of the schedule."""
    rows = sorted(rows, key=lambda each: each.firing.name)
    slices = tuple(_slice(each, now) for each in rows)
    faults: Counter[str] = Counter()
    for each in slices:
        faults.update(each.faults)
    return Morning(
        schedule=schedule,
        night=night,
        metric=metric,
        goal=goal,
        at=now,
        is_over=all(each.is_over for each in slices) and not to_come,
        slices=slices,
        attention=(
            *(note for row, found in zip(rows, slices, strict=True) for note in _attention(row, found, goal)),
            *_not_sent(schedule, deliveries),
        ),
        to_come=tuple(to_come),
        states=dict(Counter(str(each.state) for each in slices)),
        trials=sum(sum(each.trials.values()) for each in slices),
        used_s=sum(each.used_s for each in slices),
        saved_s=sum(each.saved_s or 0.0 for each in slices),
        faults=dict(faults),
    )


def slice_text(slice_: Mapping[str, Any]) -> str:
    """A slice as people write it: `airport=JFK`; "all" for the one empty slice."""
    return slice_name(slice_) or "all"


def _slice(rows: SliceRows, now: datetime) -> SliceMorning:
    firing = rows.firing
    before, after = _served(rows, firing.fired_at), _served(rows, rows.next_fired_at)
    deadline, margin_s = _deadline(rows, now)
    device_s = {str(study.stage): study.device_s for study in rows.studies}
    return SliceMorning(
        slice=firing.slice,
        firing=firing.name,
        state=firing.state,
        reason=firing.reason,
        due_at=firing.due_at,
        ended_at=None if firing.state in WORKING else firing.entered_at,
        before=before,
        after=after,
        changed=_changed(before, after),
        test=_test(rows),
        trials={str(study.stage): study.counts.finished for study in rows.studies},
        device_s=device_s,
        saved_s=_saved_s(rows, sum(device_s.values())),
        spared=rows.spared,
        faults=dict(rows.faults),
        deadline_at=rows.deadline_at,
        deadline=deadline,
        margin_s=margin_s,
        looks=tuple(_looks([*reversed(rows.earlier[: MOST_LOOKS - 1]), firing])),
        holdout=_holdout(rows),
    )


def _served(rows: SliceRows, at: datetime | None) -> ServedChampion | None:
    """Who was champion just before that moment; None: who is now."""
    for each in rows.verdicts:
        if each.promoted and (at is None or (each.decided_at is not None and each.decided_at < at)):
            return ServedChampion(
                each.id, each.study, each.trial, each.params, each.decided_at, str(each.kind), each.who
            )
    return None


def _changed(before: ServedChampion | None, after: ServedChampion | None) -> dict[str, tuple[Any, Any]]:
    """The parameters that differ, (before, after) each; None where one has no such parameter."""
    if after is None or before is None or before.id == after.id:
        return {}
    names = dict.fromkeys([*before.params, *after.params])
    pairs = {name: (before.params.get(name), after.params.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _test(rows: SliceRows) -> Test | None:
    """The night's own test, from its verdict."""
    evidence = _tested(rows)
    if evidence is None:
        return None
    said, pairs = evidence["gate"]["said"], evidence["gate"]["asked"]["pairs"]
    interval = said["interval"]
    return Test(
        pairs=len(pairs),
        before=_mean([_value(pair["champion"]) for pair in pairs]),
        after=_mean([_value(pair["challenger"]) for pair in pairs]),
        gain=said["gain"],
        interval=None if interval is None else (interval[0], interval[1]),
        p=said["p"],
        level=said["level"],
        covers_holdout=said["covers_holdout"],
    )


def _tested(rows: SliceRows) -> Mapping[str, Any] | None:
    """The evidence of the night's own verdict, where there was a test."""
    for each in rows.verdicts:
        gate = each.evidence.get("gate")
        if each.firing_id == rows.firing.id and each.kind is VerdictKind.NIGHT and gate and gate["asked"]["pairs"]:
            return each.evidence
    return None


def _holdout(rows: SliceRows) -> HoldOut:
    found = {each.source: _mean(each.holdout or [each.score or 0.0]) for each in rows.runs}
    test, evidence = _test(rows), _tested(rows)
    if test is not None and evidence is not None:
        found[Source(evidence["challenge"]["incumbent"]["source"])] = test.before
    after = None if test is None else test.after
    return HoldOut(found.get(Source.DEFAULT), found.get(Source.CHAMPION), after)


def _value(run: Mapping[str, Any]) -> float:
    return _mean(run["holdout"] or [run["score"]])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _saved_s(rows: SliceRows, used_s: float) -> float | None:
    """What a full night would have cost more; 0 where the night was one, or made nothing."""
    if rows.firing.state in (*WORKING, FiringState.FAILED, FiringState.MISSED) or _is_full(rows.firing):
        return 0.0
    full = [cost for cost in (_told(each, "device_s") for each in rows.earlier if _is_full(each)) if cost]
    return max(0.0, _mean(full[:_FULL_NIGHTS]) - used_s) if full else None


def _is_full(firing: Firing) -> bool:
    """Whether a night searched with all of its budget."""
    searched = any(step["state"] == FiringState.SEARCHING for step in firing.steps)
    return searched and (_told(firing, "pays") or {}).get("action", "full") == "full"


def _told(firing: Firing, key: str) -> Any:
    """What the newest step that says something of it says."""
    return next((step[key] for step in reversed(firing.steps) if key in step), None)


def _deadline(rows: SliceRows, now: datetime) -> tuple[str, float | None]:
    if rows.deadline_at is None or (
        rows.firing.fired_at > rows.deadline_at and rows.firing.state is not FiringState.MISSED
    ):
        return "", None  # a night that was made up for later never had one
    is_open = rows.firing.state in WORKING
    margin_s = (rows.deadline_at - (now if is_open else rows.firing.entered_at)).total_seconds()
    if rows.firing.state is FiringState.MISSED:
        return "missed", None
    if is_open:
        return ("ahead" if margin_s >= 0 else "passed"), margin_s
    return ("met" if margin_s >= 0 else "late"), margin_s


def _looks(firings: Sequence[Firing]) -> list[NightLook]:
    """Oldest first."""
    found = []
    for each in firings:
        promoted, after, look = each.state is FiringState.PROMOTED, _told(each, "after"), _told(each, "look")
        score = after if promoted and after is not None else (look or {}).get("score")
        if score is not None:
            found.append(NightLook(each.due_at, score, promoted))
    return found


def _attention(rows: SliceRows, found: SliceMorning, goal: str) -> list[Attention]:
    """What a person should look at, the worst first."""
    firing, standing = rows.firing, next((each for each in rows.verdicts if each.promoted), None)
    schedule, named = firing.schedule, slice_text(firing.slice) if firing.slice else ""
    show = f"celeriac schedule show {schedule}" + (f" --slice {named}" if named else "")
    of_slice = f"{schedule} {named}".strip()
    notes: list[tuple[str, str, str]] = []
    if firing.state in (FiringState.FAILED, FiringState.MISSED):
        notes.append((str(firing.state).lower(), firing.reason or "no reason was noted", show))
    for study in rows.studies:
        if study.state is StudyState.PAUSED:
            notes.append((_PAUSED, f"{study.name}: {study.reason}", f"celeriac resume {study.name}"))
    if found.deadline in ("late", "passed"):
        still = "" if found.is_over else ", and it is still at it"
        notes.append(("deadline", f"{abs(found.margin_s or 0.0) / 60:.0f} minutes behind its deadline{still}", show))
    waits = unanswered(rows.verdicts)
    fell = _fell(rows, found, goal)
    if fell and waits is None:
        notes.append(("fell", fell, show))
    if waits is not None:
        what = f"trial {waits.trial} of {waits.study} waits for approval: {waits.reason}"
        notes.append(("approval", what, f"celeriac approve {of_slice}"))
    near = near_miss(rows.verdicts, None if standing is None else standing.id)
    if near is not None and waits is None:
        what = f"trial {near.trial} of {near.study} was a near miss; its evidence counts on the next night"
        notes.append(("contender", what, f"celeriac champions {schedule} --history"))
    for each in rows.deliveries:
        if each.done_at is None and each.tries:
            word = "published" if each.kind is DeliveryKind.PUBLISH else "through its hook"
            what = f"promotion {each.promotion} is not {word} after {each.tries} tries: {each.detail or 'under way'}"
            notes.append((str(each.kind), what, f"celeriac champion {of_slice}"))
    return [Attention(firing.slice, *note) for note in notes]


def _fell(rows: SliceRows, found: SliceMorning, goal: str) -> str:
    """That whoever serves after this night is far worse than on any night before, by the noise of looks as it was known
    before; "" else. A night may promote what is better under a bug that makes all worse.
    """
    scores = [each.score for each in found.looks]
    noise = next((pays["noise"] for pays in (_told(each, "pays") for each in rows.earlier) if pays), None)
    if len(scores) < 2 or not noise or not found.is_over:
        return ""
    *earlier, tonight = scores
    worst = max(earlier) if goal == "minimize" else min(earlier)
    if abs(tonight - worst) < _FAR * noise or (tonight > worst) != (goal == "minimize"):
        return ""
    who = "the new champion" if rows.firing.state is FiringState.PROMOTED else "the champion"
    return (
        f"{who} scores {number(tonight)}, and {number(worst)} was the worst before: have the data or the code changed?"
    )


def _not_sent(schedule: str, deliveries: Sequence[Delivery]) -> list[Attention]:
    """The mornings that have not reached those whom the schedule tells."""
    return [
        Attention(
            {},
            str(each.kind),
            f"the morning of {each.night} is not sent after {each.tries} tries: {each.detail}",
            f"celeriac schedule show {schedule}",
        )
        for each in deliveries
        if each.kind is DeliveryKind.MORNING and each.done_at is None and each.detail
    ]
