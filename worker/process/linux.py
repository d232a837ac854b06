"""Processes and their descendants on Linux. Promise: what a trial started can be found and ended, also after setsid
and double forks.

Three nets, each under the other: a fork server is a *subreaper*, so every orphan below it becomes its own child; every
process inherits a *mark*, by which others find it when the server is gone; and the *parent-death signal* ends a server
and its children with the process that started them.

The mark is a resource limit: RLIMIT_RTTIME, the processor time of a real-time process between two waits, set to some
10,000 years. A limit is inherited through fork, exec and setsid, also with an empty environment and with all
descriptors closed, and every process may read another's in /proc. The soft limit names the fork server, the hard one
the slot. A program that lowers it on purpose is not found.
"""

import ctypes
import hashlib
import os
import resource
import select
import signal
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_LISTS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()
_CGROUPS = Path("/sys/fs/cgroup")
_MARKED, _MARK_LINE = resource.RLIMIT_RTTIME, b"Max realtime timeout"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells the processes of a slot, or those of one fork server, from all others."""

    is_slot: bool
    number: int


def slot_mark(tag: str) -> Mark:
    """The mark of all that trials of this slot start; alike after a restart."""
    return Mark(True, (1 << 61) + (_hashed(tag) >> 4))


def server_mark(mark: str) -> Mark:
    """The mark of all that one fork server starts."""
    return Mark(False, (1 << 60) + (_hashed(mark) >> 5))


def put_mark(slot: Mark, server: Mark) -> None:
    """Mark this process and all that come from it; inside another trial that one's marks remain."""
    with suppress(OSError, ValueError):
        resource.setrlimit(_MARKED, (server.number, slot.number))


def flush_c_output() -> None:
    """Flush what C code printed into its own buffers."""
    _libc.fflush(None)


def children(parent: int) -> set[int]:
    """Direct children of a single-threaded process; cheap where the kernel lists them, by a scan of /proc elsewhere."""
    try:
        with open(f"/proc/{parent}/task/{parent}/children", "rb", buffering=0) as listed:
            return {int(pid) for pid in listed.read().split()}
    except OSError:
        return {pid for pid, of in _parents().items() if of == parent}


def descendants(root: int, *, spare: Collection[int] = ()) -> set[int]:
    """Everything below `root`, without the subtrees that start at a pid in `spare`."""
    below: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        below.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = [root]
    while todo:
        fresh = [pid for pid in below.get(todo.pop(), []) if pid not in spare and pid not in found]
        found.update(fresh)
        todo += fresh
    return found


def tree_of(root: int, *, spare: Collection[int] = ()) -> set[int]:
    """As `descendants`, at a cost that grows with the tree and not with the host, where the kernel lists children."""
    if not _LISTS_CHILDREN:
        return descendants(root, spare=spare)
    found: set[int] = set()
    todo = [root]
    while todo:
        fresh: set[int] = set()
        with suppress(OSError):
            for thread in (tasks := Path(f"/proc/{todo.pop()}/task")).iterdir():
                with suppress(OSError):
                    fresh |= {int(pid) for pid in (tasks / thread / "children").read_bytes().split()}
        fresh -= found | set(spare)
        found |= fresh
        todo += fresh
    return found


def marked(mark: Mark) -> set[int]:
    """Living processes that carry the mark, this process left out."""
    return {pid for pid in _pids() if pid != os.getpid() and _carries(pid, mark)}


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each; those that are gone, or not ours, are passed over."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end_marked(mark: Mark, *, within_s: float = 5.0) -> set[int]:
    """KILL every process with the mark until none is left or `within_s` is over; returns those that still live.

    Killing and looking again is repeated, since a process may fork between our look and its end.
    """
    deadline = time.monotonic() + within_s
    while alive := marked(mark):
        signal_all(alive, signal.SIGKILL)
        if not _ended(alive, deadline):
            return marked(mark)
    return set()


def oom_kills() -> int:
    """How many processes the kernel has killed for memory in this cgroup so far; of the whole host where it has no
    cgroup.

    Only differences mean something: one that grew while a trial ran, and the trial died by SIGKILL.
    """
    for path in _oom_counters():
        with suppress(OSError):
            for line in path.read_text().splitlines():
                word, _, number = line.partition(" ")
                if word == "oom_kill":
                    return int(number)
    return 0


def _oom_counters() -> list[Path]:
    """Where the kernel counts, nearest first: cgroup v2 or v1, then the whole host."""
    nearest = []
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                nearest.append(_CGROUPS / path.lstrip("/") / "memory.events")
            elif "memory" in controllers.split(","):
                nearest.append(_CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control")
    # In a container the path above is the host's, while the container's own group is mounted at the top.
    return [*nearest, _CGROUPS / "memory.events", _CGROUPS / "memory/memory.oom_control", Path("/proc/vmstat")]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parents() -> dict[int, int]:
    """Process id -> parent's, zombies included (a zombie's children are elsewhere by then)."""
    found = {}
    for pid in _pids():
        with suppress(OSError):
            # The command's name, in parentheses, may itself hold spaces and parentheses.
            found[pid] = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return found


def _carries(pid: int, mark: Mark) -> bool:
    """Whether a process has the mark, and has not ended: one whose first thread is gone lives on in the others."""
    try:
        with open(f"/proc/{pid}/limits", "rb", buffering=0) as file:
            lines = file.read().splitlines()
        limits = next(line for line in lines if line.startswith(_MARK_LINE))[len(_MARK_LINE) :].split()
        if limits[mark.is_slot] != str(mark.number).encode():
            return False
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[0] not in (b"Z", b"X") or int(fields[17]) > 1
    except (OSError, StopIteration, IndexError):
        return False


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _ended(pids: Iterable[int], deadline: float) -> bool:
    """Wait until all have ended, or the deadline; by pidfd, so no process of ours needs to be their parent."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return False
        finally:
            os.close(handle)
    return True
