"""Commands for whoever keeps the service: up, down, workers, prune, migrate, init, doctor."""

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from celeriac.cli import text
from celeriac.cli.exit_codes import FAILED, WRONG
from celeriac.cli.json_output import print_json, tell_change
from celeriac.cli.screen import Grid, remark, say, show
from celeriac.cli.service import AsJson, Home, Slots, become, connected, reached

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.client.dropped import Dropped
    from celeriac.client.fleet import Fleet
    from celeriac.domain.records import Device, PutAside

Background = Annotated[bool, typer.Option("--detach", help="Return once it is ready; it runs on in the background.")]
NoFlower = Annotated[bool, typer.Option("--no-flower", help="Do without Flower.")]
OlderThan = Annotated[
    str,
    typer.Option(
        "--older-than", help="Only of studies that ended longer ago than this: `30d`, `12h`.", show_default=False
    ),
]
Reports = Annotated[bool, typer.Option("--reports", help="Drop reports.")]
Logs = Annotated[bool, typer.Option("--logs", help="Drop logs: the tails in Postgres, the files on this host.")]
Checkpoints = Annotated[bool, typer.Option("--checkpoints", help="Drop checkpoints: rows and files.")]
Models = Annotated[bool, typer.Option("--models", help="Drop the models that studies keep by `keep_model`.")]
TestGpus = Annotated[bool, typer.Option("--gpu", help="Test the GPUs of this host instead, as trials use them.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which studies it would touch.")]
Where = Annotated[Path, typer.Option("--directory", help="Where the .env file goes: beside docker-compose.yml.")]


def up(home: Home = None, slots: Slots = 0, no_flower: NoFlower = False, detach: Background = False) -> None:
    """Start the service on this machine: until Ctrl-C, or in the background until `celeriac down`."""
    options = [*(["--slots", str(slots)] if slots else []), *(["--no-flower"] if no_flower else [])]
    if not detach:
        become("celeriac.local", "up", *options, home=home)
    from celeriac.client.embedded import start_detached
    from celeriac.runtime.settings import Settings

    settings = Settings.from_env(home=home)
    remark(f"Starting a service under {settings.home} in the background …")
    print(start_detached(settings, options))


def down(home: Home = None) -> None:
    """Stop the service that runs on this machine; what was running goes on at the next start."""
    become("celeriac.local", "down", home=home)


def workers(home: Home = None, as_json: AsJson = False) -> None:
    """Show hosts, devices and slots, when they last spoke, and what each slot runs."""
    with reached(home) as client:
        fleet = client.fleet()
    if as_json:
        print_json(fleet.forms())
        return
    head: tuple[str, ...] = (
        "slot",
        "device",
        "memory",
        "util",
        "temp",
        "health",
        "heard",
        "last hour",
        "running",
        "labels",
    )
    grid = Grid(
        head,
        [row for each in fleet.devices for row in _worker_rows(fleet, each)],
        frozenset({"memory", "util", "temp"}),
        frozenset({"health", "last hour"}),
    )
    for column in ("util", "temp", "labels"):  # those that no device has
        if all(row[list(grid.columns).index(column)] in ("", "-") for row in grid.rows):
            grid = grid.without(column)
    show(grid, "No worker has ever spoken: `celeriac up` starts some here, `python -m worker` joins a service.")


def _worker_rows(fleet: "Fleet", device: "Device") -> list[tuple[str, ...]]:
    """A device's slots, or itself where it has none; what it says of itself is known while its node speaks."""
    alive, slots = device.is_alive(fleet.now), device.slots
    heard = f"{text.between(device.heartbeat_at, fleet.now)} ago" + ("" if alive else ": gone")
    use = f"{device.utilisation:.0%}" if alive and device.utilisation is not None else "-"
    heat = f"{device.temperature_c} °C" if alive and device.temperature_c is not None else "-"
    rows: list[tuple[str, ...]] = []
    for slot in slots or (device.uuid,):
        running = ", ".join(f"{run.study} trial {run.number}" for run in fleet.runs.get(slot, ())) or "-"
        told = [device.health if device.health != "ok" else "", *_put_aside(slot, fleet.aside, fleet.names)]
        health = "; ".join(filter(None, told)) or device.health or "-"
        busy = str(fleet.busy[slot]) if slot in fleet.busy else "-"
        said = (_memory(device, alive=alive), use, heat, health if alive else "-", heard)
        rows.append((slot, device.kind, *said, busy, running, text.labels(device.labels)))
    return rows


