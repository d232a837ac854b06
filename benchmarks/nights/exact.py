"""Are nights exact whatever crashes? 40 slices over 30 nights on 8 slots, on a virtual clock (`nights.house`),
while programs are killed at calls of the store, the store is cut off, tickets are lost, doubled or refused, workers die
with their trials, and hooks fail after they did their work.

Bars: each firing and each promotion exactly once; every budget exact, in trials and in device-seconds; every deadline
met, or announced as missed before it passed; the longest mean wait of a slice at most 1.5 times the mean while all have
equal weight, until its night's end and until its first trial; each promotion's hook at least once, and never told of
another version than the one that was promoted. In the last third of the nights every fourth slice has a larger weight,
and is done sooner.
"""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from benchmarks.nights.audit import (
    MANY,
    announced,
    wrong_budget,
    wrong_deadlines,
    wrong_deliveries,
    wrong_firings,
    wrong_promotions,
)
from benchmarks.nights.crashing import Weather
from benchmarks.nights.house import DAY_S, DEADLINE_S, DUE_S, HEAVY, NAME, NightHouse
from benchmarks.nights.virtual import BEGAN, virtual_postgres
from celeriac.decide.publication import place_of
from celeriac.domain.records import Firing, StudyRecord
from celeriac.domain.study_file import slice_name

SLICES, NIGHTS, SLOTS, SEED = 40, 30, 8, 1
WAIT_BAR = 1.5
#: The virtual clock counts microseconds, one a look.
ROUNDING_S = 0.01


def measure(slices: int = SLICES, nights: int = NIGHTS, seed: int = SEED) -> dict[str, Any]:
    """Run the nights, then count what the rows, the artefact root and the hooks say."""
    began = monotonic()
    with virtual_postgres() as url, TemporaryDirectory(prefix="celeriac-exact-") as home:
        weather = Weather(random.Random(seed))
        house = NightHouse(url, Path(home), weather, slices=slices, slots=SLOTS, seed=seed)
        try:
            for number in range(nights):
                if number == with_weights(nights):
                    house.give_weights(HEAVY)
                house.night(number)
                print(f"night {number + 1} of {nights}: {monotonic() - began:.0f} s", flush=True)
            found = audit(house, nights)
        finally:
            house.close()
    return {
        "slices": slices,
        "nights": nights,
        **found,
        "struck": dict(weather.done),
        "took_s": round(monotonic() - began),
    }


def with_weights(nights: int) -> int:
    """The first night in which slices have unequal weights."""
    return nights - nights // 3


def audit(house: NightHouse, nights: int) -> dict[str, Any]:
    """What came of it. `wrong` names each thing that is not as promised; all else is counted."""
    made = house.real.firings(NAME, limit=MANY)
    verdicts = house.real.verdicts(NAME, limit=MANY)
    studies = house.real.stage_studies([each.id for each in made])
    names = [place_of("", each) for each in house.real.schedule(NAME).slices]
    wanted = {(name, BEGAN + timedelta(seconds=DAY_S * k + DUE_S)) for name in names for k in range(nights)}
    wrong = [
        *wrong_firings(made, studies, wanted),
        *wrong_promotions(made, verdicts),
        *wrong_deadlines(made, DEADLINE_S),
        *(text for study in studies for text in [*wrong_budget(house.real, study), *_wrong_seconds(house, study)]),
        *wrong_deliveries(house.real, NAME, house.artefacts, house.told, verdicts),
    ]
    weighed_at = BEGAN + timedelta(seconds=DAY_S * with_weights(nights))
    equal, unequal = ([each for each in made if (each.due_at < weighed_at) is so] for so in (True, False))
    return {
        "firings": dict(Counter(str(each.state) for each in made)),
        "trials": sum(study.counts.finished for study in studies),
        "promotions": sum(each.promoted for each in verdicts),
        "hooks": len(list(house.told.iterdir())),
        "wrong": wrong,
        **_waits(house, equal, studies),
        "deadlines": _deadlines(made),
        "weights": _by_weight(house, unequal),
    }


def _deadlines(made: Sequence[Firing]) -> dict[str, int]:
    """How many were met and missed, and of each how many were announced as missed."""
    missed = [each for each in made if _end_s(each) > DEADLINE_S]
    told = [each for each in made if announced(each)]
    false = [each for each in told if _end_s(each) <= DEADLINE_S]
    met = len(made) - len(missed)
    return {"met": met, "missed": len(missed), "announced": len(told), "announced_and_met": len(false)}


def _by_weight(house: NightHouse, made: Sequence[Firing]) -> dict[str, int]:
    """The mean seconds until a night's end, of slices with the larger weight and of the others."""
    of = {True: [], False: []}  # type: dict[bool, list[float]]
    for each in made:
        of[slice_name(each.slice) in house.heavy].append(_end_s(each))
    return {"heavy_end_s": round(mean(of[True])), "light_end_s": round(mean(of[False]))} if all(of.values()) else {}


def _end_s(firing: Firing) -> float:
    return (firing.entered_at - firing.due_at).total_seconds()


def _wrong_seconds(house: NightHouse, study: StudyRecord) -> list[str]:
    """Each attempt is charged what its slot ran, once, or ran until it was last heard of; a slot that died while it
    told may have told, or not.
    """
    found = house.real.attempts_of(study.id, range(study.next_number))
    return [
        f"{study.name}, trial {each.trial}: {each.device_s} device-seconds are charged, its slot ran {ran_s}"
        for attempts in found.values()
        for each in attempts
        if abs((ran_s := house.ran_s.get(each.token, 0.0)) - each.device_s) > ROUNDING_S
        and not (each.token in house.unsure and each.device_s <= ROUNDING_S)
    ]


def _waits(house: NightHouse, made: Sequence[Firing], studies: Sequence[StudyRecord]) -> dict[str, Any]:
    """Seconds from the due time to the night's end, and to its first trial: each slice's mean over the nights."""
    first = {}
    for study in reversed(studies):
        first[study.firing_id] = house.started_s[study.id]
    slices = sorted({str(each.slice) for each in made})
    ends, starts = [], []
    for key in slices:
        nights = [each for each in made if str(each.slice) == key]
        ends.append(mean(_end_s(each) for each in nights))
        starts.append(mean(first[each.id] - (each.due_at - BEGAN).total_seconds() for each in nights))
    return {
        "end_s": {"mean": round(mean(ends)), "longest": round(max(ends)), "ratio": round(max(ends) / mean(ends), 3)},
        "start_s": {
            "mean": round(mean(starts)),
            "longest": round(max(starts)),
            "ratio": round(max(starts) / mean(starts), 3),
        },
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    waits = {"its night's end": figures["end_s"]["ratio"], "its first trial": figures["start_s"]["ratio"]}
    weights = figures.get("weights") or {"heavy_end_s": 0, "light_end_s": 0}
    return [
        *figures["wrong"][:10],
        *([f"{len(figures['wrong']) - 10} more are wrong"] if len(figures["wrong"]) > 10 else []),
        *(
            f"the longest wait until {what} is {ratio} times the mean, {WAIT_BAR} at most"
            for what, ratio in waits.items()
            if ratio > WAIT_BAR
        ),
        *(["larger weights are of no use"] if weights["heavy_end_s"] > weights["light_end_s"] else []),
    ]
