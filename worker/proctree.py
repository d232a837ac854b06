"""Processes and their descendants on Linux. Promise: what a trial started can be found and ended, also after setsid and double forks.

Three nets, each under the other: a fork server is a *subreaper*, so every orphan below it becomes its own child; every
process inherits a *mark* in its environment, by which others find it when the server is gone; and the *parent-death
signal* ends a server and its children with the process that started them.
"""

import ctypes
import os
import select
import signal
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD of linux/sched.h
_EXEC_S = 0.5
_CGROUPS = Path("/sys/fs/cgroup")
_libc = ctypes.CDLL(None, use_errno=True)


def flush_c_output() -> None:
    """Flush what C code printed into its own buffers."""
    _libc.fflush(None)


def leave_this_processor() -> None:
    """Go on on another processor, where there is one that this process may use: whoever was just woken here runs at once.

    Linux wakes a reader on its writer's processor, which it takes to be free in a moment. A writer that now ends keeps it instead:
    the kernel unmaps some hundred MB for 2 to 3 ms, and does not stop for others (seen with `perf sched timehist`).
    """
    others = os.sched_getaffinity(0) - {_libc.sched_getcpu()}
    if others:
        with suppress(OSError):  # a processor that is just being taken away
            os.sched_setaffinity(0, others)


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


def marked(name: str, value: str) -> set[int]:
    """Living processes that were started with `name=value` in their environment, this process left out."""
    entry = f"{name}={value}".encode()
    return {pid for pid in _pids() if pid != os.getpid() and entry in _environment(pid)}


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each; those that are gone, or not ours, are passed over."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end_marked(name: str, value: str, *, known: Iterable[int] = (), within_s: float = 5.0) -> set[int]:
    """KILL every process with the mark until none is left or `within_s` is over; returns those that still live.

    Killing and looking again is repeated, since a process may fork between our look and its end. `known` are waited for, too: one
    that is dying has no environment left to be found by, and still holds its memory and devices.
    """
    deadline = time.monotonic() + within_s
    while alive := marked(name, value):
        signal_all(alive, signal.SIGKILL)
        if not _ended(alive, deadline):
            return marked(name, value)
    _ended(known, deadline)
    return set()


def oom_kills() -> int:
    """How many processes the kernel has killed for memory in this cgroup so far; of the whole host where it has no cgroup.

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
    return [
        *nearest,
        _CGROUPS / "memory.events",
        _CGROUPS / "memory/memory.oom_control",
        Path("/proc/vmstat"),
    ]


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


def _environment(pid: int) -> list[bytes]:
    """What a process was started with; one in the middle of `exec` has none for a moment, and is looked at again."""
    until = time.monotonic() + _EXEC_S
    data, waited_for = b"", True
    with suppress(OSError):
        while not (data := Path(f"/proc/{pid}/environ").read_bytes()) and waited_for:
            waited_for = (
                _in_exec(pid) and time.monotonic() < until
            )  # if it is over, what is read next is whole
            time.sleep(0.001 if waited_for else 0.0)  # nothing tells when it is over
    return data.split(b"\0")


def _in_exec(pid: int) -> bool:
    """Whether the kernel has not laid out the environment yet: of a live process, and no thread of the kernel's own."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    state, flags, environment_end = fields[0], int(fields[6]), int(fields[48])
    return state not in (b"Z", b"X") and not flags & _KERNEL_THREAD and environment_end == 0


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
