"""The charts as data: what is drawn, where, and for which goal; and that each of them can be drawn at all."""

import base64
import itertools
import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.errors import ExtraMissing
from celeriac.domain.records import Goal, TrialState
from celeriac.report.explain.importance import importances
from celeriac.report.plots import KINDS, Chart, Scene, drawn
from celeriac.report.plots.chart import round_numbers
from celeriac.report.plots.parallel import parallel
from celeriac.report.plots.rungs import rungs, worth_a_curve
from celeriac.report.plots.slices import slices
from tests.celeriac.report.explain.rows import trial
from tests.celeriac.report.plots.scenes import SPACE, mixed, scene_of, scores

GOALS: tuple[Goal, ...] = ("maximize", "minimize")


def layers(part: Any) -> Iterator[dict[str, Any]]:
    """Every layer of a chart that has data of its own."""
    if isinstance(part, dict):
        if "data" in part:
            yield part
        for value in part.values():
            yield from layers(value)
    elif isinstance(part, list):
        for value in part:
            yield from layers(value)


def rows(chart: Chart, mark: str) -> list[dict[str, Any]]:
    """The data below the first mark of that type."""
    found = [each for each in layers(chart.spec) if isinstance(each.get("mark"), dict) and each["mark"]["type"] == mark]
    values: list[dict[str, Any]] = found[0]["data"]["values"]
    return values


def judged(scene: Scene) -> Scene:
    found = importances(scene.spec.space, scene.study.goal, scene.trials)
    return replace(scene, importance=found)


# -- all of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("kind", list(KINDS))
def test_each_is_drawn_as_png_and_as_a_page_of_its_own(kind: str, goal: Goal) -> None:
    chart = KINDS[kind](judged(mixed(60, goal)))
    assert chart.kind == kind
    assert drawn.png(chart).startswith(b"\x89PNG\r\n")
    page = drawn.page("digits <1>", [chart])
    assert "<title>digits &lt;1&gt;</title>" in page
    assert f'id="{kind}"' in page
    # Nothing is fetched: no script, style, image or font from elsewhere.
    assert re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)", page.split("<script>")[0]) == []
    assert re.findall(r"<script[^>]+src", page) == []


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_study_without_a_score_has_none_and_says_why(kind: str) -> None:
    waiting = trial(0, {}, None, state=TrialState.WAITING, ended_no=None)
    for trials in ([], [waiting], [trial(0, {}, None)]):
        chart = KINDS[kind](judged(scene_of(trials)))
        assert chart.spec is None
        assert chart.reason
        with pytest.raises(ValueError, match="nothing to draw"):
            drawn.png(chart)


@pytest.mark.parametrize("kind", ["history", "parallel", "slices"])
@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.5, 0.5), (0.0, 0.0), (-1e300, 1e300), (1e-300, 2e-300)])
def test_strange_scores_are_drawn_all_the_same(kind: str, values: tuple[float, ...]) -> None:
    assert drawn.png(KINDS[kind](scores(*values))).startswith(b"\x89PNG")


def test_what_a_study_file_holds_cannot_end_the_pages_script() -> None:
    page = drawn.page("digits", [KINDS["slices"](mixed(30))])
    assert "\\u003c/script>" in page
    assert page.count("</script>") == page.count("<script>") == 2


def test_a_notebook_shows_a_chart_or_its_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = KINDS["history"](mixed(9))
    bundle = chart._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.vegalite.v5+json", "image/png", "text/plain"}
    assert base64.b64decode(bundle["image/png"]) == drawn.png(chart)
    json.dumps(bundle)
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert "image/png" not in chart._repr_mimebundle_()
    assert KINDS["history"](scene_of([]))._repr_mimebundle_() == {"text/plain": "no trial has a score yet"}


