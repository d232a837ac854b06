"""The file of the GPUs' bench: which figures stand at its top, and that each part keeps to the form."""

import importlib

import pytest

from benchmarks.gpus.__main__ import PARTS

KEYS = {"gang_rounds_ok", "gang_recover_s_p95", "packing_of_bound", "pack_speedup", "busy_2s", "busy_60s"}


def parts() -> list[str]:
    return [name for name in PARTS if importlib.util.find_spec(f"benchmarks.gpus.{name}")]


def test_the_promised_figures_are_some_part_s_each() -> None:
    told = [
        key for name in parts() for key in getattr(importlib.import_module(f"benchmarks.gpus.{name}"), "HEADLINES", ())
    ]
    assert set(told) >= KEYS
    assert len(told) == len(set(told)), "no two parts write the same"


@pytest.mark.parametrize("name", parts())
def test_each_part_measures_and_judges(name: str) -> None:
    part = importlib.import_module(f"benchmarks.gpus.{name}")
    assert callable(part.measure)
    assert callable(part.broken)
