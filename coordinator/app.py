"""The coordinator's programs: `drive`, `clock` and `beat`. Rule: whatever a program needs is wired here, after its
pool has forked.

All three outlive an outage of Redis or Postgres: Celery reconnects, and a task that finds the store silent leaves its
work to the next tick.
"""

import functools
import logging
import os
import sys
from collections.abc import Callable
from contextlib import closing
from threading import Timer
from typing import Any, ParamSpec

from celery import Celery
from celery.signals import (
    after_task_publish,
    beat_init,
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
)

from celeriac.domain.errors import CallerError, SettingInvalid, StoreUnavailable, TryAgain
from celeriac.runtime import logs
from celeriac.runtime.broker import (
    CLOCK_QUEUE,
    DRIVE_QUEUE,
    BrokerConfig,
    Tickets,
    drop_malformed,
    ignore_warnings,
    limit_control,
    make_app,
    stop_promptly,
)
from celeriac.runtime.liveness import show_life
from celeriac.runtime.metrics.serve import Collector, serve
from celeriac.runtime.process.programs import announce_ready
from celeriac.runtime.settings import Settings
from celeriac.store import open_store
from coordinator.outbox.program import Deliverer
from coordinator.retention import Retention
from coordinator.suggest.pool import Pool, PoolLimits
from coordinator.suggest.program import Setup
from coordinator.traces import Traces
from coordinator.turn import Coordinator, drive

log = logging.getLogger(__name__)

P = ParamSpec("P")
_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_current: Coordinator | None = None
_silent: str = ""
_alive_file: str = ""


def current() -> Coordinator:
    """What this process's tasks work with; wired when the pool's process started."""
    if _current is None:
        raise RuntimeError("the coordinator is not wired yet: its tasks run in a pool process only")
    return _current


def wire(coordinator: Coordinator | None) -> None:
    """Set what this process's tasks work with."""
    global _current
    _current = coordinator


