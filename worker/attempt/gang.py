"""A slot's part in a gang: it comes, waits until the round begins, and then leads it as rank 0 or follows.

join      a seat in the gang of the trial's next attempt; Postgres decides
gather    until all are there, or the least after a wait; too few give up, at no charge
lead      rank 0: the attempt is its own, and goes as any other (`worker.attempt.run`)
follow    all others: the same script beside it (`worker.attempt.member`)
"""

import logging
from contextlib import closing

from celeriac.decide import gang
from celeriac.domain.errors import CeleriacError, LeaseLost, TryAgain
from celeriac.domain.messages import JoinGang, RunTrial, TrialEnded
from celeriac.domain.records import Fault, Lease, Refusal, Seat
from worker.attempt.context import WorkerContext
from worker.attempt.member import follow_round
from worker.attempt.membership import Address, Membership, address_of
from worker.attempt.run import run_leased
from worker.attempt.stand_aside import passed_on
from worker.attempt.store_retry import answered
from worker.attempt.warm import await_warm, noted

log = logging.getLogger(__name__)

#: How often a slot looks while others come.
LOOK_S = 0.2


def take_part(ticket: JoinGang, context: WorkerContext) -> str:
    """Be one slot of a gang; returns one line on what came of it. A stale ticket is a no-op."""
    with context.control.sigterm_as_event():
        if left := passed_on(ticket, context):
            return left
        context.servers.finish()
        await_warm(ticket, context)
        with closing(address_of(context.settings.address, context.settings.database_url)) as address:
            seat = join(ticket, address, context)
            if isinstance(seat, Refusal):
                return f"nothing to do: {seat.reason}"
            membership = Membership(context.store, context.wakeup, seat.token)
            try:
                lease = gather(ticket, seat, membership, context)
                if isinstance(lease, Refusal):
                    leave(membership, context, lease.reason)
                    return f"{seat.study} trial {ticket.trial}: {lease.reason}"
                with noted(lease, context):
                    if lease.place is not None and lease.place.rank:
                        return follow_round(lease, membership, context)
                    return run_leased(RunTrial(ticket.study, ticket.trial, ticket.attempt), lease, context, membership)
            finally:
                leave(membership, context)


def join(ticket: JoinGang, address: Address, context: WorkerContext) -> Seat | Refusal:
    """Ask Postgres for a seat."""
    slot = context.slot
    return answered(
        f"the gang of {ticket}",
        context.control,
        lambda: context.store.join_gang(
            ticket.study,
            ticket.trial,
            ticket.attempt,
            worker=slot.name,
            host=context.settings.host,
            device=slot.device_uuid,
            device_kind=slot.kind,
            address=address.host,
            port=address.port,
            lease_s=gang.LEASE_S,
        ),
    )


def gather(ticket: JoinGang, seat: Seat, membership: Membership, context: WorkerContext) -> Lease | Refusal:
    """Wait for the others until the round begins, or is not to be."""
    store = context.store
    while True:
        try:
            found = membership.beat()
            if found.rank is not None:
                return store.gang_lease(seat.token)
            decision = gang.gather(found, seat.least, seat.most, again=ticket.attempt > 1)
            if decision.begin and store.close_round(seat.token, seat.least, seat.most):
                log.info("%s trial %d: its gang begins", seat.study, ticket.trial)
                continue
            if decision.give_up and store.give_up_gang(seat.token, decision.reason, gang.AGAIN_S):
                tell(ticket, f"{seat.study} trial {ticket.trial}: {decision.reason}", context)
                return Refusal(decision.reason)
        except LeaseLost as lost:
            return Refusal(f"its gang is no more: {lost.reason}")
        except TryAgain as error:
            log.warning("a gang waits for the store: %s", error)
        if context.control.stopped():
            return Refusal("this worker was told to stop while its gang gathered")
        context.control.pause(LOOK_S)


def leave(membership: Membership, context: WorkerContext, reason: str = "") -> None:
    """Be a member no more, if that was not said before; a store that is away lets it lapse.

    `reason`: why it took no part. Should the round have begun meanwhile, the others know that it waits for nobody.
    """
    fault = Fault.PREEMPTED if reason else None
    try:
        context.store.end_membership(membership.token, fault=fault, detail=reason)
    except CeleriacError as error:
        log.warning("a membership is left to lapse: %s", error)


def tell(ticket: JoinGang, summary: str, context: WorkerContext) -> None:
    """Have the coordinator look at the study again."""
    log.warning("%s", summary)
    context.announce(TrialEnded(ticket.study, ticket.trial, ticket.attempt), summary)
