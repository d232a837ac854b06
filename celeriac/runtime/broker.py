"""The only Celery configuration. Rule: a setting stands here with its reason, or nowhere.

Redis carries tickets (`celeriac.domain.messages`) and nothing else; Postgres holds the truth. So everything below is
chosen for one thing: that a ticket which was lost, doubled or late costs seconds, and never a result.
"""

import json
import logging
import os
import re
import secrets
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from celery import Celery, bootsteps
from celery.exceptions import CPendingDeprecationWarning, SecurityWarning, WorkerShutdown, WorkerTerminate
from celery.signals import worker_ready, worker_shutting_down
from celery.worker import state
from celery.worker.control import Panel
from kombu import Queue
from kombu.exceptions import ChannelError, OperationalError
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from celeriac.domain.errors import BrokerUnavailable, MessageInvalid, SettingInvalid
from celeriac.domain.messages import DriveStudy, JoinGang, Message, RunTrial, Tick, TrialEnded, decode, encode

log = logging.getLogger(__name__)

DRIVE_QUEUE = "coordinator.drive"
CLOCK_QUEUE = "coordinator.clock"
CPU_QUEUE = "trials.cpu"
GPU_QUEUE = "trials.gpu"
TRIAL_QUEUES = (CPU_QUEUE, GPU_QUEUE)
DEVICE_QUEUES = "trials.device."
KEY_PREFIX = "celeriac:"

DRIVE_TASK = "celeriac.drive_study"
REAP_TASK = "celeriac.reap_leases"
FIRE_TASK = "celeriac.fire_schedules"
RUN_TASK = "celeriac.run_trial"

_MOST_ID = 80
_TASK_OF: dict[type[Message], str] = {
    DriveStudy: DRIVE_TASK,
    TrialEnded: DRIVE_TASK,
    RunTrial: RUN_TASK,
    JoinGang: RUN_TASK,
}


def trial_queue(gpus: float) -> str:
    """The queue of a demand class: trials that ask for a GPU, and those that do not."""
    return GPU_QUEUE if gpus else CPU_QUEUE


def device_queue(uuid: str) -> str:
    """The queue of one device: of trials that were placed on it. Its slots take these before all others."""
    return DEVICE_QUEUES + uuid


def _queue(name: str) -> Queue:
    # The default exchange routes by queue name alone. A named exchange keeps its bindings in Redis, and a FLUSHALL
    # would make every later ticket vanish until some process declared them again. no_ack: Redis forgets a ticket when
    # it hands it over. With early acknowledgement the ticket's copy would live for the milliseconds until its task
    # begins, cost two round trips between two trials, and be put back, long stale, after a crash.
    return Queue(name, exchange="", routing_key=name, no_ack=True)


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """What differs between the programs; all else is the same for all."""

    url: str
    client_name: str
    socket_timeout_s: float = 10.0


