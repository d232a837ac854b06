"""Do many studies get the same from one fleet? 35 studies on 30 slots, one-minute trials with a heavy tail, a wall
budget of half an hour.

Bars: the finished trials of any two studies differ by at most a factor 1.5; a study that opens in the middle has its
share of the slots within two mean trial lengths; at most slots + 2 x studies tickets are QUEUED at any moment.
"""

import random
from math import log
from typing import Any

from benchmarks.fleet.simulation import Fleet, postgres

SLOTS, STUDIES, WALL_S, MEAN_S = 30, 35, 1800.0, 60.0
#: Of a log-normal law: half of the trials take less than 36 s, one in a hundred more than six minutes.
SIGMA = 1.0


def lasts(study_id: int, number: int) -> float:
    """Virtual seconds of a trial."""
    return random.Random(f"{study_id} {number}").lognormvariate(log(MEAN_S) - SIGMA**2 / 2, SIGMA)


def measure() -> dict[str, Any]:
    """The shares of 35 studies, how long a newcomer waits for its own, and the most tickets that were QUEUED."""
    with postgres() as url:
        fleet = Fleet(url, SLOTS, lasts)
        most = 0

        def look() -> None:
            nonlocal most
            most = max(most, fleet.queued)

        budget = {"trials": 100_000, "wall": "30m"}
        studies = fleet.open_studies(*(f"fair-{k}" for k in range(STUDIES)), budget=budget)
        look()
        fleet.run(WALL_S / 2, look)
        (newcomer,) = fleet.open_studies("newcomer", budget=budget)
        opened_s = fleet.clock.passed_s
        shared_s = float("inf")

        def look_for_share() -> None:
            nonlocal shared_s
            look()
            if fleet.running(newcomer.id) >= max(SLOTS // (STUDIES + 1), 1):
                shared_s = min(shared_s, fleet.clock.passed_s - opened_s)

        fleet.run(WALL_S + 120, look_for_share)
        finished = sorted(fleet.store.study(study.id).counts.finished for study in studies)
        fleet.close()
    mean = sum(finished) / len(finished)
    return {
        "min_share": round(finished[0] / mean, 3),
        "max_share": round(finished[-1] / mean, 3),
        "finished": finished,
        "newcomer_s": round(shared_s, 1),
        "most_queued": most,
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    most = SLOTS + 2 * (STUDIES + 1)
    return [
        text
        for text, fails in (
            ("two studies differ by more than a factor 1.5", figures["max_share"] > 1.5 * figures["min_share"]),
            ("the newcomer waits longer than two trials for its share", figures["newcomer_s"] > 2 * MEAN_S),
            (f"more than {most} tickets are QUEUED at once", figures["most_queued"] > most),
        )
        if fails
    ]
