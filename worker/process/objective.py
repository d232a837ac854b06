"""Loads an objective, and finds out whether a process that has loaded it may fork.

Rules: the module's file lies below the worker's code root; none of its names is one of ours; whatever is wrong is said
with the thing, where it was looked for, and what to change.
"""

import gc
import importlib
import importlib.util
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from celeriac.domain.states import Fault
from worker.process import huge_pages, linux
from worker.process.failure import Failed, from_exception, from_words

Objective = Callable[..., Any]
OUR_NAMES = ("celeriac", "coordinator", "worker", "migrations")


class Unusable(Exception):
    """The objective cannot be had; `faulted` says why, in words for the study's owner."""

    def __init__(self, faulted: Failed) -> None:
        super().__init__(faulted.detail)
        self.faulted = faulted


def load(code_root: str, objective: str) -> Objective:
    """Import `module:function` from below `code_root`, which becomes the current directory and first on the path.

    Raises Unusable.
    """
    module_name, _, function_name = objective.partition(":")
    if not module_name or not function_name:
        raise _refused(f"objective {objective!r}: write it as module:function", objective)
    enter(code_root, objective)
    module = _imported(module_name, code_root, objective)
    found: Any = module
    for part in function_name.split("."):
        found = getattr(found, part, None)
        if isinstance(found, ModuleType) and found.__spec__ is not None:
            _below_root(found.__spec__, found.__name__, code_root, objective)
    if not callable(found):
        raise _refused(_absent(module, function_name, found), objective)
    return found  # type: ignore[no-any-return] # callable() has just told


def enter(code_root: str, objective: str) -> None:
    """Make the code root the place to be; refuse one that hides our own packages."""
    if not os.path.isdir(code_root):
        raise _refused(f"code root {code_root!r} is not a directory here: mount or copy the code to it", objective)
    for name in OUR_NAMES:
        for path in (Path(code_root, f"{name}.py"), Path(code_root, name, "__init__.py")):
            if path.exists() and not _is_our_own(name, path):
                raise _refused(
                    f"{path.relative_to(code_root)} in the code root has the name of one of Celeriac's packages:"
                    " rename it",
                    objective,
                )
    os.chdir(code_root)
    sys.path[:] = [code_root, *(each for each in sys.path if each not in ("", code_root))]
    sys.argv = [objective]


def _is_our_own(name: str, path: Path) -> bool:
    """Whether the code root is our own source tree: then the file is the very package it would hide."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None and os.path.samefile(spec.origin, path)


def _imported(name: str, code_root: str, objective: str) -> ModuleType:
    """Import a dotted name, looking where each part comes from before any of its code runs."""
    if name.partition(".")[0] in OUR_NAMES:
        raise _refused(f"objective {objective!r}: {name} is one of Celeriac's own modules", objective)
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        part = ".".join(parts[:end])
        _below_root(_spec(part, code_root, objective), part, code_root, objective)
        try:
            module = importlib.import_module(part)
        except BaseException as error:
            raise Unusable(from_exception(error, code_root, doing=f"objective cannot be imported ({part})")) from error
    return module


def _spec(name: str, code_root: str, objective: str) -> ModuleSpec:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise _refused(f"objective {objective!r}: module {name} cannot be looked up ({error})", objective) from error
    if spec is None:
        modules = sorted(path.stem for path in Path(code_root).glob("*.py"))[:20]
        raise _refused(
            f"objective {objective!r}: no module {name} in the code root {code_root}"
            f" (modules there: {', '.join(modules) or 'none'})",
            objective,
        )
    return spec


def _below_root(spec: ModuleSpec, name: str, code_root: str, objective: str) -> None:
    """Refuse what would come from elsewhere: the standard library, an installed package, a link out of the root.

    A module must be a regular file, a package without an __init__.py a directory. The origins of modules that are in
    Python itself, "built-in" and "frozen", are no paths.
    """
    root = os.path.realpath(code_root)
    is_file = spec.has_location and spec.origin is not None
    places = [spec.origin] if is_file else list(spec.submodule_search_locations or []) if spec.origin is None else []
    is_there = os.path.isfile if is_file else os.path.isdir
    for place in places or [None]:
        if place is None or not (os.path.realpath(place).startswith(root + os.sep) and is_there(place)):
            raise _refused(
                f"objective {objective!r}: module {name} is {place or 'in Python itself'}, outside the code root"
                f" {code_root}; objectives load only from below it: move the file there, or rename it if a package has"
                " its name",
                objective,
            )


def _absent(module: ModuleType, name: str, found: Any) -> str:
    """What to say when the module has no such function."""
    if found is not None:
        return f"{module.__name__}:{name} is a {type(found).__name__}, not a function"
    functions = [
        each
        for each, value in vars(module).items()
        if callable(value) and not each.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]
    return f"{module.__name__} has no {name}; its functions are: {', '.join(functions) or 'none'}"


def _refused(detail: str, objective: str) -> Unusable:
    return Unusable(from_words(Fault.USER_BUG, detail, "objective", objective, detail))


# -- may a process that has loaded it fork? ---------------------------------------------------------------------------
def native_threads() -> int:
    """Threads of this process as the kernel sees them."""
    return len(os.listdir("/proc/self/task"))


def why_not_fork(threads_before: int) -> str:
    """Why children of this process, after the import, would be unsound; empty when they are sound.

    A throw-away fork comes first: libraries that are prepared for forks (OpenBLAS) end their idle threads when one
    happens, so that only threads which no fork handler knows of remain to be counted.
    """
    if cuda_is_initialised():
        return "CUDA is initialised when the objective's module is imported, and cannot be used in a fork"
    if threading.active_count() > 1:
        names = ", ".join(each.name for each in threading.enumerate()[1:])
        return f"the objective's module starts threads when imported ({names})"
    if linux.children(os.getpid()):
        return "the objective's module starts processes when imported"
    _fork_and_forget()
    if native_threads() > threads_before:
        return f"the objective's module leaves {native_threads() - threads_before} native threads running when imported"
    return ""


def cuda_is_initialised() -> bool:
    """By torch's word, or by the device file that every CUDA driver call opens (NVML, which is harmless, does not)."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return True
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}") == "/dev/nvidia-uvm":
                return True
        except OSError:
            continue
    return False


def reseed(seed: int) -> None:
    """Seed every generator that forked processes would share: random's, and numpy's and torch's if they are loaded."""
    random.seed(seed)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)
    if torch is not None:
        # For each kind of device `torch.manual_seed` formats a stack trace, also where this build of torch has none.
        seeded = torch if _has_accelerator(torch) else torch.default_generator
        seeded.manual_seed(seed % 2**63)


def _has_accelerator(torch: Any) -> bool:
    """Whether this build of torch may run on more than the processor; before version 2.6 it cannot say."""
    return not hasattr(torch, "accelerator") or torch.accelerator.current_accelerator() is not None


def settle() -> None:
    """Make forks cheap: nothing is left to import, and no child's garbage collector looks at what is here."""
    reseed(0)  # numpy.random is imported by its first use, 10 ms; torch has its like
    torch = sys.modules.get("torch")
    if torch is not None:
        with suppress(Exception):  # the first optimizer makes torch import its compiler, which takes a second
            torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    gc.collect()
    gc.freeze()
    huge_pages.collapse()


def _fork_and_forget() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12+ warns of the threads we came to see
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
