"""The examples' modules as the service loads them: from their own folder, which comes first on the path."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def _loaded(folder: str) -> ModuleType:
    """`train.py` of one example, under a name of its own, since every example has a `train`."""
    root = EXAMPLES / folder
    spec = importlib.util.spec_from_file_location(f"{folder}_train", root / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(root))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(root))
    return module


@pytest.fixture(scope="session")
def digits() -> ModuleType:
    return _loaded("digits")


@pytest.fixture(scope="session")
def flights() -> ModuleType:
    return _loaded("flights")


@pytest.fixture(scope="session")
def twelve() -> ModuleType:
    return _loaded("twelve")


@pytest.fixture(scope="session")
def forest() -> ModuleType:
    return _loaded("forest")


@pytest.fixture(scope="session")
def elastic() -> ModuleType:
    return _loaded("elastic")


@pytest.fixture(scope="session")
def departures(flights: ModuleType) -> ModuleType:
    return sys.modules["departures"]
