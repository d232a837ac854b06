"""What a program hands to its trials in a file: pickled where it runs, loaded in a trial's process on a worker.

Functions and classes of the program itself are pickled as they are (cloudpickle), and their code is that of one version
of Python: another one would fail later, and not say why.
"""

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle


def dumped(path: Path, *parts: Any) -> None:
    """Write the parts, one after the other."""
    with path.open("wb") as file:
        pickle.dump(_python(), file)
        for each in parts:
            cloudpickle.dump(each, file)


def loaded(path: Path) -> Iterator[Any]:
    """The parts, each loaded when it is asked for. Raises RuntimeError for those of another Python."""
    with path.open("rb") as file:
        written_by = pickle.load(file)  # noqa: S301 (a version, in the file of the user's own program)
        if written_by != _python():
            raise RuntimeError(
                f"this was started by Python {written_by}, and the worker runs {_python()}: its functions cannot pass"
                " between the two; start it with the Python of the workers"
            )
        while True:
            try:
                yield pickle.load(file)  # noqa: S301 (the same)
            except EOFError:
                return


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"
