"""Faults that kill nothing: a part of the service stands still for some leases, and goes on as if nothing had been.

What is well then loses nothing: no attempt that ran when it began is given to others, and soon after it the next trial
ends.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
from sqlalchemy import text

from benchmarks.embedded import Embedded
from celeriac.client import Client
from celeriac.domain.errors import TryAgain
from celeriac.domain.records import Outcome, StudyState, TrialState
from celeriac.store.connection import open_engine

T = TypeVar("T")

LEASE_S = 6.0
GOES_ON_S = 30.0
SETTLES_S = 2.0
HANG = Path(__file__).parent / "hang"


@dataclass(frozen=True)
class Stood:
    """What stood still, for how long, how many attempts that were well lost their lease, and how soon the next trial
    ended.
    """

    hit: str
    outage_s: float
    superseded: int
    went_on_s: float


def environment(home: Path) -> dict[str, str]:
    """What the service is started with: short leases, and programs whose checkpoint directory can be made to hang."""
    return {
        "CELERIAC_LEASE_S": f"{LEASE_S:g}",
        "CELERIAC_HEARTBEAT_S": "1",
        "PYTHONPATH": str(HANG),
        "PYTHONHANGFLAG": str(flag_of(home)),
    }


def flag_of(home: Path) -> Path:
    """The file that makes the directory hang while it is there."""
    return home / "hangs"


def stand_still(kind: str, stack: Embedded, study: str, flag: Path) -> Stood:
    """Let one of KINDS stand still, and see what it cost."""
    time.sleep(SETTLES_S)  # what a fault just before it took down is given back by then: those attempts were not well
    leases, standing = KINDS[kind]
    before = _running(stack, study)
    began = time.monotonic()
    with standing(stack, flag):
        time.sleep(leases * LEASE_S)
    over = time.monotonic()
    finished = _finished(stack, study)
    while _goes_on(stack, study) and _finished(stack, study) == finished and time.monotonic() - over < GOES_ON_S + 5:
        time.sleep(0.1)
    went_on_s = time.monotonic() - over
    return Stood(f"{len(before)} trials ran", over - began, _superseded(stack, study, before), round(went_on_s, 1))


@contextmanager
def _postgres(stack: Embedded, _: Path) -> Iterator[None]:
    postmaster = stack.programs()["postgres"]
    with _stopped([postmaster, *postmaster.children()]):
        yield


@contextmanager
def _drive(stack: Embedded, _: Path) -> Iterator[None]:
    drive = stack.programs()["drive"]
    with _stopped([drive, *drive.children(recursive=True)]):
        yield


@contextmanager
def _reports(stack: Embedded, _: Path) -> Iterator[None]:
    engine = open_engine(stack.settings.database_url, pool_size=1)
    with engine.connect().execution_options(isolation_level="READ COMMITTED") as session, session.begin():
        session.execute(text("LOCK TABLE report"))
        yield
    engine.dispose()


@contextmanager
def _directory(stack: Embedded, flag: Path) -> Iterator[None]:
    flag.write_text(str(stack.settings.checkpoint_root))
    try:
        yield
    finally:
        flag.unlink()


KINDS: dict[str, tuple[int, Callable[[Embedded, Path], AbstractContextManager[None]]]] = {
    "postgres-stop": (2, _postgres),
    "report-lock": (2, _reports),
    "directory-hang": (3, _directory),
    "drive-stop": (2, _drive),
}


@contextmanager
def _stopped(processes: list[psutil.Process]) -> Iterator[None]:
    """Those that are there; a backend whose client has just left may be gone before, and one that was ending after."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def _running(stack: Embedded, study: str) -> list[tuple[int, int]]:
    """The attempts that run now: trial and number."""

    def ask(client: Client) -> list[tuple[int, int]]:
        found = client.store.trials(client.study(study).record.id, states=[TrialState.RUNNING])
        return [(each.number, each.attempts) for each in found]

    return _asked(stack, ask)


def _finished(stack: Embedded, study: str) -> int:
    return _asked(stack, lambda client: client.study(study).record.counts.finished)


def _goes_on(stack: Embedded, study: str) -> bool:
    return _asked(stack, lambda client: client.study(study).state is StudyState.RUNNING)


def _superseded(stack: Embedded, study: str, attempts: list[tuple[int, int]]) -> int:
    def ask(client: Client) -> int:
        study_id = client.study(study).record.id
        found = [each for trial, _ in attempts for each in client.store.attempts(study_id, trial)]
        return sum((each.trial, each.number) in attempts and each.outcome is Outcome.SUPERSEDED for each in found)

    return _asked(stack, ask)


def _asked(stack: Embedded, ask: Callable[[Client], T]) -> T:
    while True:
        try:
            with stack.client() as client:
                return ask(client)
        except TryAgain:
            time.sleep(0.2)
