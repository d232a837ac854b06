"""Are nights exact whatever crashes? 40 slices over 30 nights on 8 slots, on a virtual clock (`nights.house`),
while programs are killed at calls of the store, the store is cut off, tickets are lost, doubled or refused, workers die
with their trials, and hooks fail after they did their work.

Bars: each firing and each promotion exactly once; every budget exact, in trials and in device-seconds; the longest mean
wait of a slice at most 1.5 times the mean, all slices having equal weight; each promotion's hook at least once, and
never told of another version than the one that was promoted.
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

from benchmarks.nights.audit import MANY, wrong_budget, wrong_deliveries, wrong_firings, wrong_promotions
from benchmarks.nights.crashing import Weather
from benchmarks.nights.house import DAY_S, DUE_S, NAME, NightHouse
from benchmarks.nights.virtual import BEGAN, virtual_postgres
from celeriac.decide.publication import place_of
from celeriac.domain.records import Firing, StudyRecord

SLICES, NIGHTS, SLOTS, SEED = 40, 30, 8, 1
WAIT_BAR = 1.5


def measure(slices: int = SLICES, nights: int = NIGHTS, seed: int = SEED) -> dict[str, Any]:
    """Run the nights, then count what the rows, the artefact root and the hooks say."""
    began = monotonic()
    with virtual_postgres() as url, TemporaryDirectory(prefix="celeriac-exact-") as home:
        weather = Weather(random.Random(seed))
        house = NightHouse(url, Path(home), weather, slices=slices, slots=SLOTS, seed=seed)
        try:
            for number in range(nights):
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
        *(text for study in studies for text in [*wrong_budget(house.real, study), *_wrong_seconds(house, study)]),
        *wrong_deliveries(house.real, NAME, house.artefacts, house.told, verdicts),
    ]
    return {
        "firings": dict(Counter(str(each.state) for each in made)),
        "trials": sum(study.counts.finished for study in studies),
        "promotions": sum(each.promoted for each in verdicts),
        "hooks": len(list(house.told.iterdir())),
        "wrong": wrong,
        **_waits(house, made, studies),
    }


def _wrong_seconds(house: NightHouse, study: StudyRecord) -> list[str]:
    """Each attempt is charged what its slot ran, once; a slot that died while it told may have told, or not."""
    found = house.real.attempts_of(study.id, range(study.next_number))
    return [
        f"{study.name}, trial {each.trial}: {each.device_s} device-seconds are charged, its slot ran {ran_s}"
        for attempts in found.values()
        for each in attempts
        if (ran_s := house.ran_s.get(each.token, 0.0)) != each.device_s
        and not (each.token in house.unsure and each.device_s == 0.0)
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
        ends.append(mean((each.entered_at - each.due_at).total_seconds() for each in nights))
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
    ratio = figures["end_s"]["ratio"]
    return [
        *figures["wrong"][:10],
        *([f"{len(figures['wrong']) - 10} more are wrong"] if len(figures["wrong"]) > 10 else []),
        *([f"the longest wait is {ratio} times the mean, {WAIT_BAR} at most"] if ratio > WAIT_BAR else []),
    ]
