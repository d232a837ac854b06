"""`python -m coordinator.adapters DESCRIPTOR STARTER`: answers questions on a socket that it inherited, until nobody
needs it.

It ends with its starter, when nothing was asked for IDLE_S, and after an answer that left it larger than MOST_BYTES:
whoever asks next starts another, since all that it holds are caches.
"""

import os
import sys
import traceback
import warnings
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

import psutil

from celeriac.runtime.process.linux import die_with_parent

IDLE_S = 600.0
MOST_BYTES = 2**30


def main(descriptor: int, starter: int) -> None:
    """Answer question after question: (module, option, space, observations, pending, count, seed)."""
    die_with_parent(starter)
    # Before any library is loaded: the same sums in the same order on every host, and trials need the other cores.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.putenv(variable, "1")
    with Connection(descriptor) as line:
        while line.poll(IDLE_S):
            try:
                line.send(_answer(*line.recv()))
            except (EOFError, BrokenPipeError):  # the starter has gone
                return
            # Not getrusage's ru_maxrss: a process inherits that of its starter.
            if psutil.Process().memory_info().rss > MOST_BYTES:
                return


def _answer(module: str, *question: Any) -> tuple[Any, str]:
    """The proposals and "", or None and what went wrong."""
    try:
        suggest = import_module(module).suggest
        with warnings.catch_warnings():  # libraries set their own filters when they are imported
            warnings.simplefilter("ignore")  # on their own business, to nobody who could act on it
            return suggest(*question), ""
    except Exception as error:
        sys.stderr.write(traceback.format_exc())
        return None, f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
