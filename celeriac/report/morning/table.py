"""Many nights as one table: a row a night and slice, with what the gate saw on hold-out and what the night cost."""

from collections import Counter
from collections.abc import Iterator, Sequence

from celeriac.domain.records import FiringState
from celeriac.report.morning.night import Morning, SliceMorning, slice_text
from celeriac.report.words import counted

HEAD = ("night", "slice", "outcome", "default", "champion", "tonight", "gain (interval)", "pairs", "trials")
COST = ("spent", "saved")
NUMERIC = frozenset({"default", "champion", "tonight", "pairs", "trials", *COST})


def table_rows(mornings: Sequence[Morning]) -> list[tuple[str, ...]]:
    """A row for each slice of each night, under HEAD and COST. Hold-out means, device-hours."""
    return [(each.night, *_row(slice_)) for each in mornings for slice_ in each.slices]


def table_lines(mornings: Sequence[Morning]) -> Iterator[str]:
    """What the columns are, and all of it together."""
    slices = [slice_ for each in mornings for slice_ in each.slices]
    last = mornings[-1]
    what = f"default, champion, tonight: {last.metric} on hold-out ({last.goal})"
    yield f"{what}; of the two in the test, means over its pairs."
    yield "champion: the night before's; tonight: the challenger. gain: positive is better. spent, saved: device-hours."
    states = Counter(str(each.state) for each in slices)
    told = ", ".join(f"{states[each]} {each.lower()}" for each in map(str, FiringState) if each in states)
    used, saved = sum(each.used_s for each in slices), sum(each.saved_s or 0.0 for each in slices)
    trials = counted(sum(each.trials for each in mornings), "trial")
    hours = f"{_hours(used)} device-hours spent, {_hours(saved)} saved"
    yield f"{counted(len(mornings), 'night')}: {told}; {trials}, {hours}"


def _row(each: SliceMorning) -> tuple[str, ...]:
    test, holdout = each.test, each.holdout
    between = ""
    if test is not None and test.interval is not None:
        between = f" ({_even(test.interval[0], 2)} to {_even(test.interval[1], 2)})"
    return (
        slice_text(each.slice),
        str(each.state),
        _even(holdout.default, 4),
        _even(holdout.champion, 4),
        _even(holdout.challenger, 4),
        "-" if test is None else f"{_even(test.gain, 2)}{between}",
        "-" if test is None else str(test.pairs),
        str(sum(each.trials.values())),
        _hours(each.used_s),
        "-" if each.saved_s is None else _hours(each.saved_s),
    )


def _even(value: float | None, digits: int) -> str:
    """As `number`, with its last zeros, so that a column's numbers are alike."""
    return "-" if value is None else f"{value:#.{digits}g}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.3f}" if seconds < 36000 else f"{seconds / 3600:.1f}"
