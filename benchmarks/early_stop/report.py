"""What the studies say: a row a stopper with its spread over seeds, and the bar. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from benchmarks.early_stop.clock import Outcome

EPOCHS_AT_MOST = 1 / 3
ERRORS_AT_MOST = 1.0
BASE, JUDGED = "none", "asha"


@dataclass(frozen=True)
class Row:
    """One stopper over all seeds. Shares are of what no stopping costs; `lost` is what its score misses on the same
    seeds, `lost_last` the same by the last epochs instead of the best ones.
    """

    name: str
    score: float
    score_error: float
    lost: float
    lost_error: float
    lost_last: float
    test: float
    as_good: int
    seeds: int
    finished: float
    epochs: float
    device_s: float
    wall_s: float


def rows_of(outcomes: Mapping[str, Sequence[Outcome]]) -> list[Row]:
    """A row for each stopper; its outcomes are in the order of the seeds."""
    base = outcomes[BASE]
    return [_row(name, found, base) for name, found in outcomes.items()]


def _row(name: str, found: Sequence[Outcome], base: Sequence[Outcome]) -> Row:
    lost = [full.score - each.score for full, each in zip(base, found, strict=True)]
    return Row(
        name=name,
        score=fmean(each.score for each in found),
        score_error=_error([each.score for each in found]),
        lost=fmean(lost),
        lost_error=_error(lost),
        lost_last=fmean(full.last - each.last for full, each in zip(base, found, strict=True)),
        test=fmean(each.test for each in found),
        as_good=sum(each <= 0 for each in lost),
        seeds=len(found),
        finished=fmean(each.finished for each in found),
        epochs=sum(each.epochs for each in found) / sum(each.epochs for each in base),
        device_s=sum(each.device_s for each in found) / sum(each.device_s for each in base),
        wall_s=sum(each.wall_s for each in found) / sum(each.wall_s for each in base),
    )


def _error(values: Sequence[float]) -> float:
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else float("nan")


def missed(rows: Sequence[Row]) -> list[str]:
    """What the bar asks and `asha` did not reach; empty when it is met."""
    by_name = {row.name: row for row in rows}
    ours, allowed = by_name[JUDGED], ERRORS_AT_MOST * by_name[BASE].score_error
    found = []
    if ours.lost > allowed:
        found.append(f"{JUDGED} ends {ours.lost:.5f} below no stopping, more than its standard error of {allowed:.5f}")
    if ours.epochs > EPOCHS_AT_MOST:
        found.append(f"{JUDGED} trained {ours.epochs:.0%} of the epochs, more than a third")
    return found


def table(rows: Sequence[Row], *, trials: int, epochs: int) -> str:
    """A table in Markdown."""
    head = (
        "| stopper | final score | lost | lost by last epochs | test | as good | trained to the end "
        "| epochs | device time | wall time |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        kind, _, least = row.name.partition(":")
        name = kind if kind in (BASE, "median") else f"{kind}, from {least or epochs // 9}"
        lines.append(
            f"| {name} | {row.score:.4f} ± {row.score_error:.4f} | {row.lost:.4f} ± {row.lost_error:.4f} |"
            f" {row.lost_last:.4f} | {row.test:.4f} | {row.as_good}/{row.seeds} | {row.finished:.1f} of {trials} |"
            f" {row.epochs:.0%} | {row.device_s:.0%} | {row.wall_s:.0%} |"
        )
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    """By stopper."""
    return {row.name: {key: value for key, value in asdict(row).items() if key != "name"} for row in rows}
