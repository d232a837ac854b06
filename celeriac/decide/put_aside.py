"""Is a slot sick, so that it should take no trials for a while? Yes, after faults of infrastructure of several trials
in a row.

One trial that faults again and again says nothing about the slot. Several different ones do: a full disk, a broken
driver, a process that cannot be started. Without this rule such a slot would use up a whole study in seconds,
because it is always free first.
"""

from dataclasses import dataclass, replace

from celeriac.domain.records import Fault

FAULTS_IN_A_ROW = 3
FIRST_S = 10.0
FACTOR = 3.0
MOST_S = 600.0


@dataclass(frozen=True, slots=True)
class Streak:
    """What a slot has seen since its last trial that did not fault by infrastructure: (study, number) of those that
    did, and how often it was put aside.
    """

    trials: tuple[tuple[int, int], ...] = ()
    times: int = 0


@dataclass(frozen=True, slots=True)
class PutAsideDecision:
    """The streak from now on; `wait_s`: seconds for which the slot takes no trials (0: none), and why."""

    streak: Streak
    wait_s: float = 0.0
    reason: str = ""


def after_attempt(streak: Streak, trial: tuple[int, int], fault: Fault | None) -> PutAsideDecision:
    """Decide when an attempt has ended on the slot, with that fault or without one.

    After its wait the slot runs one trial as a probe: if that faults too, it waits three times as long, at most ten
    minutes.
    """
    if fault is Fault.PREEMPTED:  # somebody ended it: nothing was learned
        return PutAsideDecision(streak)
    if fault is not Fault.INFRASTRUCTURE:
        return PutAsideDecision(Streak())
    seen = streak.trials if trial in streak.trials else (*streak.trials, trial)
    if len(seen) < FAULTS_IN_A_ROW:
        return PutAsideDecision(replace(streak, trials=seen))
    wait_s = min(FIRST_S * FACTOR**streak.times, MOST_S)
    return PutAsideDecision(
        Streak(seen[-FAULTS_IN_A_ROW:], streak.times + 1),
        wait_s,
        f"{len(seen)} trials in a row ended here by faults of infrastructure: put aside for {wait_s:g} s, then one"
        " trial is tried",
    )
