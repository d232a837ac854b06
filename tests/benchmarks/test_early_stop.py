"""The comparison of early stopping: its clock, that ours decides like Optuna's on the same trainings, and a bar that
can fail.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.early_stop import __main__ as program
from benchmarks.early_stop import report
from benchmarks.early_stop.clock import Outcome, order_of, study
from benchmarks.early_stop.curves import Curves, table
from benchmarks.early_stop.stoppers import Nobody, Ours, stopper
from celeriac.domain.stop_rules import Asha

SHORT = Curves(
    "short",
    value=np.array([[0.1, 0.5, 0.4], [0.2, 0.3, 0.6], [0.3, 0.1, 0.1]]),
    test=np.array([[0.0, 0.45, 0.0], [0.0, 0.0, 0.55], [0.0, 0.0, 0.0]]),
    seconds=np.array([1.0, 2.0, 1.0]),
)


class Listening:
    """Stops trial 0 after two epochs, and notes what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, int, float]] = []

    def stops(self, number: int, epoch: int, value: float) -> bool:
        self.heard.append((number, epoch, value))
        return (number, epoch) == (0, 2)


def test_the_clock_tells_every_report_in_the_order_of_time_but_the_last_of_a_training() -> None:
    listening = Listening()
    outcome = study(SHORT, listening, np.array([0, 1, 2]), workers=2)
    assert listening.heard == [(0, 1, 0.1), (0, 2, 0.5), (1, 1, 0.2), (2, 1, 0.3), (1, 2, 0.3), (2, 2, 0.1)]
    assert outcome == Outcome(score=0.6, test=0.55, last=0.6, finished=2, epochs=8, device_s=11.0, wall_s=6.0)


def test_a_training_is_scored_with_its_best_epoch() -> None:
    outcome = study(SHORT, Nobody(), np.array([0]), workers=2)
    assert (outcome.score, outcome.test, outcome.last) == (0.5, 0.45, 0.4)


@pytest.mark.parametrize("least", [1, 9])
def test_ours_stops_whom_optuna_stops(least: int) -> None:
    """The same rule written twice, by two houses."""
    curves = table()
    order = order_of(curves, 96, seed=3)
    ours = study(curves, stopper(f"asha:{least}", 81), order, 8)
    assert ours == study(curves, stopper(f"optuna:{least}", 81), order, 8)
    assert ours.finished < 20


def test_the_shipped_trainings_are_whole() -> None:
    curves = table()
    assert curves.value.shape == curves.test.shape == (384, 81)
    assert np.isfinite(curves.value).all()
    assert (curves.seconds > 0).all()
    assert sorted(order_of(curves, 384, seed=1)) == list(range(384))


def test_a_stopper_that_nobody_knows_is_named() -> None:
    with pytest.raises(ValueError, match="no stopper is named 'asah'"):
        stopper("asah", 81)


def test_asha_keeps_the_score_with_a_third_of_the_epochs() -> None:
    rows = program.compared(table(), 128, range(20, 26), ["none", "asha"])
    assert report.missed(rows) == []


def test_the_bar_fails_where_too_much_is_lost_or_trained() -> None:
    def outcomes(score: float, epochs: int) -> list[Outcome]:
        return [Outcome(score + 0.01 * k, 0.0, 0.0, 1, epochs, 1.0, 1.0) for k in range(5)]

    base = outcomes(0.9, 100)
    error = report.rows_of({"none": base})[0].score_error
    assert report.missed(report.rows_of({"none": base, "asha": outcomes(0.9 - 0.9 * error, 33)})) == []
    (lost,) = report.missed(report.rows_of({"none": base, "asha": outcomes(0.9 - 1.1 * error, 33)}))
    assert "below no stopping" in lost
    (long,) = report.missed(report.rows_of({"none": base, "asha": outcomes(0.9, 34)}))
    assert "34% of the epochs" in long


def test_the_program_writes_its_figures_and_says_whether_the_bar_is_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "early_stop.json"
    monkeypatch.setattr(program, "digits", lambda: replace(table(), name="digits"))
    monkeypatch.setattr("sys.argv", ["x", "--seeds", "20-22", "--stoppers", "none,asha", "--out", str(out)])
    assert program.main() == 0
    found = json.loads(out.read_text())
    assert found["met"]
    assert set(found["sets"]) == {"table", "digits"}
    assert found["sets"]["table"]["stoppers"]["asha"]["epochs"] < 1 / 3
    assert "| asha, from 9 | 0.9" in capsys.readouterr().out
    monkeypatch.setattr(
        program, "stopper", lambda name, epochs: Ours(Asha(1, epochs, 9)) if name == "asha" else Nobody()
    )
    assert program.main() == 1
    assert not json.loads(out.read_text())["met"]
