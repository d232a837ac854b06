"""A dump of a database at work, restored as docs/how-to/backup.md says, holds the same records and goes on from
there.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import TrialState
from celeriac.local.postgres import installed_binaries
from celeriac.store import Store, open_store
from celeriac.store.migrate import migrate
from tests.celeriac.store.scenes import (
    device,
    failed,
    leased,
    new_study,
    queued,
    report,
    schedule,
    scored,
    searching,
    verdict,
)
from tests.servers import Servers


@pytest.fixture
def another_database(servers: Servers) -> Iterator[str]:
    name = f"celeriac_restored_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    yield servers.database(name, migrated=False)
    servers.drop(name)


def fill(store: Store) -> None:
    """One of everything."""
    study = queued(store, 4)
    lease = leased(store, study, 0)
    store.report(lease.token, [report(lease, step, 0.1 * step, checkpoint=True) for step in range(3)])
    store.renew(lease.token, 30, log_tail="epoch 1\nwide \U0001f966")
    store.finish_attempt(lease.token, scored(0.1 + 0.2, metrics={"z": 1e22, "a": 1e-4}, step=2))
    store.finish_attempt(leased(store, study, 1).token, failed(traceback="Traceback …"))
    running = leased(store, study, 2)
    store.begin(running.token, fingerprint="abc", resumed_step=None, log_path="1/2-1.log")
    store.put_devices("here", [device("cpu")])
    store.put_schedule(schedule())
    fired = searching(store)
    store.record_champion(verdict(fired, promoted=True))
    store.move_study(fired.id, StudyEvent.STOP, "a person asked")


def everything(store: Store) -> dict[str, Any]:
    """All records that the store can give."""
    studies = store.studies()
    trials = [trial for study in studies for trial in store.trials(study.id)]
    keys = [(trial.study_id, trial.number) for trial in trials]
    return {
        "studies": studies,
        "trials": trials,
        "attempts": [store.attempts(*key) for key in keys],
        "reports": [store.reports(*key) for key in keys],
        "checkpoints": [store.checkpoints(*key) for key in keys],
        "logs": [store.log_tail(*key, attempt.number) for key in keys for attempt in store.attempts(*key)],
        "devices": store.devices(),
        "schedules": store.schedules(),
        "firings": store.firings("nightly"),
        "champions": store.champions(),
    }


@pytest.mark.parametrize("options", [(), ("--clean", "--if-exists")])
def test_a_restored_dump_goes_on(
    store: Store, database: str, another_database: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    fill(store)
    programs, dump = installed_binaries(), tmp_path / "celeriac.dump"
    run(programs / "pg_dump", "-Fc", "-d", plain(database), "-f", dump)
    if options:  # into a home that has its tables already
        migrate(another_database)
    quiet = ("--no-owner", "--no-privileges", "--exit-on-error")
    run(programs / "pg_restore", *options, *quiet, "-d", plain(another_database), dump)
    assert migrate(another_database).current
    restored = open_store(another_database)
    restored.check_schema()
    assert everything(restored) == everything(store)
    study = restored.studies()[-1]
    token = restored.attempts(study.id, 2)[0].token
    assert restored.finish_attempt(token, scored(0.9)).state is TrialState.SCORED
    assert restored.create_study(new_study()).id > max(each.id for each in store.studies())
    restored.close()


def run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def plain(url: str) -> str:
    """The URL as Postgres' own programs read it."""
    return url.replace("+psycopg", "")
