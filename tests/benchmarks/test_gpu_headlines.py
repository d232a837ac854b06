"""The file of the GPUs' bench: which figures stand at its top, and that each part keeps to the form."""

import importlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.gpus import __main__ as bench
from benchmarks.gpus.__main__ import PARTS

KEYS = {"gang_rounds_ok", "gang_recover_s_p95", "packing_of_bound", "pack_speedup", "busy_2s", "busy_60s"}


def test_the_promised_figures_are_some_part_s_each() -> None:
    told = [
        key for name in PARTS for key in getattr(importlib.import_module(f"benchmarks.gpus.{name}"), "HEADLINES", ())
    ]
    assert set(told) >= KEYS
    assert len(told) == len(set(told)), "no two parts write the same"


def test_a_part_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def measure(**_: Any) -> dict[str, int]:
        raise TimeoutError("too slow")

    parts = {
        "gangs": SimpleNamespace(measure=measure),
        "packs": SimpleNamespace(measure=lambda: {"of": 3}, broken=lambda figures: [f"{figures['of']} of 4"]),
        "busy": SimpleNamespace(HEADLINES=("of",), measure=lambda: {"of": 9}, broken=lambda _: []),
    }
    monkeypatch.setattr("benchmarks.gpus.__main__.importlib.import_module", lambda name: parts[name.rpartition(".")[2]])
    out = tmp_path / "gpus.json"
    assert bench.main(["--out", str(out), "--only", *parts]) == 1
    figures = json.loads(out.read_text())
    assert figures["verdict"] == "gangs failed: TimeoutError: too slow; packs: 3 of 4"
    assert (figures["of"], figures["packs"], "gangs" in figures) == (9, {"of": 3}, False)
    assert set(figures["took_s"]) == set(parts)
    assert "[3/3] busy" in capsys.readouterr().out
    assert bench.main(["--out", str(out), "--only", "busy"]) == 0
    assert "busy (last time 0 s)" in capsys.readouterr().out


@pytest.mark.parametrize("name", PARTS)
def test_each_part_measures_and_judges(name: str) -> None:
    part = importlib.import_module(f"benchmarks.gpus.{name}")
    assert callable(part.measure)
    assert callable(part.broken)
