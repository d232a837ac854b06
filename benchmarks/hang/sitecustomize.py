"""Makes a directory hang in every Python program that has this folder on its path, as a mount does whose server is
gone.

`PYTHONHANGFLAG` names a file; while it is there, nothing is deleted or opened for writing below the directory that it
names. Each call waits at its place, in its thread, as the kernel would have it wait. For `benchmarks.chaos` only.
"""

import os
import sys
import time
from typing import Any

FLAG = os.environ.get("PYTHONHANGFLAG", "")
WRITING = os.O_WRONLY | os.O_RDWR


def _directory() -> str:
    descriptor = os.open(FLAG, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096).decode()
    finally:
        os.close(descriptor)


def hold(event: str, given: tuple[Any, ...]) -> None:
    """Wait while the directory of this call hangs; everything else passes."""
    if event == "open":
        if not isinstance(given[2], int) or not given[2] & WRITING:
            return
    elif event not in ("os.remove", "shutil.rmtree"):
        return
    path = os.fspath(given[0]) if not isinstance(given[0], int) else ""
    while isinstance(path, str) and os.path.exists(FLAG) and path.startswith(_directory()):
        time.sleep(0.05)


if FLAG:
    sys.addaudithook(hold)
