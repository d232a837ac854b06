"""How much a trial's processes may take together, and whether they do; 0 is no limit. Read from /proc."""

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from celeriac.domain.states import Fault
from worker.process.failure import Failed, from_words

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one trial: processes and threads, as the kernel counts them, and bytes of memory."""

    tasks: int = 0
    memory_bytes: int = 0

    def __bool__(self) -> bool:
        return self.tasks > 0 or self.memory_bytes > 0

    def passed(self, pids: Collection[int]) -> Failed | None:
        """What these processes have too much of, as the trial's fault."""
        if 0 < self.tasks < (tasks := tasks_of(pids)):
            detail = f"it had {tasks:,} processes and threads, over CELERIAC_TRIAL_TASKS={self.tasks}"
            return from_words(Fault.USER_BUG, detail, "tasks")
        if 0 < self.memory_bytes < (memory_bytes := self._memory_of(pids)):
            detail = (
                f"its processes held {memory_bytes / 2**20:,.0f} MiB,"
                f" over CELERIAC_TRIAL_MEMORY_BYTES={self.memory_bytes}"
            )
            return from_words(Fault.OUT_OF_MEMORY, detail, "memory")
        return None

    def _memory_of(self, pids: Collection[int]) -> int:
        """Each page counted once, which takes milliseconds: only where the quick sum of shared pages is too much."""
        quick = sum(resident_bytes(pid) for pid in pids)
        return quick if quick <= self.memory_bytes else sum(proportional_bytes(pid) for pid in pids)


def tasks_of(pids: Collection[int]) -> int:
    """Processes with all their threads."""
    tasks = 0
    for pid in pids:
        with suppress(OSError):
            tasks += int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[17])
    return tasks


def resident_bytes(pid: int) -> int:
    """What of a process is in memory, shared or not."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    return 0


def proportional_bytes(pid: int) -> int:
    """What is a process's own, and its share of what it shares; files that can be read again are left out."""
    found = 0
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("Pss_Anon", "Pss_Shmem"):
                found += int(rest.split()[0]) * 1024
    return found