def make_app(
    config: BrokerConfig, *, include: Sequence[str] = (), tick_s: float | None = None, queues: Sequence[str] = ()
) -> Celery:
    """The Celery application of one program. `tick_s` is beat's: how often the coordinator is told that time has
    passed. `queues`: those that it reads, where they are a device's.
    """
    url, tls = verified(config.url)
    app = Celery("celeriac", broker=url, include=list(include))
    app.conf.update(
        broker_use_ssl=tls,
        # Results live in Postgres: a second truth would lie (PENDING for ever after a lost worker).
        result_backend=None,
        task_ignore_result=True,
        # No pickle anywhere: who can write to Redis must not be able to run code of his own.
        task_serializer="json",
        event_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        # Early acknowledgement: a late one re-delivers day-long trials after the visibility timeout, and leaves a
        # worker that answers pings but consumes nothing after a half-open connection. What early ones lose, lease and
        # reaper give back.
        task_acks_late=False,
        task_reject_on_worker_lost=False,  # else a trial that kills its worker loops for ever
        # The only pool with revoke, remote control and pings while a trial runs. One worker, one slot.
        worker_pool="prefork",
        worker_concurrency=1,
        # A prefetched ticket would wait behind a day-long trial while another slot is idle.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # a Redis restart must not kill a day of training
        worker_max_tasks_per_child=None,  # every trial has a process of its own already; re-forking costs the gap
        # Limits belong to the runner: they count per trial, survive a restart, and kill the whole process tree.
        task_time_limit=None,
        task_soft_time_limit=None,
        # Events are Flower's picture, and Flower switches them on, every half minute anew, in all workers while it
        # runs. Without anybody looking they cost a third of the time between two trials.
        worker_send_task_events=False,
        task_track_started=False,  # a state in the result backend, which there is not
        task_send_sent_event=True,  # costs the coordinator only, and is how Flower knows the queued ones
        broker_connection_retry_on_startup=True,  # Redis may come up after us
        broker_connection_max_retries=None,  # 100 ends a worker after 46 minutes without Redis; None never
        broker_transport_options=_transport(config),
        # Remote control stays: Flower's terminate button is a user's cancel. Not every login of Redis may send it.
        worker_enable_remote_control=True,
        worker_hijack_root_logger=False,  # each program sets up its own log
        timezone="UTC",
        enable_utc=True,
        task_default_exchange="",
        task_queues=[_queue(name) for name in _known(queues)],
        task_default_queue=CLOCK_QUEUE,
        task_create_missing_queues=False,  # a typo in a queue name is an error, not a queue nobody reads
        beat_max_loop_interval=5,
    )
    if tick_s is not None:
        app.conf.beat_schedule = _ticks(tick_s)
    return app


def _known(queues: Sequence[str]) -> list[str]:
    """The queues that every program knows, and a worker's own."""
    known = (DRIVE_QUEUE, CLOCK_QUEUE, *TRIAL_QUEUES)
    return [*known, *(each for each in queues if each not in known)]


def _transport(config: BrokerConfig) -> dict[str, Any]:
    return {
        "socket_timeout": config.socket_timeout_s,  # without it a half-open connection hangs a worker for ever
        "socket_connect_timeout": 5,
        "socket_keepalive": not config.url.startswith("redis+socket"),
        "polling_interval": 5,  # seconds of one BRPOP; by default every idle worker wakes each second
        "health_check_interval": 10,  # a dead BRPOP is dropped after about 25 s
        "queue_order_strategy": "priority",  # the order of -Q, strictly
        "global_keyprefix": KEY_PREFIX,  # several deployments may share one Redis
        "client_name": config.client_name,  # a readable CLIENT LIST
    }


def verified(url: str) -> tuple[str, dict[str, Any] | None]:
    """The broker's URL without what it says of TLS, and that as settings: a server must prove who it is, unless the
    URL says otherwise. Raises SettingInvalid for a file of authorities that cannot be read.

    Left alone, `rediss://` takes any certificate: whoever stands between can read and write tickets.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url, None
    asked = dict(parse_qsl(parts.query))
    tls: dict[str, Any] = {name: asked.pop(name) for name in list(asked) if name.startswith("ssl_")}
    authorities = tls.get("ssl_ca_certs")
    if authorities and not os.access(authorities, os.R_OK):
        raise SettingInvalid(f"CELERIAC_BROKER_URL: ssl_ca_certs={authorities}: this file cannot be read")
    tls["ssl_cert_reqs"] = tls.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    tls["ssl_check_hostname"] = tls["ssl_cert_reqs"] != "none" and tls.get("ssl_check_hostname") != "false"
    return urlunsplit(parts._replace(query=urlencode(asked))), tls


def ignore_warnings() -> None:
    """Silence what Celery warns of at each start and each outage, and what is decided above: no pickle, no late
    acknowledgement.

    For a worker program, before it starts; not in `make_app`, which users' programs call too.
    """
    warnings.simplefilter("ignore", SecurityWarning)  # on being root: without pickle a ticket is no program

    def of_late_acknowledgement(**_: object) -> None:
        warnings.simplefilter("ignore", CPendingDeprecationWarning)

    # Not before: Celery sets a filter of its own while it starts.
    worker_ready.connect(of_late_acknowledgement, weak=False)


def stop_promptly(app: Celery) -> None:
    """Have a worker of this application stop as soon as it is told to, and take no ticket with it.

    Left alone, Celery's loop first sits out the BRPOP that it waits in, and then the one that it began meanwhile:
    seconds, in which a ticket may come that nobody will run.
    """

    def unblock(*_: object, **__: object) -> None:
        threading.Thread(target=_end_pops, args=(app,), name="unblock", daemon=True).start()

    class Unblock(bootsteps.StartStopStep):
        """The first part of the consumer to be stopped."""

        requires = ("celery.worker.consumer.tasks:Tasks",)
        stop = shutdown = staticmethod(unblock)

    worker_shutting_down.connect(unblock, weak=False)
    app.steps["consumer"].add(Unblock)


def _end_pops(app: Celery) -> None:
    """Have Redis answer the BRPOPs of this program's name; another process of that name asks again."""
    name = app.conf.broker_transport_options["client_name"]
    with suppress(OperationalError, OSError, RedisError), app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        for client in channel.client.client_list():
            if client["name"] == name and client["cmd"] == "brpop":
                channel.client.client_unblock(int(client["id"]))


