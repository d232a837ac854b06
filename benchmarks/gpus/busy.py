"""How busy two slots are with short trials and with long ones. Bars: 97 % of the time with trials of 2 s, over five
minutes, and 99 % with trials of a minute.

A trial rests instead of computing, so that what is measured is the service's own gap, on whatever machine. The time
runs from the first objective's first line to the last line of the slot that ends first: after that the study has no
more trials for it.
"""

import time
from pathlib import Path
from typing import Any

from benchmarks.embedded import Embedded, embedded
from celeriac.client.busy import busy_slots
from celeriac.report.busy import together

SLOTS = 2
SECONDS = 300.0
BARS = {"2s": (2.0, 0.97), "60s": (60.0, 0.99)}
HEADLINES = ("busy_2s", "busy_60s")


def measure(seconds: float = SECONDS) -> dict[str, Any]:
    """The share of each length of trial, and what `celeriac status` says of the same time."""
    figures: dict[str, Any] = {"seconds": seconds}
    for name, (rest_s, _) in BARS.items():
        with embedded(slots=SLOTS) as stack:
            figures[f"busy_{name}"], figures[f"told_{name}"] = share(stack, rest_s, seconds)
    return figures


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    shares = {name: (figures[f"busy_{name}"], bar) for name, (_, bar) in BARS.items()}
    return [f"trials of {name}: {busy:.2%} busy, below {bar:.0%}" for name, (busy, bar) in shares.items() if busy < bar]


def share(stack: Embedded, rest_s: float, seconds: float) -> tuple[float, str]:
    """The busy share by the objectives' own clock, and in the service's words when the last trial ended."""
    client = stack.client()
    trials = SLOTS * max(round(seconds / rest_s), 2)
    study = client.submit(
        {
            "study": "busy",
            "objective": "idle:timed",
            "code": str(Path(__file__).parents[1] / "trained"),
            "metric": {"name": "x", "goal": "maximize"},
            "space": {"x": {"float": [0.0, 1.0]}, "rest": {"float": [rest_s, rest_s * 1.01]}},
            "budget": {"trials": trials},
        }
    )
    told = ""
    deadline = time.monotonic() + 2 * seconds + 60
    while study.record.counts.ended < trials - SLOTS:  # while there is work for both
        if time.monotonic() > deadline:
            raise TimeoutError(f"{study.record.counts.ended} of {trials} trials ended in {2 * seconds + 60:.0f} s")
        time.sleep(min(rest_s, 2.0))
        told = str(together(busy_slots(client.store).values()))
    study.wait(timeout=deadline - time.monotonic())
    times = times_by_slot(client.store.trials(study.record.id, limit=trials))
    client.close()
    return busy_share(times), told


def times_by_slot(trials: Any) -> dict[str, list[tuple[float, float]]]:
    """First and last line of each objective, by the slot that ran it."""
    found: dict[str, list[tuple[float, float]]] = {}
    for trial in trials:
        found.setdefault(trial.worker, []).append((float(trial.metrics["first"]), float(trial.metrics["last"])))
    return found


def busy_share(times: dict[str, list[tuple[float, float]]]) -> float:
    """Of the time in which every slot had work: from the first line of all to the last one of the slot that ends
    first.
    """
    start = min(first for each in times.values() for first, _ in each)
    end = min(max(last for _, last in each) for each in times.values())
    busy = sum(max(0.0, min(last, end) - first) for each in times.values() for first, last in each if first < end)
    return busy / (SLOTS * (end - start))
