"""Loads a sampler's model late: the first trials must start at once, and what nobody uses must not be loaded.

A sampler's own file imports no numerical library; its model's file does, and loads in the background while the first
trials train.
"""

import sys
from functools import cache
from importlib import import_module
from threading import Thread
from types import ModuleType


@cache
def load_ahead(module: str) -> None:
    """Load a module in the background, once a process: a numerical library takes a second or two."""
    Thread(target=loaded, args=(module,), name=f"load {module}", daemon=True).start()


@cache
def loaded(module: str) -> ModuleType:
    """The module, without pandas: sklearn loads it where it is installed, for nothing that is used here.

    That saves a second and 30 MB; where pandas is loaded already, nothing is hidden.
    """
    hidden = "pandas" not in sys.modules
    if hidden:
        sys.modules["pandas"] = None  # type: ignore[assignment] # the documented way to make an import fail
    try:
        return import_module(module)
    finally:
        if hidden:
            del sys.modules["pandas"]
