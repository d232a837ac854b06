"""The Celery worker of one slot: `python -m worker.slot.celery_worker NAME UUID KIND CUDA_VISIBLE QUEUE…`,
started and kept by the node.

Two processes: Celery's main process, which keeps the connections, and one pool process, which runs the trials. Neither
imports torch, numpy or the search. All that needs a connection is made after the fork; what both read is imported
before, so that they share its memory.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from celery.worker import state as celery_state

from celeriac.domain.errors import IllegalTransition, MessageInvalid
from celeriac.domain.messages import JoinGang, RunTrial, decode
from celeriac.runtime import logs
from celeriac.runtime.broker import (
    BrokerConfig,
    Tickets,
    drop_malformed,
    ignore_warnings,
    limit_control,
    make_app,
    stop_promptly,
)
from celeriac.runtime.settings import Settings
from celeriac.store import Store, open_store
from worker.attempt.conclude import REVOKED
from worker.attempt.context import open_context, tag_of
from worker.attempt.control import Control
from worker.attempt.release_leases import release
from worker.attempt.store_retry import StoreRetry
from worker.attempt.warm import warm_up
from worker.devices.probe import Slot
from worker.process import linux
from worker.slot import tasks
from worker.slot.watchdog import Watchdog

log = logging.getLogger(__name__)

SWEEP_S = 2.0  # Celery gives a new pool process 4 s to come up
BACKGROUND_S = 60.0


@dataclass(frozen=True, slots=True)
class Shared:
    """What the slot's two processes have in common."""

    slot: Slot
    queues: tuple[str, ...]
    settings: Settings
    control: Control
    app: Celery
    tickets: Tickets


def main(argv: Sequence[str]) -> int:
    """Run the worker until it is told to stop; returns its exit status."""
    name, uuid, kind, cuda_visible, *queues = argv
    settings = Settings.from_env()
    logs.set_up(settings.log_format, name, text=f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s")
    # One line a trial is enough: the runner's, when its end is written.
    for chatty in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    warnings.simplefilter("ignore", SecurityWarning)  # on being root: no pickle here, so a ticket is no program
    app = make_app(BrokerConfig(settings.broker_url, client_name=name), include=["worker.slot.tasks"], queues=queues)
    slot = Slot(name, uuid, kind, cuda_visible)
    shared = Shared(slot, tuple(queues), settings, Control(), app, Tickets(app))
    ignore_warnings()
    stop_promptly(app)
    drop_malformed(app)
    limit_control(writable=settings.flower_writable)
    connect_main(shared)
    connect_pool(shared)
    open_store(settings.database_url, pool_size=settings.pool_size).close()  # imported before the fork, connected after
    gc.freeze()
    worker = app.Worker(
        hostname=name,
        queues=list(queues),
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        loglevel="INFO",
        redirect_stdouts=False,
    )
    worker.start()
    return int(worker.exitcode or 0)


# -- the main process ----------------------------------------------------------------------------------------------
def connect_main(shared: Shared) -> None:
    """Hand on what Celery tells only its main process, and watch over its ears."""
    watchdog = Watchdog(
        patience_s=shared.settings.idle_watch_s,
        waiting=lambda: sum(shared.tickets.waiting(queue) for queue in shared.queues),
        busy=lambda: bool(celery_state.reserved_requests or celery_state.active_requests),
        taken=lambda: sum(celery_state.total_count.values()),
    )

    def stopping(**_: Any) -> None:
        shared.control.drain()
        watchdog.stop()

    def ready(**_: Any) -> None:
        _drain_first(signal.SIGQUIT, shared.control)
        watchdog.start()

    def revoked(request: Any, expired: bool = False, **_: Any) -> None:
        ticket = _ticket(request.args)
        if ticket is not None and not expired:
            shared.control.revoke(ticket)
            what = f"the revoke of study {ticket.study} trial {ticket.trial}"
            _in_background(what, lambda store: _cancel(store, ticket), shared.settings)

    def failed(args: Any, exception: BaseException, **_: Any) -> None:
        ticket = _ticket(args)
        if ticket is not None and isinstance(exception, WorkerLostError):
            what = f"the lease of study {ticket.study} trial {ticket.trial}"
            _in_background(what, lambda store: _give_up(store, ticket, shared), shared.settings)

    signals.setup_logging.connect(lambda **_: None, weak=False)  # it is set up already
    signals.worker_shutting_down.connect(stopping, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.task_revoked.connect(revoked, weak=False)
    signals.task_failure.connect(failed, weak=False)


def _drain_first(number: signal.Signals, control: Control) -> None:
    """Order the drain before Celery's own handler sends its SIGTERM to the pool process, or it would look like a
    revoke.
    """
    handler = signal.getsignal(number)

    def drain(received: int, frame: FrameType | None) -> None:
        control.drain()
        if callable(handler):
            handler(received, frame)

    signal.signal(number, drain)


def _ticket(args: Any) -> RunTrial | None:
    try:
        ticket = decode(args[0])
    except (MessageInvalid, IndexError, KeyError, TypeError):
        return None
    if isinstance(ticket, JoinGang):  # one slot of it: what is said of it holds for the whole trial
        return RunTrial(ticket.study, ticket.trial, ticket.attempt)
    return ticket if isinstance(ticket, RunTrial) else None


def _in_background(what: str, deed: Callable[[Store], None], settings: Settings) -> None:
    """Do something in the store from the main process, whose event loop must not wait; again while the store is away,
    for a minute.
    """

    def work() -> None:
        deadline = time.monotonic() + BACKGROUND_S

        def pause(delay_s: float) -> bool:
            time.sleep(delay_s)
            return time.monotonic() < deadline

        store = open_store(settings.database_url, pool_size=settings.pool_size, key=settings.node_key)
        try:
            StoreRetry(what, pause)(lambda: deed(store))
        except Exception as error:
            log.warning("%s is left to heal by itself: %s", what, error)
        finally:
            store.close()

    threading.Thread(target=work, name="background", daemon=True).start()


def _cancel(store: Store, ticket: RunTrial) -> None:
    """A revoked ticket is a user's cancel, whether its trial runs or not. One that names an older attempt means
    nothing now.
    """
    try:
        store.cancel_ticket(ticket.study, ticket.trial, ticket.attempt, REVOKED)
    except IllegalTransition as error:
        log.info("nothing to cancel: %s", error)


def _give_up(store: Store, ticket: RunTrial, shared: Shared) -> None:
    """The pool process died under a trial: its lease need not lapse first."""
    release(store, shared.tickets, shared.slot.name, "the worker's pool process died", only=ticket)


# -- the pool process ----------------------------------------------------------------------------------------------
def connect_pool(shared: Shared) -> None:
    """Set up each pool process after its fork, and close it down."""

    def begin(**_: Any) -> None:
        _sweep(shared)
        context = open_context(
            shared.settings,
            shared.slot,
            store=open_store(
                shared.settings.database_url, pool_size=shared.settings.pool_size, key=shared.settings.node_key
            ),
            tickets=Tickets(shared.app),
            control=shared.control,
            environ=os.environ,
        )
        context.warming = warm_up(context)
        tasks.use(context)
        signals.worker_process_shutdown.connect(lambda **_: context.close(), weak=False)

    signals.worker_process_init.connect(begin, weak=False)


def _sweep(shared: Shared) -> None:
    """End what the pool process before this one could not: a trial's processes that had escaped their server."""
    left = linux.end_marked(linux.slot_mark(tag_of(shared.settings, shared.slot.name)), within_s=SWEEP_S)
    if left:
        log.warning("processes of an earlier trial do not end: %s", sorted(left))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
