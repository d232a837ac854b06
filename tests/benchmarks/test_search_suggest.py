"""The costs of `benchmarks.search.suggest`: what is asked, what is counted, and limits that fail when they are
broken.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.search import suggest
from benchmarks.search.suggest import ASKS, BATCHES, SPACE, asks, batches, missed, state, table
from coordinator.samplers import random as random_sampler

WITHIN: dict[str, Any] = {
    "cpu_ms": {"50": 10.0, "500": 20.0, "6000": 60.0},
    "worst_ms": {"50": 99.0},
    "batch30_ms_each": 25.0,
    "pending1000_ms": 150.0,
    "rss_mb": 250.0,
}


def test_a_state_is_a_search_in_its_middle() -> None:
    ended, running = state(90, 30, 1)
    assert [end.trial.number for end in ended] + [trial.number for trial in running] == list(range(120))
    assert len({SPACE.key(end.trial.params) for end in ended}) == 90
    assert (ended, running) == state(90, 30, 1) != state(90, 30, 2)


def test_each_ask_comes_after_one_more_end(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, int]] = []

    def watched(space: Any, observations: Any, pending: Any, count: int, seed: int) -> Any:
        calls.append((len(observations), len(pending), count))
        return random_sampler.suggest(space, observations, pending, count, seed)

    monkeypatch.setattr("benchmarks.search.methods.sampler_for", lambda name: watched)
    taken = asks("ours", 50, 30)
    assert len(taken) == ASKS
    assert min(taken) >= 0
    assert calls[1:] == [(50 + turn, 30, 1) for turn in range(ASKS + 1)]


def test_a_batch_is_one_call_for_a_new_study(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int, int, int]] = []

    def watched(space: Any, observations: Any, pending: Any, count: int, seed: int) -> Any:
        calls.append((len(observations), len(pending), count, seed))
        return random_sampler.suggest(space, observations, pending, count, seed)

    monkeypatch.setattr(suggest, "sampler_for", lambda name: watched)
    assert len(batches("ours:random", 40)) == BATCHES
    assert calls == [(40, 30, 30, seed) for seed in range(1, BATCHES + 1)]


def test_figures_within_the_limits_miss_none() -> None:
    assert missed(WITHIN) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"cpu_ms": {"50": 10.0, "6000": 60.1}}, "cpu_ms at 6000 is 60.1, the bar 60"),
        ({"batch30_ms_each": 25.1}, "batch30_ms_each is 25.1, the bar 25"),
        ({"pending1000_ms": 151.0}, "pending1000_ms is 151.0, the bar 150"),
        ({"rss_mb": 251.0}, "rss_mb is 251.0, the bar 250"),
    ],
)
def test_a_limit_that_is_broken_is_told(changed: dict[str, Any], told: str) -> None:
    assert missed(WITHIN | changed) == [told]


def test_the_peak_stays_when_memory_is_given_back() -> None:
    code = (
        "from benchmarks.search.suggest import peak_mb; before = peak_mb(); "
        "held = b'x' * 64_000_000; del held; print(peak_mb() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(64.0, abs=2.0)


def test_a_size_that_was_not_measured_is_a_dash() -> None:
    gp = {"cpu_ms": {"50": 300.0}, "worst_ms": {"50": 400.0}, "pending1000_ms": 9.0, "rss_mb": 300.0}
    rows = [" ".join(line.split()) for line in table({"ours": WITHIN, "gp": gp}).splitlines()]
    assert rows[2] == "| ours | 10.0 | 20.0 | 60.0 | 99.0 | 150.0 | 25.0 | 250 |"
    assert rows[3] == "| gp | 300.0 | - | - | 400.0 | 9.0 | - | 300 |"


def test_only_ours_is_judged_and_its_figures_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = {"cpu_ms": {"50": 300.0}, "worst_ms": {"50": 400.0}, "pending1000_ms": 900.0, "rss_mb": 300.0}
    found = {"ours": WITHIN, "gp": peer}
    monkeypatch.setattr(suggest, "measure_all", lambda name, sizes: found[name])
    out = tmp_path / "suggest.json"
    assert suggest.main(["--methods", "gp", "--out", str(out)]) == 0
    assert not out.exists()
    assert suggest.main(["--methods", "ours,gp", "--out", str(out)]) == 0
    assert json.loads(out.read_text()) == {**WITHIN, "peers": {"gp": peer}, "missed": []}
    found["ours"] = WITHIN | {"rss_mb": 251.0}
    assert suggest.main(["--methods", "ours,gp", "--out", str(out)]) == 1
    assert "MISSED rss_mb is 251.0, the bar 250" in capsys.readouterr().out
