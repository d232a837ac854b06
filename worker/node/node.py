"""One host's worker: `python -m worker [--slots N]`. Finds the devices, and starts and keeps one Celery worker for
each slot.

Promises: a worker that dies is started again, after what it held was given back: its processes are ended, its leases
are free at once. The host's devices stand in Postgres, renewed at each heartbeat, and are gone from there when the
node stops. On SIGTERM every running trial is handed back, with a checkpoint if it can write one within the grace.
Addresses and passwords reach the workers through an inherited descriptor and not their environment.
"""

import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from celeriac.decide.health import Condition
from celeriac.domain.errors import CallerError, SettingInvalid, TryAgain
from celeriac.domain.records import Device
from celeriac.runtime.broker import CPU_QUEUE, GPU_QUEUE, BrokerConfig, Tickets, device_queue, make_app
from celeriac.runtime.fingerprint import CODE_LOOK_S, FingerprintCache
from celeriac.runtime.liveness import show_life, show_turning
from celeriac.runtime.metrics.serve import Collector
from celeriac.runtime.metrics.serve import serve as serve_metrics
from celeriac.runtime.metrics.tally import TALLIES
from celeriac.runtime.process.programs import Child, announce_ready
from celeriac.runtime.process.secrets import environment_without, secrets_descriptor
from celeriac.runtime.process.supervisor import Supervisor
from celeriac.runtime.settings import Settings, labels_of
from celeriac.store import Store, open_store
from worker.attempt.context import tag_of
from worker.attempt.release_leases import release
from worker.attempt.store_retry import StoreRetry
from worker.devices.probe import CPU, CpuProbe, DeviceInfo, Slot, slots
from worker.devices.simulated import probe_of
from worker.node.device_watch import DeviceWatch
from worker.node.sweep import Sweeper
from worker.node.writable_dirs import WritableDirs
from worker.process import linux

log = logging.getLogger(__name__)