#: What remote control may ask of any worker: to tell something, and a user's cancel.
_TELLING = (
    frozenset(
        f"{kind}{name}"
        for kind in ("", "dump_")
        for name in ("conf", "tasks", "schedule", "reserved", "active", "revoked")
    )
    | {"revoke", "enable_events", "disable_events", "heartbeat", "hello", "ping", "clock", "stats", "report"}
    | {"registered", "scheduled", "active_queues", "query_task"}
)


def limit_control(*, writable: bool) -> None:
    """Have a worker of this program refuse remote control that changes it: its queues, its pool, its limits, its end.

    Whoever has the login of Redis could otherwise stop a fleet, or run three trials on one slot. `writable`: Flower
    may.
    """
    if not writable:
        for name in set(Panel.data) - _TELLING:
            del Panel.data[name]


def drop_malformed(app: Celery) -> None:
    """Have a worker of this application drop a ticket that it cannot read, with one line, whatever is wrong with its
    head or body.

    Left alone, Celery ends the whole program for some, or waits for ever for one that it has reserved: a few of them
    keep a coordinator from its work.
    """

    class Guard(bootsteps.StartStopStep):
        """Stands between Redis and whoever is handed what came from it; anew after each reconnection."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, parent: Any) -> None:
            for channel in parent.connection.transport.channels:
                channel.handlers = {kind: _guarded(read) for kind, read in channel.handlers.items()}
            parent.on_unknown_message = lambda _body, _message: _dropped(MessageInvalid("it is none of Celery's"))
            parent.on_decode_error = lambda _message, error: _dropped(error)
            parent.on_unknown_task = parent.on_invalid_task = lambda _body, _message, error: _dropped(error)
            made, free = type(parent).create_task_handler, parent.controller._quick_release
            parent.create_task_handler = lambda: _reading_first(made(parent), free)

    app.steps["consumer"].add(Guard)


def _guarded(read: Callable[[], Any]) -> Callable[[], Any]:
    """Reads from Redis; what comes may be no JSON, or not what kombu wraps a ticket in."""

    def tried() -> Any:
        try:
            return read()
        except (Empty, OSError, RedisError, OperationalError, ChannelError, WorkerShutdown, WorkerTerminate):
            raise  # nothing came, or Redis is away, or we are to stop
        except Exception as error:
            return _dropped(error)

    return tried


def _reading_first(handle: Callable[[Any], Any], free: Callable[[], Any]) -> Callable[[Any], Any]:
    """Hands a ticket on once it has been read. One that fails after Celery has reserved it is let go, with the place
    that it took.
    """

    def handled(message: Any) -> Any:
        before = set(state.reserved_requests)
        try:
            if message.content_type != "application/json" or not isinstance(message.headers["id"], str):
                raise MessageInvalid("it is not as Celery writes them")
            (ticket,), keywords, _ = json.loads(message.body)
            decode(ticket)
            return handle(message) if not keywords else _dropped(MessageInvalid("it has keywords"))
        except (OSError, RedisError, OperationalError, ChannelError, WorkerShutdown, WorkerTerminate):
            raise
        except Exception as error:
            for request in state.reserved_requests - before:
                state.task_ready(request)
                free()
            return _dropped(error)

    return handled


def _dropped(error: Exception) -> bool:
    log.warning("ticket dropped, it cannot be read: %s: %.200s", type(error).__name__, error)
    return True


def _ticks(tick_s: float) -> dict[str, Any]:
    # Ticks carry no meaning: rows say what is due. None expires: that would compare the clocks of two hosts. Who takes
    # them passes over those that come all at once after an outage.
    def tick(task: str, queue: str, name: str) -> dict[str, Any]:
        return {
            "task": task,
            "schedule": tick_s,
            "args": (encode(Tick()),),
            "options": {"queue": queue, "argsrepr": f"{name} tick", "kwargsrepr": ""},
        }

    return {
        "reap": tick(REAP_TASK, CLOCK_QUEUE, "reap"),
        "fire": tick(FIRE_TASK, CLOCK_QUEUE, "fire"),
        "drive": tick(DRIVE_TASK, DRIVE_QUEUE, "drive"),
    }


def readable_id(summary: str) -> str:
    """An id that says what its ticket is for, up to the summary's first ": ", and is that of no other."""
    words = re.sub(r"[^\w.@-]+", "-", summary.partition(": ")[0]).strip("-")
    return f"{words[:_MOST_ID]}-{secrets.token_hex(4)}"


