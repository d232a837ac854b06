"""Runs of `benchmarks.search`: done once, kept whole, found again; and what an incumbent is."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.search import comparison, methods, runs
from benchmarks.search.clock import Ended, Trial
from benchmarks.search.comparison import do_all, keys
from benchmarks.search.runs import Key, Runs, incumbent_regrets, run


def _keys(*, names: Sequence[str] = ("random",), seeds: Sequence[int] = (0, 1)) -> list[Key]:
    return keys(names, ["branin", "rosenbrock4m"], seeds, [1, 10], 12)


def test_a_rerun_skips_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "made" / "runs.jsonl"
    first, every = _keys(seeds=[0]), _keys()
    assert do_all(first, path, 1) == 0
    before = path.read_text()
    assert do_all(every, path, 1) == 0
    assert path.read_text().startswith(before)
    assert capsys.readouterr().out.count("is there") == len(first) == 4
    found = Runs(path).read()
    assert set(found) == set(every)
    assert all(len(found[key].regrets) == 12 for key in every)


def test_a_line_cut_off_is_run_again(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    every = _keys(seeds=[0])
    do_all(every, path, 1)
    whole = path.read_text()
    path.write_text(whole[:-40])
    assert set(Runs(path).read()) == set(every[:-1])
    do_all(every, path, 1)
    assert set(Runs(path).read()) == set(every)
    with pytest.raises(json.JSONDecodeError):
        json.loads(path.read_text().splitlines()[3])


def test_another_version_of_a_method_or_of_the_problems_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs.jsonl"
    do_all(_keys(seeds=[0]), path, 1)
    monkeypatch.setattr(runs, "version_of", lambda name: "2")
    newer = _keys(seeds=[0])
    assert not set(newer) & set(Runs(path).read())
    do_all(newer, path, 1)
    assert len(Runs(path).read()) == 8
    assert replace(newer[0], problems_version=9) not in Runs(path).read()


def test_our_version_follows_the_code_and_not_its_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = tmp_path / "coordinator" / "samplers"
    room.mkdir(parents=True)
    space = tmp_path / "celeriac" / "space"
    space.mkdir(parents=True)
    (space / "parameters.py").write_text("A = 1\n")
    (room / "gp.py").write_text("B = 1\n")
    monkeypatch.setattr(methods, "__file__", str(tmp_path / "benchmarks" / "search" / "methods.py"))
    versions = []
    for text in ("B = 1\n", "B  =  1  # why\n", "B = 2\n"):
        (room / "gp.py").write_text(text)
        versions.append(methods._code())
    assert versions[0] == versions[1] != versions[2]
    (space / "parameters.py").write_text("A = 2\n")
    assert methods._code() != versions[2]


def test_seeds_are_done_one_after_the_other_and_slow_methods_get_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "version_of", lambda name: "1")
    order = keys(["random", "botorch"], ["branin", "levy10"], range(100, 105), [1, 10], 60)
    assert [key.seed for key in order] == [100] * 8 + [101] * 8 + [102] * 8 + [103] * 4 + [104] * 4
    assert {key.seed for key in order if key.method == "botorch"} == {100, 101, 102}


def test_a_failing_method_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(key: Key) -> runs.Run:
        if key.problem == "branin":
            raise ArithmeticError("no model of this")
        return run(key)

    monkeypatch.setattr(comparison, "run", broken)
    path = tmp_path / "runs.jsonl"
    assert do_all(_keys(), path, 1) == 4
    assert {key.problem for key in Runs(path).read()} == {"rosenbrock4m"}
    assert "no model of this" in capsys.readouterr().out


def test_the_incumbent_is_the_best_observed_and_its_regret_the_true_one() -> None:
    truth = {"a": 5.0, "b": 1.0, "c": 3.0, "d": 0.0}
    observed = [("a", 4.0), ("b", 4.5), ("c", 2.0), ("d", 2.0)]
    ended = [Ended(Trial(number, {"x": name}), loss, float(number)) for number, (name, loss) in enumerate(observed)]
    assert list(incumbent_regrets(lambda params: truth[params["x"]], ended)) == [5.0, 5.0, 3.0, 3.0]


def test_our_sampler_is_called_as_the_coordinator_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One suggestion for the next number, with all ends in their order and the points that run."""
    calls: list[tuple[list[int], list[float | None], list[int], int]] = []
    from coordinator.samplers.random import suggest

    def watched(space: Any, observations: Any, pending: Any, count: int, seed: int) -> Any:
        numbers = [o.point.number for o in observations]
        losses = [o.loss for o in observations]
        calls.append((numbers, losses, [point.number for point in pending], count))
        return suggest(space, observations, pending, count, seed)

    monkeypatch.setattr(methods, "sampler_for", lambda name: watched)
    done = run(Key("ours", "branin", 10, 3, 25, "1"))
    assert len(done.regrets) == 25
    assert done.repeats == 0
    for number, (ended, losses, running, count) in enumerate(calls):
        assert sorted(ended + running) == list(range(number))
        assert len(running) == min(number, 9)
        assert running == sorted(running)
        assert count == 1
        assert all(isinstance(loss, float) for loss in losses)


def test_the_real_sampler_beats_random_on_branin() -> None:
    ours = run(Key("ours", "branin", 1, 100, 25, "1"))
    uniform = run(Key("random", "branin", 1, 100, 25, "1"))
    assert ours.regrets[-1] < uniform.regrets[-1]
    assert ours == replace(run(Key("ours", "branin", 1, 100, 25, "1")), cpu_s=ours.cpu_s)


def test_an_unknown_method_is_told_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no method is called 'tpee' \(known: ours, tpe, "):
        run(Key("tpee", "branin", 1, 0, 5))
