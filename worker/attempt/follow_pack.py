"""Following the process of a pack: what each trial tells goes to its own attempt; what is said of all goes to all.

As `worker.attempt.follow`, whose functions do for each trial what they do for one that is alone.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Literal

from worker.attempt.classify import Cut
from worker.attempt.follow import MOST_UNWRITTEN, answer, hear_rungs, set_off, take_in
from worker.attempt.pack_run import PackRun
from worker.attempt.run_state import Run
from worker.attempt.wakeup import wait
from worker.process.events import Ended, Event, Failed, Noted, OfMember, Packed, Printed, Started
from worker.process.trial_process import TrialProcess


class Part:
    """One trial's part of the process: what is said to it, it alone hears."""

    def __init__(self, process: TrialProcess, number: int) -> None:
        self._process, self._number = process, number

    def send(self, word: Literal["stop"], /) -> None:
        """See `TrialProcess.stop_member`."""
        self._process.stop_member(self._number)

    def answer(self, step: int, /) -> None:
        """See `TrialProcess.answer_member`."""
        self._process.answer_member(self._number, step)


def follow_pack(pack: PackRun, conclude: Callable[[Run], None]) -> None:
    """Take in what the process tells until its last word, its end, or that of the last trial; `conclude` ends one."""
    context, process = pack.context, pack.process
    while process is not None and pack.open and not pack.over:
        watched = [process.fileno(), context.wakeup.fileno(), context.control.terminated_fd]
        if pack.hand_back_by == math.inf:
            watched.append(context.control.drain_fd)
        wait(watched, min(deadline_of(pack), pack.hand_back_by) - time.monotonic())
        context.wakeup.clear()
        take_all_in(pack, process.receive())
        process.hold(crowded(pack))
        for member in pack.open:
            hear_rungs(member)
            answer(member, Part(process, member.lease.number))
        conclude_told(pack, conclude)
        ask_back(pack, process)
        cut = None if pack.over or not pack.open else reason_to_cut(pack, time.monotonic())
        if cut is not None:
            pack.cut = cut
            pack.exit = process.kill(context.settings.kill_grace_s)
    if process is not None:
        take_all_in(pack, process.receive())
        conclude_told(pack, conclude)
        if not pack.open and not pack.over and all(each.last is None for each in pack.members):
            pack.exit = process.kill(context.settings.kill_grace_s)  # all were taken away: it trains for nobody


def deadline_of(pack: PackRun) -> float:
    """When the process takes too long: to import, to train, or to write a model."""
    return min((each.deadline for each in pack.open), default=math.inf) if pack.called else pack.deadline


def crowded(pack: PackRun) -> bool:
    """Whether some trial has more unwritten reports than are to be kept."""
    for member in pack.open:
        member.results.crowded = len(member.results.reports) >= MOST_UNWRITTEN
    return any(each.results.crowded for each in pack.open)


def take_all_in(pack: PackRun, events: Sequence[Event]) -> None:
    """Each event to the attempt that it is of, or to all that have not ended."""
    for event in events:
        match event:
            case OfMember():
                member = pack.member(event.number)
                if member in pack.open and not member.over:
                    take_in(member, [event.event])
            case Printed():
                for each in pack.open:
                    each.log.write(event.data)
            case Noted():
                for each in pack.open:
                    each.log.note(event.text)
            case Started():
                set_all_off(pack)
            case Failed():
                pack.last = event
            case Packed():
                pack.said_all = True
            case Ended():
                pack.exit = event.exit


def set_all_off(pack: PackRun) -> None:
    """The objective is called: the trials' own time begins."""
    pack.called = True
    pack.clock.begin(time.monotonic(), len(pack.open))
    for each in pack.open:
        set_off(each)


def conclude_told(pack: PackRun, conclude: Callable[[Run], None]) -> None:
    """End the trials that have told their last word, and those that are not this worker's any more."""
    for member in list(pack.open):
        if member.lost is not None:
            member.cut = Cut.LEASE_LOST
        elif member.results.refused is not None:
            member.cut = Cut.VALUE_REFUSED
        if member.last is not None or member.cut is not None:
            conclude(member)


def ask_back(pack: PackRun, process: TrialProcess) -> None:
    """Have the whole pack handed back: a drain is in a hurry; one trial that is asked for takes the others along."""
    context = pack.context
    if pack.hand_back_by == math.inf and context.control.draining():
        process.send("preempt")
        pack.hand_back_by = time.monotonic() + context.settings.checkpoint_grace_s
    why = next((each.kept.asked_back for each in pack.open if each.kept.asked_back), "")
    if why and not pack.asked_back:
        pack.asked_back = True
        for each in pack.open:
            each.log.note(f"asked to hand the pack back: {why}")
        process.send("preempt")


def reason_to_cut(pack: PackRun, now: float) -> Cut | None:
    """Why the process must end now, if it must."""
    control = pack.context.control
    if control.terminated and not control.draining():
        return Cut.REVOKED
    if control.terminated or now >= pack.hand_back_by:
        return Cut.DRAIN
    if now < deadline_of(pack):
        return None
    return Cut.TIMEOUT if pack.called else Cut.IMPORT