class Tickets:
    """Sends tickets. One instance a process; it keeps its connections."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send(self, message: Message, *, queue: str, summary: str, task_id: str | None = None) -> None:
        """Put one ticket on `queue`; `summary` is what Flower shows of it; so is its id.

        Raises BrokerUnavailable: the rows are written already, and the reaper sends the ticket again.
        """
        self._know(queue)
        with _broker_errors(queue):
            self._app.send_task(
                _TASK_OF[type(message)],
                args=(encode(message),),
                queue=queue,
                task_id=task_id or readable_id(summary),
                argsrepr=summary,
                kwargsrepr="",
                retry=False,
            )

    def _know(self, queue: str) -> None:
        """A device's queue is declared when its first ticket is sent: which devices there are, rows say."""
        if queue.startswith(DEVICE_QUEUES) and queue not in self._app.amqp.queues:
            self._app.amqp.queues.add(_queue(queue))

    def waiting(self, queue: str) -> int:
        """How many tickets nobody has taken yet. Raises BrokerUnavailable."""
        with _broker_errors(queue), self._app.connection_for_write() as connection:
            channel: Any = connection.default_channel  # kombu types its channels by what AMQP has; Redis has a client
            return int(channel.client.llen(queue))


@contextmanager
def _broker_errors(queue: str) -> Iterator[None]:
    try:
        yield
    except (OperationalError, ConnectionError, TimeoutError, OSError) as error:
        if isinstance(error.__cause__, AuthenticationError | NoPermissionError):
            raise BrokerUnavailable(
                f"Redis refuses the login ({error}): see user and password in CELERIAC_BROKER_URL, or"
                " CELERIAC_BROKER_PASSWORD; rows are safe"
            ) from error
        if (flaw := _tls_flaw(error)) is not None:
            raise BrokerUnavailable(
                f"Redis does not prove who it is ({flaw}): see host and ssl_ca_certs in CELERIAC_BROKER_URL, and the"
                " server's certificate; rows are safe"
            ) from error
        raise BrokerUnavailable(
            f"Redis does not answer for queue {queue} ({error}); rows are safe, it heals by itself"
        ) from error


def _tls_flaw(error: BaseException | None) -> BaseException | None:
    """What is wrong with the server's certificate, when that is behind an error; None when it is not."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error