def forgiving(task: Callable[P, None]) -> Callable[P, None]:
    """A task that leaves its work to the next tick when the store or the broker is silent, and says so once, not every
    tick.
    """

    @functools.wraps(task)
    def tried(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            task(*args, **kwargs)
        except TryAgain as error:
            _say_once(type(error).__name__, str(error))
        except CallerError as error:  # a study that is gone, a ticket of another version: the rows know better
            log.warning("ticket dropped: %s", error)
        else:
            _say_once("", "the store and the broker answer again")
            show_life(_alive_file)

    return tried


def _say_once(silent: str, text: str) -> None:
    """Log a change between answering ("") and silent."""
    global _silent
    if silent != _silent:
        _silent = silent
        log.log(logging.WARNING if silent else logging.INFO, "%s", text)


def run_worker(settings: Settings, role: str) -> None:
    """Run the `drive` or the `clock` worker until it is told to stop. Raises SchemaMismatch."""
    queue = {"drive": DRIVE_QUEUE, "clock": CLOCK_QUEUE}[role]
    name = f"{role}@{settings.host}"
    check_schema(settings)
    app = make_app(BrokerConfig(settings.broker_url, f"celeriac-{role}"), include=["coordinator.tasks"])
    _log_to_stderr(name, settings)
    ignore_warnings()
    # For the libraries that the suggesters load: one thread each, trials need the other cores.
    os.putenv("OMP_NUM_THREADS", "1")
    os.putenv("OPENBLAS_NUM_THREADS", "1")
    stop_promptly(app)
    drop_malformed(app)
    limit_control(writable=settings.flower_writable)
    _wire_after_fork(app, settings, role)
    # The starter may wait to be told when this program takes tickets.
    worker_ready.connect(lambda **_: announce_ready(settings.ready_fd), weak=False)
    quiet = ["--without-gossip", "--without-mingle"]  # nobody here needs to know the other workers
    app.worker_main(["--quiet", "worker", "-Q", queue, "-n", name, "-l", "INFO", *quiet])


def run_beat(settings: Settings) -> None:
    """Run beat: ticks only. Its schedule lives in memory, for a tick carries no meaning that could be lost."""
    app = make_app(BrokerConfig(settings.broker_url, "celeriac-beat"), tick_s=settings.reap_s)
    _log_to_stderr(f"beat@{settings.host}", settings)
    beat_init.connect(lambda **_: log.info("beat ready: a tick every %g s", settings.reap_s), weak=False)
    after_task_publish.connect(lambda **_: show_life(settings.alive_file), weak=False)
    app.Beat(scheduler_cls="coordinator.beat:Ticks", quiet=True).run()


def check_schema(settings: Settings) -> None:
    """Refuse to run on a database of another version; one that does not answer yet is waited for by the tasks. Raises
    SchemaMismatch.
    """
    with closing(open_store(settings.database_url)) as store:
        try:
            store.check_schema()
        except StoreUnavailable as error:
            sys.stderr.write(f"starting without the database: {error}\n")


def _wire_after_fork(app: Celery, settings: Settings, role: str) -> None:
    """Connections are made in the process that uses them, never before the fork. Raises SettingInvalid."""
    limits = pool_limits(settings)
    stops: list[Callable[[], None]] = []

    def start(**_: Any) -> None:
        global _alive_file
        _alive_file = settings.alive_file
        store = open_store(settings.database_url, pool_size=settings.pool_size)
        setup = Setup(settings.database_url, log_format=settings.log_format)
        suggesters = Pool(setup, limits, follow_answer)
        made = Coordinator(
            store,
            Tickets(app),
            suggesters,
            deliverer=Deliverer(settings),
            tick_s=settings.reap_s,
            preempt_after_s=settings.preempt_after_s,
            follow_later=follow_later,
            traces=Traces(settings.otlp_endpoint) if settings.otlp_endpoint and role == "drive" else None,
            retention=Retention(settings) if role == "clock" else None,
        )
        wire(made)
        stops.append(serve(settings, role, Collector(store.figures if role == "clock" else None, program=role)))

    def stop(**_: Any) -> None:
        if _current is None:
            return
        for each in (_current.suggesters, _current.deliverer, _current.retention, _current.traces):
            if each is not None:
                each.close()
        for end in stops:
            end()
        _current.store.close()

    worker_process_init.connect(start, weak=False)
    worker_process_shutdown.connect(stop, weak=False)


def pool_limits(settings: Settings) -> PoolLimits:
    """The suggesters' limits. Raises SettingInvalid."""
    if settings.suggest_processes < 1:
        raise SettingInvalid(
            f"CELERIAC_SUGGEST_PROCESSES={settings.suggest_processes}: must be at least 1, or nobody suggests"
        )
    return PoolLimits(
        settings.suggest_processes, settings.suggest_timeout_s, settings.suggest_memory_bytes, settings.suggest_idle_s
    )


@forgiving
def follow_answer(study_id: int) -> None:
    """The turn that an answer of the suggesters calls for."""
    drive(current(), study_id)


def follow_later(study_id: int, after_s: float) -> None:
    """The turn that is called for after so many seconds; a process that ends before forgets it."""
    timer = Timer(after_s, follow_answer, [study_id])
    timer.daemon = True
    timer.start()


def _log_to_stderr(name: str, settings: Settings) -> None:
    """One line an event, in one form for all programs; Celery's own handlers stay out."""

    def set_up(**_: Any) -> None:
        logs.set_up(settings.log_format, name, text=f"{_LINE} [{name}]")
        # Celery tells of every task that comes and goes; a tick a few seconds is not worth two lines.
        for chatty in ("celery.worker.strategy", "celery.worker.request", "celery.app.trace", "celery.beat"):
            logging.getLogger(chatty).setLevel(logging.WARNING)

    setup_logging.connect(set_up, weak=False)
