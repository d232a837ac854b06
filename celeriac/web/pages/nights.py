"""One night of a schedule: what it changed, why, how sure that is, what it cost. The figures are the command's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Path

from celeriac.domain.errors import CallerError
from celeriac.report.morning import Morning, SliceMorning, nights_of, read_morning
from celeriac.report.morning.lines import cost, of_slice, outcome
from celeriac.report.morning.night import slice_text
from celeriac.store import WebStore
from celeriac.web.dependencies import StoreDep
from celeriac.web.pages.drawing import ScheduleName, page, pages
from celeriac.web.pages.memory import Kept

router = pages()
#: Of a night that is over, whoever comes next sees what was read, until something moves.
_KEPT = Kept(600.0, 40)


@dataclass(frozen=True, slots=True)
class Bar:
    """A gain on the common scale of its night, as shares of the width; None where there was no test."""

    zero: float
    low: float
    high: float
    at: float


@dataclass(frozen=True, slots=True)
class SliceCard:
    """One slice, told in lines, with its bar."""

    name: str
    told: tuple[tuple[str, str], ...]
    bar: Bar | None
    of: SliceMorning
    studies: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NightPage:
    """A night, its neighbours, and its slices, those that changed or failed first."""

    morning: Morning
    outcome: str
    cost: str
    earlier: str | None
    later: str | None
    slices: tuple[SliceCard, ...]


@page(router, "/nights/{schedule}/{night}", "night.html")
def night(store: StoreDep, schedule: ScheduleName, night: Annotated[str, Path(max_length=200)]) -> NightPage:
    """The page of a night: read once as long as nothing of its schedule moves, since that reads much."""
    version = store.nights_version(schedule)
    found = _KEPT.get((store, schedule, night, version), lambda: _read(store, schedule, night))
    if not found.morning.is_over:
        _KEPT.drop((store, schedule, night, version))
    return found


def _read(store: WebStore, schedule: str, night: str) -> NightPage:
    found = read_morning(store, schedule, night)
    if found is None:
        raise CallerError(f"schedule {schedule} had no night yet")
    by_night = nights_of(store, store.schedule(schedule))
    nights = list(by_night)
    at, ids = nights.index(night), {each.name: each.id for each in by_night[night]}
    studies = store.stage_studies(list(ids.values()))
    bars = _bars(found.slices)
    order = ("PROMOTED", "FAILED", "MISSED")
    cards = [
        SliceCard(
            slice_text(each.slice),
            tuple((name, words) for name, words in of_slice(each) if words and name != "changed"),
            bars.get(slice_text(each.slice)),
            each,
            tuple((str(study.stage), study.name) for study in studies if study.firing_id == ids[each.firing]),
        )
        for each in found.slices
    ]
    cards.sort(key=lambda each: (order.index(each.of.state) if each.of.state in order else len(order), each.name))
    return NightPage(
        morning=found,
        outcome=outcome(found),
        cost=cost(found),
        earlier=nights[at + 1] if at + 1 < len(nights) else None,
        later=nights[at - 1] if at else None,
        slices=tuple(cards),
    )


def _bars(slices: Sequence[SliceMorning]) -> dict[str, Bar]:
    tests = {
        slice_text(each.slice): (each.test.gain, each.test.interval or (each.test.gain, each.test.gain))
        for each in slices
        if each.test is not None and each.test.gain is not None
    }
    ends = [0.0, *(end for gain, interval in tests.values() for end in (gain, *interval))]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(3 + 94 * (value - low) / span, 2)

    return {
        name: Bar(place(0.0), place(interval[0]), place(interval[1]), place(gain))
        for name, (gain, interval) in tests.items()
    }
