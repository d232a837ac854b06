"""Trials run by a real fork server: how the tests start one, wait for what it says, and read its end."""

import os
import select
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from worker.process.environment import scrubbed
from worker.process.events import Ended, Event, Exit, Printed
from worker.process.frames import Job
from worker.process.pool import ServerPool
from worker.process.server_handle import Code
from worker.process.trial_process import TrialProcess

OBJECTIVES = str(Path(__file__).parents[1] / "objectives")
PATIENCE_S = 30.0
E = TypeVar("E", bound=Event)


def made_pool(**changes: Any) -> ServerPool:
    environment = scrubbed(os.environ, {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"})
    return ServerPool(**{"environment": environment, "tag": "cpu0.s0@test", "idle_s": 60.0, **changes})


def until_end(child: TrialProcess, events: list[Event] | None = None) -> list[Event]:
    """Every event to the last; an objective of these tests that does not end by itself is a failure of the test."""
    events = events or []
    deadline = time.monotonic() + PATIENCE_S
    while child.ended is None or not any(isinstance(event, Ended) for event in events):
        assert time.monotonic() < deadline, events
        events += child.wait(1.0)
    assert isinstance(events[-1], Ended)
    child.close()
    return events


def until(child: TrialProcess, kind: type[E]) -> E:
    """The first event of that kind."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for event in child.wait(1.0):
            if isinstance(event, kind):
                return event
            assert not isinstance(event, Ended), event
    raise AssertionError(f"no {kind.__name__}")


def gone(*pids: int) -> None:
    """Wait until these processes have ended."""
    for pid in pids:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            assert select.select([handle], [], [], PATIENCE_S)[0]
            os.close(handle)


def ran(pool: ServerPool, objective: str, job: Job, root: str = OBJECTIVES, fingerprint: str = "1") -> list[Event]:
    child = pool.take(Code(root, fingerprint, objective))
    child.start(job)
    return until_end(child)


def only(events: list[Event], kind: type[E]) -> E:
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, events
    return found[0]


def printed(events: list[Event]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Printed))


def exit_of(events: list[Event]) -> Exit:
    return only(events, Ended).exit


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def told_pids(job: Job) -> list[int]:
    return [int(pid) for pid in Path(job.context["pids"]).read_text().split()]


def module(root: Path, name: str, text: str) -> str:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(root)
