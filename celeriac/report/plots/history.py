"""The history: every trial's score by number, the best so far, and the default to beat."""

from celeriac.domain.records import TrialRecord
from celeriac.report.plots.chart import (
    BEST,
    DEFAULT,
    LOOKS,
    SCORED,
    Chart,
    Json,
    chart,
    dots,
    kinds,
    label,
    nothing,
    quantity,
    rounded,
)
from celeriac.report.plots.scene import Scene, ended, tooltip

_WIDTH, _HEIGHT = 760, 340
_ROOM = 0.07  # of the height: what a line of text takes


def history(scene: Scene) -> Chart:
    """The chart; nothing before the first score."""
    if scene.best is None:
        return nothing("history", "no trial has a score yet")
    rows = ended(scene)
    for each in rows:
        each["kind"] = "far worse" if each.get("off") and each["state"] == "scored" else each["state"]
    layers = [_points(scene, rows), _best_so_far(scene), _winner(scene, scene.best)]
    if scene.default is not None and scene.default is not scene.best:
        layers.insert(0, _default(scene, scene.default))
    body = {"width": _WIDTH, "height": _HEIGHT, "layer": layers}
    return chart("history", f"{scene.study.name}: history", scene.facts, body)


def _x() -> Json:
    return {**quantity("n", "trial", format="d", tickCount=10), "scale": {"nice": False, "padding": 8}}


def _y(scene: Scene) -> Json:
    return quantity("y", f"{scene.metric} ({scene.study.goal})", scene.window, tickCount=6)


def _points(scene: Scene, rows: list[Json]) -> Json:
    """All finished trials; one that failed has no score, and lies on the edge of the worst."""
    worse = "triangle-down" if scene.study.goal == "maximize" else "triangle-up"
    looks = [LOOKS["scored"], ("far worse", SCORED, worse), LOOKS["pruned"], LOOKS["failed"]]
    there = {row["kind"] for row in rows}
    for each in rows:
        each.setdefault("y", rounded(scene.edge))
    return {
        "data": {"values": rows},
        "mark": dots(size=46 if len(rows) < 500 else 16),
        "params": [{"name": "zoom", "select": "interval", "bind": "scales"}],
        "encoding": {
            "x": _x(),
            "y": _y(scene),
            **kinds([look for look in looks if look[0] in there]),
            "tooltip": tooltip(scene),
        },
    }


def _best_so_far(scene: Scene) -> Json:
    """A step for each trial that was better than all before it, drawn on to the last trial."""
    steps: list[Json] = []
    best = float("inf")
    for trial in scene.scored:
        if scene.loss_of(trial) < best:
            best = scene.loss_of(trial)
            steps.append({"n": trial.number, "y": trial.score})
    last = max(trial.number for trial in scene.trials)
    steps.append({"n": last, "y": steps[-1]["y"]})
    return {
        "data": {"values": steps},
        "mark": {"type": "line", "interpolate": "step-after", "color": BEST, "strokeWidth": 2, "clip": True},
        "encoding": {"x": _x(), "y": _y(scene)},
    }


def _winner(scene: Scene, best: TrialRecord) -> Json:
    up = scene.study.goal == "maximize"
    name = "the default is the best:" if best is scene.default else "best"
    words = f"{name} {best.score:.6g} (trial {best.number})"
    data = {"values": [{"n": best.number, "y": best.score, "words": words}]}
    right = best.number > 0.7 * max(trial.number for trial in scene.trials)
    return {
        "data": data,
        "encoding": {"x": _x(), "y": _y(scene)},
        "layer": [
            {"mark": {"type": "point", "shape": "circle", "size": 150, "color": BEST, "strokeWidth": 2, "opacity": 1}},
            *label(
                {
                    "align": "right" if right else "left",
                    "dx": -8 if right else 8,
                    "dy": -14 if up else 14,
                    "color": BEST,
                    "fontWeight": "bold",
                },
                {"text": {"field": "words"}},
            ),
        ],
    }


def _default(scene: Scene, default: TrialRecord) -> Json:
    low, high = scene.window
    worse = abs((default.score or 0.0) - scene.edge) > _ROOM * (high - low)  # away from the best, where there is room
    below = 9 if worse == (scene.study.goal == "maximize") else -8
    data = {"values": [{"y": default.score, "words": f"default {default.score:.6g}"}]}
    return {
        "data": data,
        "encoding": {"y": _y(scene)},
        "layer": [
            {"mark": {"type": "rule", "strokeDash": [5, 4], "color": DEFAULT, "clip": True}},
            *label(
                {"align": "right", "dx": -4, "dy": below, "color": DEFAULT, "clip": True},
                {"x": {"value": _WIDTH}, "text": {"field": "words"}},
            ),
        ],
    }
