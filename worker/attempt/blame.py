"""By whose fault a gang's round is over: rank 0 waits until the fate of every member is known, then decides.

A script whose partner is killed fails as well, by an error of its own: taken at its word, a killed worker would end the
trial as the user's bug.
"""

import time

from celeriac.decide import gang
from celeriac.domain.records import Fault
from worker.attempt import classify
from worker.attempt.classify import Cut, Verdict
from worker.attempt.run_state import Run
from worker.attempt.wakeup import wait

#: A silent member's lease has lapsed by then, and the store has answered for as long.
MOST_S = 2 * gang.LEASE_S


def blamed(attempt: Run, verdict: Verdict) -> Verdict:
    """The verdict, or that of the member by whose fault rank 0 failed. Raises LeaseLost, when the attempt is over."""
    membership = attempt.membership
    by_others = attempt.cut is Cut.MEMBER
    if membership is None or membership.round is None or not (by_others or verdict.fault is Fault.USER_BUG):
        return verdict
    own, began = None if by_others else verdict.fault, time.monotonic()
    context = attempt.context
    while True:
        since_s = time.monotonic() - began
        decision = gang.blame(
            membership.round, own, verdict.detail, since_s=since_s, answering_s=membership.answering_s
        )
        if decision.settled or since_s > MOST_S or context.control.terminated:
            break
        wait([context.wakeup.fileno(), context.control.terminated_fd], gang.BEAT_S)
        context.wakeup.clear()
        if attempt.lost is not None:
            raise attempt.lost
    if decision.settled and decision.member is None and decision.fault is own:
        return verdict
    attempt.by_member = True
    member, fault = decision.member, decision.fault or Fault.INFRASTRUCTURE
    attempt.short_kind = member.device_kind if member is not None and fault is Fault.OUT_OF_MEMORY else ""
    detail = classify.clean(f"its gang's round is over, {decision.reason}")
    if member is None:
        return Verdict(fault, detail)
    return Verdict(fault, detail, traceback=classify.clean(member.traceback), signature=member.signature)
