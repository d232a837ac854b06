"""What does a gang do next: begin, wait, or give up? Is its round over, and by whose fault? May it grow?

A round begins when as many slots came as the trial takes, or the least after a wait. It ends with the first member that
is lost: a process that was killed, a worker that was given back or was silent for a whole lease. Where a member's
script fails, the others' connections break and their scripts fail too: whose fault it was is decided when the fate of
all is known.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from celeriac.domain.records import Fault, Member, Round, RunningGang

#: A membership, and how often it is renewed. Shorter than a trial's lease: the others' devices stand idle meanwhile.
LEASE_S = 10.0
BEAT_S = 1.0
#: For so long the least wait for more, and too few wait for the least; then their trial waits in the buffer.
MORE_S = 5.0
#: The same after a round before: those that are left have all they need, and who comes later joins at a checkpoint.
MORE_AGAIN_S = 2.0
PATIENCE_S = 30.0
AGAIN_S = 10.0
#: So long after a failure a member's worker has told it, if its process had died before.
SETTLED_S = 3.0
#: A round is left alone for so long before it may make room for more.
GROW_AFTER_S = 10.0

#: What a member says whose process group did not come to be, as of a partner that failed meanwhile.
NOT_MET = "did not meet the others"
#: What a script says whose connection to another member broke: the fault is likely to be the other's.
_SECOND_HAND = re.compile(
    r"closed by peer|reset by peer|broken pipe|connection (was )?(closed|refused|reset|lost)|socket|gloo|nccl|"
    r"process ?group|TCPStore|timed out|did not meet",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class GatherDecision:
    """Whether the round begins now, or the gang is given up; both: given up, if it may not begin; neither: its members
    wait.
    """

    begin: bool
    give_up: bool
    reason: str


@dataclass(frozen=True, slots=True)
class BlameDecision:
    """By whose fault the round is over. `settled`: it is known. `member`: whose; None: rank 0's own."""

    settled: bool
    reason: str
    member: Member | None = None
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class GrowDecision:
    """The round that is to end at its next checkpoint, so that more slots can join, and why."""

    gang: RunningGang
    reason: str


def gather(gang: Round, least: int, most: int, *, again: bool = False) -> GatherDecision:
    """Decide for a gang whose round has not begun, as one of its members sees it. `again`: after a round before."""
    more_s = MORE_AGAIN_S if again else MORE_S
    here = sum(not (each.ended or each.lapsed or each.leaving) and each.rank is None for each in gang.members)
    if here >= least and gang.waited_s >= PATIENCE_S:
        return GatherDecision(True, True, "its gang was complete, but as many trials run as `parallel` allows")
    if here >= most:
        return GatherDecision(True, False, f"all {most} slots are there")
    if here >= least and gang.waited_s >= more_s:
        return GatherDecision(True, False, f"{here} of at most {most} slots came in {more_s:g} s")
    if here < least and gang.waited_s >= PATIENCE_S:
        reason = f"its gang was not complete: {here} of at least {least} slots came in {PATIENCE_S:g} s"
        return GatherDecision(False, True, reason)
    return GatherDecision(False, False, f"{here} of {least} to {most} slots are there")


def lost(gang: Round, answering_s: float) -> Member | None:
    """The member by whose loss or fault the round is over, as rank 0 sees it; None: it goes on.

    `answering_s`: for how long the store has answered rank 0 without a gap. A store that was away finds memberships
    lapsed although their workers are healthy, so a silence counts only after a whole lease of answers.
    """
    for each in gang.members:
        if each.rank in (None, 0):
            continue
        if each.ended and each.fault is not None:
            return each
        if each.lapsed and not each.ended and answering_s >= LEASE_S:
            return each
    return None


def incomplete(gang: Round) -> bool:
    """Whether somebody left between the count and the start of the round: it has fewer members than its world."""
    return sum(each.rank is not None for each in gang.members) < gang.world


def blame(gang: Round, own: Fault | None, detail: str, *, since_s: float, answering_s: float) -> BlameDecision:
    """Whose fault ended the round. `own` and `detail`: rank 0's own fault, if it has one; `since_s`: seconds since the
    first fault was seen.
    """
    others = [each for each in gang.members if each.rank not in (None, 0)]
    gone = [each for each in others if _is_lost(each, answering_s)]
    if gone:
        return BlameDecision(True, described(gone[0]), gone[0], gone[0].fault or Fault.INFRASTRUCTURE)
    if any(not each.ended and since_s - each.silent_s < SETTLED_S for each in others):
        return BlameDecision(False, "not every member has been heard of since")
    told: list[tuple[Fault, str, Member | None]] = [(own, detail, None)] if own is not None else []
    told += [(each.fault, each.detail, each) for each in others if each.fault is not None]
    if not told:
        return BlameDecision(True, "a member never took its place", None, Fault.INFRASTRUCTURE)
    fault, _, member = min(told, key=_how_far)
    return BlameDecision(True, "rank 0" if member is None else described(member), member, fault)


def _how_far(told: tuple[Fault, str, Member | None]) -> tuple[bool, bool, bool]:
    """How far a fault is from being the first: the least is to blame. Where all read like those of scripts whose
    partner is gone, no script is.
    """
    fault, detail, _ = told
    return fault is not Fault.OUT_OF_MEMORY, is_second_hand(detail), fault is not Fault.INFRASTRUCTURE


def _is_lost(member: Member, answering_s: float) -> bool:
    """Whether it is gone by no fault of its script's. One that did not meet a partner, who had failed, is not."""
    if member.ended:
        return member.fault in (Fault.INFRASTRUCTURE, Fault.PREEMPTED) and NOT_MET not in member.detail
    return member.lapsed and answering_s >= LEASE_S


def is_second_hand(detail: str) -> bool:
    """Whether a failure reads like that of a script whose partner is gone."""
    return _SECOND_HAND.search(detail) is not None


def described(member: Member) -> str:
    """Which member it is, and what became of it."""
    what = member.detail or str(member.fault or "it left")
    if not member.ended:
        what = f"not heard of for {member.silent_s:.0f} s"
    return f"rank {member.rank} on {member.worker}: {what}"


def may_grow(gangs: Sequence[RunningGang], most: Mapping[int, int], free: int) -> list[GrowDecision]:
    """Which rounds make room for more. `most`: how many members a trial of each study has at most; `free`: idle slots
    that no ticket is coming to, and that nobody else waits for.
    """
    found = []
    for each in sorted(gangs, key=lambda gang: -gang.age_s):
        missing = most.get(each.study_id, 0) - each.world
        if free <= 0:
            break
        if missing <= 0 or each.age_s < GROW_AFTER_S:
            continue
        if not each.growing:
            found.append(GrowDecision(each, f"{min(missing, free)} more slots are free for its {each.world}"))
        free -= missing
    return found
