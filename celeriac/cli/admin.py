"""Commands for whoever keeps the service: prune, migrate, init, doctor."""

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from celeriac.cli.exit_codes import FAILED, WRONG
from celeriac.cli.screen import Grid, remark, say, show
from celeriac.cli.service import AsJson, Home, connected

OlderThan = Annotated[
    str,
    typer.Option(
        "--older-than", help="Only of studies that ended longer ago than this: `30d`, `12h`.", show_default=False
    ),
]
Reports = Annotated[bool, typer.Option("--reports", help="Drop reports.")]
Logs = Annotated[bool, typer.Option("--logs", help="Drop logs: the tails in Postgres, the files on this host.")]
Checkpoints = Annotated[bool, typer.Option("--checkpoints", help="Drop checkpoints: rows and files.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which studies it would touch.")]
Where = Annotated[Path, typer.Option("--directory", help="Where the .env file goes: beside docker-compose.yml.")]


def prune(
    older_than: OlderThan,
    reports: Reports = False,
    logs: Logs = False,
    checkpoints: Checkpoints = False,
    dry_run: DryRun = False,
    home: Home = None,
) -> None:
    """Throw away reports, logs and checkpoints of studies that closed long ago; without a choice, all three.

    Studies, trials and scores stay for ever, and champions keep everything.
    """
    from celeriac.cli.text import counted, seconds_of
    from celeriac.client.retention import Kinds, old_studies
    from celeriac.client.retention import prune as drop

    age_s = seconds_of(older_than)
    if age_s is None:
        raise typer.BadParameter(f"--older-than {older_than!r}: must be a time such as 30d, 12h or 90m")
    if not (reports or logs or checkpoints):
        reports = logs = checkpoints = True
    with connected(home) as client:
        before = client.store.now() - timedelta(seconds=age_s)
        if dry_run:
            names = [study.name for study in old_studies(client.store, before)]
            say(f"{len(names)} studies ended before {before:%Y-%m-%d %H:%M} UTC:")
            for name in names:
                print(name)
            return
        kinds = Kinds(reports, logs, checkpoints)
        total = drop(client.store, client.settings, before, kinds, lambda study, _: remark(f"pruned {study.name}"))
        others = sorted({each.host for each in client.store.devices()} - {client.settings.host})
    dropped = ", ".join(
        (counted(total.reports, "report"), counted(total.logs, "log tail"), counted(total.checkpoints, "checkpoint"))
    )
    megabytes = total.size_bytes / 2**20
    say(f"dropped {dropped}; deleted {counted(total.files, 'file')}, {megabytes:.1f} MiB, on this host")
    if total.missing:
        remark(
            f"Note: {counted(total.missing, 'checkpoint')} had no file below {client.settings.checkpoint_root} here:"
            " deleted before, or on a host that does not share it"
        )
    if logs and others:
        remark(f"Note: log files on {', '.join(others)} go within an hour: the node there deletes them")
    for line in total.refused:
        remark(f"Note: {line}")


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
REDIS_PASSWORD={redis}
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
    words = {name: secrets.token_urlsafe(24) for name in ("postgres", "coordinator", "worker", "redis", "flower")}
    try:
        # Created private and only if it is not there, so that no password is ever readable by others, or lost.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        remark(f"celeriac: {path} exists: it is left as it is; move it away to get new passwords")
        raise typer.Exit(WRONG) from None
    except OSError as error:
        remark(f"celeriac: {path} cannot be written: {error.strerror}")
        raise typer.Exit(WRONG) from None
    with os.fdopen(handle, "w") as file:
        file.write(_ENV.format(**words, profile="gpu" if _has_gpu() else "cpu", host=os.uname().nodename))
    say(f"wrote {path} with new passwords, readable by you alone; now: docker compose up -d --build")


def _has_gpu() -> bool:
    """Whether an NVIDIA driver is at work on this host."""
    return Path("/dev/nvidiactl").exists()


def doctor(home: Home = None, as_json: AsJson = False) -> None:
    """Check all that the service needs here, and say what to do about what is missing."""
    from celeriac.cli import json_output
    from celeriac.cli.doctor import examine

    checks = examine(home)
    if as_json:
        print(json_output.dump(json_output.plain(checks)))
    else:
        show(Grid(("check", "verdict", "found"), [(each.name, each.verdict, each.told) for each in checks]))
    if any(each.verdict == "fail" for each in checks):
        raise typer.Exit(FAILED)