MAX_CPU_SLOTS = 8
MARGIN_S = 5.0
START_S = 1.0  # what a worker's start takes of a core
SWEEP_S = 5.0
#: What workers learn from the descriptor and not from their environment: the addresses and the host's key.
TOLD_TO_WORKERS = ("database_url", "broker_url", "node_key")


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What a host's device rows share. `down`: slots without a running worker; `flaw`: what it cannot write, why.
    `out`: the devices that take no trials, by uuid, and why; `conditions`: what devices say of themselves.
    """

    host: str
    fingerprint: str
    down: frozenset[str]
    now: datetime
    flaw: str = ""
    heartbeat_s: float = 5.0
    labels: Mapping[str, str] = field(default_factory=dict)
    out: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)


class Node:
    """Keeps the workers, and their leases and devices in the store up to date. One thread: the kernel ends each worker
    when the thread that started it ends.
    """

    def __init__(
        self,
        settings: Settings,
        devices: Sequence[DeviceInfo],
        places: Sequence[Slot],
        *,
        store: Store,
        tickets: Tickets,
        environ: Mapping[str, str],
    ) -> None:
        """`environ` is what the workers' environment is made from."""
        self._settings, self._store, self._tickets = settings, store, tickets
        self._devices, self._slots = devices, places
        self._secrets = secrets_descriptor(settings, *TOLD_TO_WORKERS)
        self._environment = environment_of_workers(environ, self._secrets, slots=len(places))
        self._supervisor = Supervisor(lambda said: log.warning("worker %s", said), self._give_back)
        self._fingerprints = FingerprintCache(trust_s=CODE_LOOK_S)
        self._places = WritableDirs((("checkpoints", settings.checkpoint_root), ("logs", settings.log_root)))
        self._announced = False
        self._told_of_store = False
        self._sweeper = Sweeper(store, settings)
        self._watch = DeviceWatch(store, settings, devices)
        self._out: Mapping[str, str] = {}

    def run(self) -> int:
        """Keep the workers until SIGTERM or SIGINT; a second one ends them at once. Returns the exit status."""
        self._supervisor.catch(signal.SIGTERM, signal.SIGINT)
        if self._free_what_is_ours():
            for slot, delay_s in zip(self._slots, start_delays(len(self._slots)), strict=True):
                self._supervisor.keep(child_of(slot, self._environment, self._secrets), delay_s=delay_s)
            self._beat()
            self._supervisor.run(until=self._beat, every_s=self._settings.heartbeat_s)
        self._stop_all()
        return 0

    def _free_what_is_ours(self) -> bool:
        """Give back what a node before us still held, once the store answers. False: told to stop meanwhile."""
        for slot in self._slots:
            self._sweep(slot.name)
        if self._supervisor.asked_to_stop:
            return False
        try:
            StoreRetry(f"the node of {self._settings.host}", self._pause)(self._release_all)
        except TryAgain:
            return False
        return True

    def _release_all(self) -> None:
        self._store.check_schema()
        for slot in self._slots:
            release(self._store, self._tickets, slot.name, "its worker is gone")

    def _pause(self, delay_s: float) -> bool:
        show_turning(self._settings.alive_file)
        self._supervisor.run(until=lambda: True, every_s=delay_s)
        return not self._supervisor.asked_to_stop

    def _give_back(self, name: str, status: int) -> None:
        """What a worker held that has died: its trial's processes are ended, its leases are free at once."""
        TALLIES.add("node_worker_deaths_total")
        self._sweep(name)
        try:
            release(self._store, self._tickets, name, f"its worker ended ({described(status)})")
        except TryAgain as error:
            self._tell_of_store(error)

    def _sweep(self, name: str) -> None:
        """End every process that trials of this slot left behind."""
        left = linux.end_marked(linux.slot_mark(tag_of(self._settings, name)), within_s=SWEEP_S)
        if left:
            log.error("processes of trials on %s do not end: %s", name, sorted(left))

    def _beat(self) -> bool:
        """What is due at each heartbeat. Never the end: what the supervisor asks for is whether it is to stop."""
        show_turning(self._settings.alive_file)
        self._rest()
        if self._put_devices() and not self._announced:
            announce_ready(self._settings.ready_fd)
            self._announced = True
        self._sweeper.look(time.monotonic())
        return False

    def _rest(self) -> None:
        """Have the workers of devices that are sick or taken out hand back what they run, and take no more."""
        out = self._watch.out(time.monotonic())
        for uuid in out.keys() | self._out.keys():
            if out.get(uuid) != self._out.get(uuid):
                log.warning("%s: %s", uuid, out.get(uuid, "is back"))
        self._out = out
        self._supervisor.rest({slot.name for slot in self._slots if slot.device_uuid in out})

    def _put_devices(self) -> bool:
        """Say in Postgres what this host has; whether it was heard."""
        code = self._settings.code_root
        # A root of / is no code of ours: each study brings its own directory.
        fingerprint = self._fingerprints.of(code, time.monotonic()) if code != code.parent else ""
        status = HostStatus(
            self._settings.host,
            fingerprint,
            frozenset(kept.child.name for kept in self._supervisor.kept if not kept.runs and not kept.rests),
            datetime.now(UTC),
            self._places.flaw(time.monotonic()),
            self._settings.heartbeat_s,
            labels_of(self._settings.labels),
            self._out,
            self._watch.conditions(time.monotonic()),
        )
        try:
            self._store.put_devices(self._settings.host, device_rows(self._slots, self._devices, status))
        except CallerError:
            raise
        except Exception as error:  # a store that is away, or an error of the database's own: the workers work on
            self._tell_of_store(error)
            return False
        self._told_of_store = False
        self._tell_metrics(status)
        if self._all_steady():
            show_life(self._settings.alive_file)
        return True

    def _tell_metrics(self, status: HostStatus) -> None:
        TALLIES.set("node_slots", len(self._slots) - len(status.down), "up")
        TALLIES.set("node_slots", len(status.down), "down")
        TALLIES.set("node_devices_out", len(status.out))

    def _all_steady(self) -> bool:
        """Whether every slot's worker has lived through a heartbeat; one that dies at each start is no sign of life."""
        since = time.monotonic() - self._settings.heartbeat_s
        return all(kept.rests or (kept.runs and kept.started <= since) for kept in self._supervisor.kept)

    def _tell_of_store(self, error: Exception) -> None:
        """Once an outage."""
        if not self._told_of_store:
            log.warning("%s", error)
        self._told_of_store = True

    def _stop_all(self) -> None:
        """TERM to all at once, KILL when the grace is over or a second signal came; then free what is left."""
        settings, kept = self._settings, [each.child.name for each in self._supervisor.kept]
        grace_s = settings.checkpoint_grace_s + settings.kill_grace_s + MARGIN_S
        self._sweeper.close()
        self._watch.close()
        self._supervisor.stop(lambda _: grace_s, hurried_s=0.0)
        for name in kept:
            self._sweep(name)
        with suppress(TryAgain):
            for name in kept:
                release(self._store, self._tickets, name, "its worker was stopped")
            self._store.put_devices(settings.host, [])


def serve(settings: Settings, cpu_slots: int | None) -> int:
    """Be this host's node, with `cpu_slots` CPU slots or what is found; returns the exit status.

    Raises SettingInvalid when it is not told where Postgres and Redis are, SchemaMismatch.
    """
    if not settings.has_service:
        raise SettingInvalid(
            f"neither CELERIAC_DATABASE_URL and CELERIAC_BROKER_URL nor {settings.stack_file} say where the service is:"
            " set them, or start `celeriac up`"
        )
    wanted = settings.slots if cpu_slots is None else cpu_slots
    devices, count = found_devices(
        wanted, os.environ.get("CUDA_VISIBLE_DEVICES"), settings.host, settings.simulated_gpus
    )
    tickets = Tickets(make_app(BrokerConfig(settings.broker_url, client_name=f"node@{settings.host}")))
    settings = replace(settings, node_key=settings.node_key or kept_key(settings.log_root, devices))
    store = open_store(settings.database_url, pool_size=settings.pool_size, key=settings.node_key)
    stop_metrics = serve_metrics(settings, "node", Collector(program="node"))
    try:
        places = slots(devices, count, settings.host, per_gpu=settings.slots_per_gpu)
        node = Node(settings, devices, places, store=store, tickets=tickets, environ=os.environ)
        return node.run()
    finally:
        stop_metrics()
        store.close()


