"""What a program hands to its trials in a file, and that another Python refuses it."""

from pathlib import Path

import pytest

pytest.importorskip("cloudpickle")

from celeriac.doors import pickled


def test_parts_come_back_one_by_one(tmp_path: Path) -> None:
    pickled.dumped(tmp_path / "parts.pkl", {"a": 1}, lambda x: x + 1)
    first, function = pickled.loaded(tmp_path / "parts.pkl")
    assert (first, function(2)) == ({"a": 1}, 3)


def test_what_another_python_wrote_is_refused_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled, "_python", lambda: "3.9")
    pickled.dumped(tmp_path / "parts.pkl", 1)
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match=r"started by Python 3\.9, and the worker runs 3\.\d+: .*start it with"):
        next(pickled.loaded(tmp_path / "parts.pkl"))