def test_files_are_written_for_what_can_be_shown(tmp_path: Path) -> None:
    charts = [KINDS["history"](mixed(9)), KINDS["importance"](judged(mixed(9)))]
    written = drawn.write("digits", charts, tmp_path / "new")
    assert [path.name for path in written] == ["history.png", "history.html", "index.html"]
    assert all(path.is_file() for path in written)
    assert drawn.write("digits", charts[1:], tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


def test_without_vl_convert_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'celeriac\[plots\]'"):
        drawn.png(KINDS["history"](mixed(9)))


def test_thousands_of_trials_stay_small_enough_to_look_at() -> None:
    rng = random.Random(1)
    scene = scores(*(rng.uniform(0, 1) for _ in range(5000)))
    lines = rows(parallel(scene), "line")
    assert len(lines) == 600
    assert scene.best is not None
    assert lines[-1]["n"] == scene.best.number
    best = {each.number for each in sorted(scene.scored, key=scene.loss_of)[:300]}
    assert best <= {line["n"] for line in lines}
    chart = slices(scene)
    assert chart.spec is not None
    points = {row["n"] for row in chart.spec["data"]["values"]}
    assert len(points) == 1500
    assert best <= points
    assert all(len(json.dumps(KINDS[kind](scene).spec)) < 2_000_000 for kind in ("history", "parallel", "slices"))


# -- the scores' window ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", GOALS)
def test_the_window_holds_all_scores_that_are_near(goal: Goal) -> None:
    scene = scores(*(k / 20 for k in range(21)), goal=goal)
    low, high = scene.window
    assert low < 0.0 < 1.0 < high
    assert not any(scene.is_off(k / 20) for k in range(21))


def test_one_absurd_score_does_not_hide_the_others() -> None:
    near = [0.3 + 0.01 * k for k in range(20)]
    down, up = scores(*near, 1e6), scores(*(-each for each in near), -1e6, goal="maximize")
    assert down.window[1] < 1.0
    assert up.window == (-down.window[1], -down.window[0])
    assert down.is_off(1e6)
    assert "1 far worse score is drawn at the edge" in down.facts
    (far,) = [row for row in rows(KINDS["history"](down), "point") if row["kind"] == "far worse"]
    assert (far["score"], far["y"]) == (1e6, pytest.approx(down.edge))
    assert near[-1] < down.edge < down.window[1]


def test_of_few_scores_none_is_cut_off() -> None:
    assert not scores(0.1, 0.2, 1e6).is_off(1e6)


def test_the_default_is_shown_when_the_others_keep_half_of_the_picture() -> None:
    near = [0.3 + 0.01 * k for k in range(40)]
    assert not scores(0.9, *near, 50.0).is_off(0.9)
    assert scores(20.0, *near, 50.0).is_off(20.0)


# -- history --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("goal", "steps"), [("minimize", [(0, 0.5), (2, 0.3)]), ("maximize", [(0, 0.5), (1, 0.6)])])
def test_the_best_so_far_goes_with_the_goal_and_on_to_the_last_trial(
    goal: Goal, steps: list[tuple[int, float]]
) -> None:
    line = rows(KINDS["history"](scores(0.5, 0.6, 0.3, 0.4, goal=goal)), "line")
    assert [(row["n"], row["y"]) for row in line] == [*steps, (3, steps[-1][1])]


def test_the_default_to_beat_is_a_line_unless_it_is_the_best() -> None:
    def words(scene: Scene) -> str:
        return json.dumps(KINDS["history"](scene).spec)

    assert '"default 0.5"' in words(scores(0.5, 0.4))
    assert '"best 0.4 (trial 1)"' in words(scores(0.5, 0.4))
    assert "the default is the best: 0.5 (trial 0)" in words(scores(0.5, 0.6))
    assert "default" not in words(scores(0.5, 0.4, default=False)).replace("suggested", "")


@pytest.mark.parametrize("goal", GOALS)
def test_every_finished_trial_is_there_and_marked(goal: Goal) -> None:
    scene = mixed(30, goal)
    found = {row["n"]: row for row in rows(KINDS["history"](scene), "point")}
    assert len(found) == 30
    for each in scene.trials:
        row = found[each.number]
        if each.state is TrialState.FAILED:
            assert (row["kind"], row["y"]) == ("failed", pytest.approx(scene.edge))
            assert row["words"] == "failed: user_bug"
            assert "score" not in row
        else:
            assert row["kind"] == each.state.lower()
            assert row["score"] == pytest.approx(each.last_value, rel=1e-5)


# -- parallel coordinates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("goal", GOALS)
def test_a_line_goes_through_its_parameters_places_and_the_better_score_is_higher(goal: Goal) -> None:
    scene = scores(0.1, 0.2, 0.9, 0.5, goal=goal)
    lines = {line["n"]: line for line in rows(parallel(scene), "line")}
    assert set(lines) == {0, 1, 2, 3}
    space, names = scene.spec.space, list(scene.parameters)
    for each in scene.scored:
        unit = dict(zip(space.names, space.to_unit(each.params), strict=True))
        line = lines[each.number]
        for axis, name in enumerate(names):
            if name in each.params:
                assert line[f"u{axis}"] == pytest.approx(unit[name], abs=0.026)
            else:
                assert line[f"u{axis}"] < -0.05
        assert f"u{len(names)}" in line
    ordered = sorted(lines, key=lambda n: lines[n][f"u{len(names)}"])
    assert ordered == ([0, 1, 3, 2] if goal == "maximize" else [2, 3, 1, 0])
    assert lines[ordered[-1]]["good"] == 1.0


def test_the_ticks_beside_an_axis_are_values_of_the_parameter() -> None:
    scene = scores(0.1, 0.2)
    ticks = rows(parallel(scene), "tick")
    by_axis = {
        name: [(tick["u"], tick["text"]) for tick in ticks if tick["axis"] == f"u{place}"]
        for place, name in enumerate(scene.parameters)
    }
    assert {text for _, text in by_axis["lr"]} >= {"1e-05", "0.0001", "0.001", "0.01", "0.1"}
    assert {text for _, text in by_axis["layers"]} == {"1", "3", "5", "7", "9"}
    assert [text for _, text in by_axis["optimizer"]] == ["sgd", "adam"]
    assert [text for _, text in by_axis["odd"]] == ["1", "true", "null", "</script>"]
    assert "absent" in {text for _, text in by_axis["momentum"]}
    assert "absent" not in {text for _, text in by_axis["lr"]}
    for found in by_axis.values():
        places = sorted(place for place, _ in found)
        assert all(b - a >= 0.07 for a, b in itertools.pairwise(places))


# -- slices, importance ---------------------------------------------------------------------------------------------


def test_a_slice_has_its_parameters_range_and_scale() -> None:
    chart = slices(mixed(30))
    assert chart.spec is not None
    panels = chart.spec["concat"]
    assert [panel["title"]["text"] for panel in panels] == [
        "lr",
        "width",
        "layers",
        "dropout",
        "optimizer",
        "momentum (only when optimizer is sgd)",
        "odd",
    ]
    scales = [panel["layer"][0]["encoding"]["x"]["scale"] for panel in panels]
    assert [scale.get("type") for scale in scales] == ["log", "log", None, None, None, None, None]
    assert scales[0]["domain"] == [1e-5, 1e-1]
    assert scales[4]["domain"] == ["sgd", "adam"]
    assert scales[6]["domain"] == ["1", "true", "null", "</script>"]
    assert {row["state"] for row in chart.spec["data"]["values"]} == {"scored", "pruned", "failed"}


@pytest.mark.parametrize("goal", GOALS)
def test_pruned_trials_are_in_slices_and_parallel_coordinates_with_their_last_report(goal: Goal) -> None:
    scene = mixed(30, goal)
    pruned = {each.number: each.last_value for each in scene.trials if each.state is TrialState.PRUNED}
    sliced, lines = slices(scene), rows(parallel(scene), "line")
    assert sliced.spec is not None
    for found in (sliced.spec["data"]["values"], lines):
        reports = {row["n"]: row["score"] for row in found if row["state"] == "pruned"}
        assert reports == pytest.approx(pruned, rel=1e-5)
    assert scene.best is not None
    assert lines[-1]["n"] == scene.best.number
    marks = [layer["mark"].get("shape") for layer in sliced.spec["concat"][0]["layer"]]
    assert "diamond" in marks
    assert "10 pruned (orange) stand at their last report" in sliced.spec["title"]["subtitle"]
    no_report = replace(scene.trials[1], last_value=None, last_step=None)
    alone = parallel(scene_of([scene.trials[0], no_report], goal))
    assert [line["n"] for line in rows(alone, "line")] == [0]


def test_a_trial_without_a_parameter_is_in_none_of_its_slices() -> None:
    chart = slices(mixed(30))
    assert chart.spec is not None
    momentum = f"p{list(SPACE).index('momentum')}"
    optimizer = f"p{list(SPACE).index('optimizer')}"
    for row in chart.spec["data"]["values"]:
        assert (momentum in row) == (row[optimizer] == "sgd")


def test_importance_shows_shares_ranges_and_what_cannot_be_judged() -> None:
    scene = judged(mixed(60))
    assert scene.importance is not None
    bars = {row["name"]: row for row in rows_of_importance(scene)}
    assert set(bars) == set(SPACE)
    for each in scene.importance.parameters:
        assert bars[each.name]["share"] == pytest.approx(each.share, rel=1e-5, abs=1e-9)
        assert bars[each.name]["text"].startswith(f"{each.share:.0%}")
    fanova = replace(scene, importance=importances(scene.spec.space, scene.study.goal, scene.trials, "fanova"))
    momentum = next(row for row in rows_of_importance(fanova) if row["name"] == "momentum")
    assert momentum.get("share") is not None or "too few trials have it" in momentum["text"]


def rows_of_importance(scene: Scene) -> list[dict[str, Any]]:
    chart = KINDS["importance"](scene)
    assert chart.spec is not None
    values: list[dict[str, Any]] = chart.spec["data"]["values"]
    return values


# -- rungs ----------------------------------------------------------------------------------------------------------


def test_each_bracket_has_a_panel_with_its_rungs_cutoffs_and_counts() -> None:
    scene = mixed(60)
    chart = rungs(scene)
    assert chart.spec is not None
    assert [panel["title"] for panel in chart.spec["vconcat"]] == ["bracket 0", "bracket 1"]
    for bracket, panel in enumerate(chart.spec["vconcat"]):
        (ticks,) = [layer for layer in panel["layer"] if layer["mark"]["type"] == "tick"]
        low, high = ticks["data"]["values"]
        mine = [record for record in scene.rungs if record.bracket == bracket]
        came = [record for record in mine if record.rung == 3]
        stopped = sum(scene.trials[record.trial].state is TrialState.PRUNED for record in came)
        assert (low["step"], low["text"]) == (3, f"{len(came)} came, {stopped} stopped")
        assert (high["step"], high["text"]) == (9, f"{len(mine) - len(came)} came")
        assert low["value"] == pytest.approx(max(came, key=lambda each: each.place).cutoff, rel=1e-5)
    assert f"{20} of 60 trials were stopped early" in chart.spec["title"]["subtitle"]


def test_without_rungs_they_are_learning_curves_and_without_reports_the_rungs_alone() -> None:
    scene = mixed(30)
    plain = rungs(replace(scene, rungs=()))
    assert plain.spec is not None
    assert plain.spec["title"]["text"] == "digits: learning curves"
    assert [row["n"] for row in rows(plain, "line") if row["step"] == 1] != []
    assert plain.spec["layer"][0]["encoding"]["x"]["axis"]["values"] == list(range(1, 10))
    alone = rungs(replace(scene, curves={}))
    steps = {row["step"] for row in rows(alone, "line")}
    assert steps == {3, 9}


def test_rungs_of_another_resource_stand_where_trials_crossed_them() -> None:
    scene = mixed(30)
    samples = [replace(each, bracket=0, rung=1000 * each.rung, resource=1024.0 * each.rung) for each in scene.rungs]
    ticks = rows(rungs(replace(scene, rungs=samples)), "tick")
    assert [(tick["step"], tick["rung"]) for tick in ticks] == [(3, 3000), (9, 9000)]
    assert ticks[0]["text"].startswith("3000: ")


@pytest.mark.parametrize("goal", GOALS)
def test_of_many_trials_the_best_third_and_a_sample_get_a_curve(goal: Goal) -> None:
    scene = mixed(300, goal)
    drawn_ = worth_a_curve(scene.trials, goal, most=60)
    assert len(drawn_) == len(set(drawn_)) == 60
    best = sorted(scene.scored, key=scene.loss_of)[:20]
    assert {each.number for each in best} <= set(drawn_)
    assert {scene.trials[n].state for n in drawn_} == {TrialState.SCORED, TrialState.PRUNED, TrialState.FAILED}
    assert worth_a_curve(scene.trials[:30], goal, most=60) == list(range(30))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-3.0, 11.0, [0, 5, 10]), (0.91, 0.99, [0.92, 0.94, 0.96, 0.98])],
)
def test_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert round_numbers(low, high) == pytest.approx(expected)


def test_round_numbers_over_the_whole_range_of_doubles() -> None:
    found = round_numbers(-1e308, 1e308)
    assert 4 <= len(found) <= 12
    assert all(-1e308 <= each <= 1e308 for each in found)
