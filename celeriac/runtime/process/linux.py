"""What our programs ask of the Linux kernel: to end with their starter, and to inherit orphans."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have `number` sent to this process when its parent's thread ends; if `parent` is gone already, end now, by
    SIGKILL.

    A signal that this process handles in Python would not end it: the handler may belong to the program before `exec`,
    or not run at all. The kernel forgets the setting at a fork and at a change of user, and ties it to the thread that
    forked: each process sets it for itself, first thing.
    """
    _prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def become_subreaper() -> None:
    """Make every orphan among this process's descendants its own child."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}, {value}): {os.strerror(number)}")