def _memory(device: "Device", *, alive: bool) -> str:
    """What is used of it, where that is known, and how much there is."""
    if not device.memory_bytes:
        return "-"
    of = f"{device.memory_bytes / 2**30:.1f} GiB"
    return f"{device.used_bytes / 2**30:.1f} of {of}" if alive and device.used_bytes is not None else of


def drain(
    place: str = typer.Argument(help="HOST, or HOST:DEVICES: indexes or uuids, with commas", show_default=False),
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take a host, or some of its devices, out: each trial there writes a checkpoint and goes on elsewhere, at no
    charge. It stays out until `celeriac undrain`.
    """
    host, devices = _host_and_devices(place)
    with reached(home) as client:
        known = client.drain(host, devices)
        here = [each for each in client.devices() if each.host == host] if devices else []
    unknown = _not_there(devices, here)
    what = f"{', '.join(devices)} of {host}" if devices else host
    form = {"host": host, "devices": devices, "known": host in known, "hosts": sorted(known), "unknown": unknown}
    tell_change(as_json, form, f"{what} is taken out; `celeriac undrain {place}` gives it back")
    if host not in known:
        (remark if as_json else say)(
            f"no host of that name has spoken yet (there are: {', '.join(sorted(known)) or 'none'})"
        )
    elif unknown:
        there = ", ".join(each.uuid for each in here) or "no live device"
        (remark if as_json else say)(f"{host} has no {', '.join(unknown)} now (it has {there})")


def _not_there(named: "Sequence[str]", here: "Sequence[Device]") -> list[str]:
    """Those of the named devices that are none of these. The index of one that is out already is not known."""
    known = {word for each in here for word in (each.uuid, each.kind)}
    known |= {"".join(filter(str.isdigit, slot.partition(".")[0])) for each in here for slot in each.slots}
    are_out = any(not each.slots for each in here)
    return [each for each in named if each not in known and not (each.isdigit() and are_out)]


def undrain(
    place: str = typer.Argument(help="HOST, or HOST:DEVICES, as it was taken out", show_default=False),
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give a host, or some of its devices, back; without devices, all that was taken out of it."""
    host, devices = _host_and_devices(place)
    with reached(home) as client:
        over = client.undrain(host, devices)
    nothing = f"nothing was taken out of {place}: `celeriac workers` shows what is"
    form = {"host": host, "devices": devices, "given_back": over}
    tell_change(as_json, form, f"{place} is given back" if over else nothing)


def _host_and_devices(place: str) -> tuple[str, list[str]]:
    host, _, devices = place.partition(":")
    return host, [each.strip() for each in devices.split(",") if each.strip()]


def _put_aside(slot: str, rows: "Sequence[PutAside]", names: "Mapping[int, str]") -> list[str]:
    """What the slot does not take now, in words."""
    return [
        f"no trials of {names[each.study_id]}: {each.reason}" if each.study_id else each.reason
        for each in rows
        if each.worker == slot
    ]


def prune(
    older_than: OlderThan,
    reports: Reports = False,
    logs: Logs = False,
    checkpoints: Checkpoints = False,
    models: Models = False,
    dry_run: DryRun = False,
    home: Home = None,
) -> None:
    """Throw away reports, logs and checkpoints of studies that closed long ago; without a choice, all three.

    Studies, trials and scores stay for ever, and champions keep everything. With the checkpoints go the models that
    nights trained in vain, and published versions older than a slice's last two.
    """
    from celeriac.client.retention import Kinds, old_studies
    from celeriac.client.retention import prune as drop
    from celeriac.domain.study_file import seconds_of

    age_s = seconds_of(older_than)
    if age_s is None:
        raise typer.BadParameter(f"--older-than {older_than!r}: must be a time such as 30d, 12h or 90m")
    if not (reports or logs or checkpoints or models):
        reports = logs = checkpoints = True
    with connected(home, why="it deletes files of the hosts that keep them") as client:
        before = client.store.now() - timedelta(seconds=age_s)
        if dry_run:
            names = [study.name for study in old_studies(client.store, before)]
            say(f"{len(names)} studies ended before {before:%Y-%m-%d %H:%M} UTC:")
            for name in names:
                print(name)
            return
        kinds = Kinds(reports, logs, checkpoints, models)
        total = drop(client.store, client.settings, before, kinds, lambda study, _: remark(f"pruned {study.name}"))
        _tell_dropped(total, client.settings.checkpoint_root)
        others = sorted({each.host for each in client.store.devices()} - {client.settings.host})
    if logs and others:
        remark(f"Note: log files on {', '.join(others)} go within an hour: the node there deletes them")
    for line in total.refused:
        remark(f"Note: {line}")


def _tell_dropped(total: "Dropped", checkpoint_root: Path) -> None:
    counts = {"report": total.reports, "log tail": total.logs, "checkpoint": total.checkpoints}
    dropped = ", ".join(text.counted(count, what) for what, count in counts.items())
    megabytes = total.size_bytes / 2**20
    say(f"dropped {dropped}; deleted {text.counted(total.files, 'file')}, {megabytes:.1f} MiB, on this host")
    if total.missing:
        gone = f"{text.counted(total.missing, 'checkpoint')} had no file below {checkpoint_root} here"
        remark(f"Note: {gone}: deleted before, or on a host that does not share it")


def migrate(home: Home = None) -> None:
    """Bring the database to this program's schema, and its roles to their passwords where these are set."""
    from celeriac.client.upgrade import upgrade

    for line in upgrade(home):
        say(line)


_ENV = """\
# Written by `celeriac init`. Keep it private: whoever reads it may run code on the GPU hosts.
# docs/explanation/security.md says more.
POSTGRES_PASSWORD={postgres}
CELERIAC_COORDINATOR_PASSWORD={coordinator}
CELERIAC_WORKER_PASSWORD={worker}
REDIS_COORDINATOR_PASSWORD={redis_coordinator}
REDIS_WORKER_PASSWORD={redis_worker}
REDIS_FLOWER_PASSWORD={redis_flower}
REDIS_COMMAND_PASSWORD={redis_command}
FLOWER_USER=celeriac
FLOWER_PASSWORD={flower}
# The address on which Postgres and Redis are published, for GPU hosts that join. Loopback: for this host only.
CELERIAC_PUBLISH=127.0.0.1
# The directory with your training code; the workers see it as /code.
CELERIAC_CODE=./examples
# Which worker runs on this host: gpu (one slot a GPU) or cpu (CELERIAC_SLOTS slots; empty: as many as the CPU bears).
COMPOSE_PROFILES={profile}
CELERIAC_SLOTS=
# This host's name in lists of workers.
CELERIAC_HOST={host}
"""


def init(directory: Where = Path()) -> None:
    """Write the .env file that docker compose needs, with random passwords; never overwrites one."""
    path = directory / ".env"
    redis = (f"redis_{login}" for login in ("coordinator", "worker", "flower", "command"))
    names = ("postgres", "coordinator", "worker", "flower", *redis)
    words = {name: secrets.token_urlsafe(24) for name in names}
    try:
        # Created private and only if it is not there, so that no password is ever readable by others, or lost.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        there = isinstance(error, FileExistsError)
        why = "exists: it is left as it is; move it away to get new passwords"
        remark(f"celeriac: {path} {why if there else f'cannot be written: {error.strerror}'}")
        raise typer.Exit(WRONG) from None
    with os.fdopen(handle, "w") as file:
        file.write(
            _ENV.format(**words, profile="gpu" if Path("/dev/nvidiactl").exists() else "cpu", host=os.uname().nodename)
        )
    say(f"wrote {path} with new passwords, readable by you alone; now: docker compose up -d --build")


def doctor(home: Home = None, gpu: TestGpus = False, as_json: AsJson = False) -> None:
    """Check all that the service needs here, and say what to do about what is missing; or test this host's GPUs."""
    from celeriac.cli.doctor import examine, examine_gpus

    if gpu and not as_json:
        remark("Testing the GPUs of this host: some seconds for each …")
    checks = examine_gpus() if gpu else examine(home)
    if as_json:
        print_json(checks)
    else:
        show(Grid(("check", "verdict", "found"), [(each.name, each.verdict, each.told) for each in checks]))
    if any(each.verdict == "fail" for each in checks):
        raise typer.Exit(FAILED)
