"""What the runs of the published sequences say in pairs."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.nights.ratios import compared, earlier, main, ratio, read, shares


def line(method: str, name: str, seed: int, *ends: float) -> str:
    return json.dumps({"method": method, "name": name, "seed": seed, "regrets": [[1.0] * 24 + [end] for end in ends]})


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_ratio_of_pairs_that_are_proportional_is_exact_and_others_have_their_error() -> None:
    others = np.array([0.1, 0.2, 0.6])
    assert ratio(0.5 * others, others) == pytest.approx((0.5, 0.0))
    drawn = np.random.default_rng(1).normal(size=(2000, 2, 110)) * 0.1 + [[0.7], [1.0]]
    ratios = np.array([ratio(*each) for each in drawn])
    assert ratios[:, 1].mean() == pytest.approx(ratios[:, 0].std(), rel=0.1)


def test_only_pairs_count_and_the_regret_is_shared_out(tmp_path: Path) -> None:
    regrets = read(
        [
            written(tmp_path / "a", line("ours", "x", 1, 0.1, 0.3), line("ours", "y", 1, 0.0, 0.4)),
            written(tmp_path / "b", line("rule", "x", 1, 0.4, 0.4), line("cold", "y", 2, 1.0)),
        ]
    )
    assert compared(regrets, "ours", "rule")[25] == pytest.approx((0.5, 0.0))
    assert compared(regrets, "ours", "cold") == {}
    assert earlier(regrets, "rule")[0] == pytest.approx(2.5)
    names, nights = shares(regrets, "ours")
    assert names == {"x": pytest.approx(0.5), "y": pytest.approx(0.5)}
    assert nights == {2: pytest.approx(0.125), 3: pytest.approx(0.875)}


def test_runs_of_two_versions_are_not_mixed(tmp_path: Path) -> None:
    same = written(tmp_path / "a", line("ours", "x", 1, 0.1))
    assert len(read([same, same])) == 1
    with pytest.raises(ValueError, match="ours x 1 is there twice and differs"):
        read([same, written(tmp_path / "b", line("ours", "x", 1, 0.2))])


def test_without_runs_it_says_how_to_make_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none")])
    assert "none: make the runs with python -m benchmarks.nights.tables" in capsys.readouterr().err


def test_it_prints_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(written(tmp_path / "a", line("ours", "x", 1, 0.1, 0.3), line("rule", "x", 1, 0.4, 0.4)))])
    printed = capsys.readouterr().out
    assert f"{'ours / rule':18}{'    1.00 ±0.00' * 3}    0.50 ±0.00\n" in printed
    assert "ours's regret at the end: night 2 25%, night 3 75%, x 100%" in printed