# -- pure, or nearly --------------------------------------------------------------------------------------------------
def queues_of(slot: Slot) -> tuple[str, ...]:
    """First what was placed on the device; then a GPU's only worker takes any GPU trial, and CPU trials when there are
    none. Where a GPU has several, what goes there is chosen: a trial of the class would take it whole.
    """
    own = device_queue(slot.device_uuid)
    if not slot.is_gpu:
        return own, CPU_QUEUE
    return (own,) if slot.is_shared else (own, GPU_QUEUE, CPU_QUEUE)


def start_delays(count: int) -> list[float]:
    """How long after the node's start each worker starts: two a core at once.

    So the first work while the last are started. Sixty-four at once on two cores were all ready after 45 s and more,
    and the commands beside them waited as long.
    """
    at_once = 2 * len(os.sched_getaffinity(0))
    return [2 * START_S * (index // at_once) for index in range(count)]


def child_of(slot: Slot, environment: Mapping[str, str], secrets: int) -> Child:
    """The program of one slot; its output goes where the node's goes."""
    return Child(
        name=slot.name,
        argv=[
            sys.executable,
            *("-P", "-m", "worker.slot.celery_worker", slot.name, slot.device_uuid, slot.kind, slot.cuda_visible),
            *queues_of(slot),
        ],
        environment=environment,
        pass_fds=(secrets,),
        shares_output=True,
    )


def environment_of_workers(environ: Mapping[str, str], secrets: int, *, slots: int) -> dict[str, str]:
    """The node's own environment without passwords, and with a fair share of the CPUs for each slot's libraries."""
    share = max(1, len(os.sched_getaffinity(0)) // max(1, slots))
    return {"OMP_NUM_THREADS": str(share), **environment_without(environ, secrets, "NODE_KEY")}


def kept_key(root: Path, devices: Sequence[DeviceInfo]) -> str:
    """The key that this node's leases and devices are marked with, made once: the node after it gives back what it
    leaves.

    A node for GPUs and one for CPUs may share a host and its directory: each has its own, or they would take away each
    other's devices. Where none can be kept it is new each time: then such leases lapse.
    """
    kinds = "-".join(sorted({"cpu" if each.kind == CPU else "gpu" for each in devices}))
    path, made = root / f"node-{kinds}.key", secrets.token_hex(16)
    fresh = root / f".node-{kinds}.key.{os.getpid()}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(made)
        with suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
        return path.read_text().strip() or made
    except OSError as error:
        log.warning("%s cannot be kept: what a killed node leaves will lapse (%s)", path, error)
        return made


def described(status: int) -> str:
    """An exit status in words."""
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def device_rows(places: Sequence[Slot], devices: Sequence[DeviceInfo], status: HostStatus) -> list[Device]:
    """The devices as rows; a row's health names its slots whose worker is down, or what the host cannot write."""
    rows = []
    for device in devices:
        names = tuple(slot.name for slot in places if slot.device_uuid == device.uuid)
        down = [name for name in names if name in status.down]
        said = status.conditions.get(device.uuid)
        rows.append(
            Device(
                uuid=device.uuid,
                host=status.host,
                kind=device.kind,
                memory_bytes=device.memory_bytes,
                labels=status.labels,
                slots=() if device.uuid in status.out else names,
                fingerprint=status.fingerprint,
                health=status.out[device.uuid]
                if device.uuid in status.out
                else f"starting {', '.join(down)}"
                if down
                else status.flaw or "ok",
                heartbeat_at=status.now,
                heartbeat_s=status.heartbeat_s,
                used_bytes=None if said is None else max(device.memory_bytes - said.free_bytes, 0),
                utilisation=None if said is None else said.utilisation,
                temperature_c=None if said is None else said.temperature_c,
            )
        )
    return rows


def found_devices(cpu_slots: int, visible: str | None, host: str, simulated: str = "") -> tuple[list[DeviceInfo], int]:
    """The devices to use, and how many slots the processors get.

    `cpu_slots` given: the processors alone, with so many. Else each GPU; and on a host without any the processors,
    with a slot for each that this program may use, at most MAX_CPU_SLOTS. `simulated`: a file that stands for GPUs.
    """
    gpus = probe_of(simulated, visible).devices() if cpu_slots <= 0 else []
    if gpus:
        return gpus, 0
    count = cpu_slots if cpu_slots > 0 else min(MAX_CPU_SLOTS, len(os.sched_getaffinity(0)))
    return CpuProbe(count, host).devices(), count
