"""Rungs: how reports went over the steps, and where early stopping judged them.

A dashed line is a rung; the bar on it is the cutoff among all that came there, as it stood after the last one; the
words above it say how many trials came and how many of them were stopped there. Without early stopping these are plain
learning curves. Trials that never met a rung (a default and a champion are exempt) are drawn in every bracket's panel.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from celeriac.domain.records import Goal, RungRecord, TrialRecord, TrialState
from celeriac.report.plots.chart import (
    BEST,
    FAINT,
    INK,
    LOOKS,
    Chart,
    Json,
    chart,
    dots,
    kinds,
    label,
    nothing,
    quantity,
    round_numbers,
    rounded,
    tips,
)
from celeriac.report.plots.scene import Scene, words

_WIDTH, _HEIGHT = 760, 360
MOST_CURVES = 240
_OTHER = ("not ended", FAINT, "circle")
_FROM_LOG = 8  # steps that far apart, first to last, are shown by their logarithm


def rungs(scene: Scene) -> Chart:
    """The chart of the curves and rungs; nothing when no trial has reported."""
    curves = {n: points for n, points in scene.curves.items() if points} or _from_rungs(scene)
    if not curves:
        return nothing("rungs", "no trial has reported a step")
    brackets: dict[int, list[RungRecord]] = defaultdict(list)
    for record in scene.rungs:
        brackets[record.bracket].append(record)
    home = {record.trial: record.bracket for record in scene.rungs}
    losses = [scene.loss(value) for points in curves.values() for _, value in points]
    window = scene.window_of(losses + [scene.loss(record.value) for record in scene.rungs])
    panels = []
    for bracket in sorted(brackets) or [0]:
        mine = {n: points for n, points in curves.items() if home.get(n, bracket) == bracket}
        name = f"bracket {bracket}" if len(brackets) > 1 else ""
        panels.append(_panel(scene, mine, brackets[bracket], window, name))
    body = panels[0] if len(panels) == 1 else {"vconcat": panels}
    kind = "rungs" if scene.rungs else "learning curves"
    return chart("rungs", f"{scene.study.name}: {kind}", [*scene.facts[:1], *_told(scene, len(curves))], body)


def _told(scene: Scene, drawn: int) -> list[str]:
    facts = []
    stopped = sum(trial.state is TrialState.PRUNED for trial in scene.trials)
    if stopped:
        facts.append(f"{stopped} of {len(scene.trials)} trials were stopped early")
    if drawn < len(scene.trials):
        rest = "; the rungs count all" if scene.rungs else ""
        facts.append(f"{drawn} of {len(scene.trials)} trials are drawn{rest}")
    return facts


def worth_a_curve(trials: Sequence[TrialRecord], goal: Goal, most: int = MOST_CURVES) -> list[int]:
    """The trials to draw: all, or of more than `most` the best third and a sample of the others."""
    sign = -1.0 if goal == "maximize" else 1.0
    begun = [trial for trial in trials if trial.last_step is not None or trial.score is not None]
    ranked = sorted(begun, key=lambda trial: (trial.score is None, sign * (trial.score or 0.0), trial.number))
    if len(ranked) > most:
        best, rest = ranked[: most // 3], ranked[most // 3 :]
        room = most - len(best)
        ranked = best + [rest[len(rest) * k // room] for k in range(room)]
    return sorted(trial.number for trial in ranked)


def _from_rungs(scene: Scene) -> Mapping[int, Sequence[tuple[int, float]]]:
    """Curves made of rung records alone."""
    drawn = set(worth_a_curve(scene.trials, scene.study.goal))
    found: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for record in sorted(scene.rungs, key=lambda each: each.step):
        if record.trial in drawn:
            found[record.trial].append((record.step, record.value))
    return found


def _panel(
    scene: Scene,
    curves: Mapping[int, Sequence[tuple[int, float]]],
    records: Sequence[RungRecord],
    window: tuple[float, float],
    name: str,
) -> Json:
    trials = {trial.number: trial for trial in scene.trials}
    steps = [step for points in curves.values() for step, _ in points] + [record.step for record in records]
    x = quantity("step", "step", format="d", values=_whole(min(steps), max(steps)))
    x["scale"] = {"nice": False, "padding": 10}
    if min(steps) > 0 and max(steps) / min(steps) >= _FROM_LOG and records:
        x["scale"] = {"type": "log", "nice": False, "padding": 10}
        x["axis"] = {"values": sorted({*_where(records).values(), max(steps)}), "grid": False, "format": "d"}
    y = quantity("value", f"{scene.metric} ({scene.study.goal})", window, tickCount=6)
    layers = [*_curves(scene, curves, trials, x, y), *_rungs(records, trials, x, y)]
    titled = {"title": name} if name else {}
    return {"width": _WIDTH, "height": _HEIGHT, "layer": layers, **titled}


def _whole(first: int, last: int) -> list[int]:
    """Round whole steps from the first to the last."""
    between = round_numbers(first, last, about=10) if first < last else [first]
    return [round(step) for step in between if step == round(step)]


def _curves(
    scene: Scene, curves: Mapping[int, Sequence[tuple[int, float]]], trials: Mapping[int, TrialRecord], x: Json, y: Json
) -> list[Json]:
    """A line a trial and its end, the best trial's on top."""
    best = scene.best.number if scene.best is not None else -1
    rows, ends = [], []
    for n in sorted(curves, key=lambda each: (each == best, trials[each].state is TrialState.SCORED, each)):
        kind = "best" if n == best else LOOKS.get(trials[n].state.lower(), _OTHER)[0]
        points = [{"n": n, "step": step, "value": rounded(value), "kind": kind} for step, value in curves[n]]
        rows += points
        ends.append({**points[-1], "words": words(trials[n]), "score": trials[n].score})
    looks = [("best", BEST, "circle"), *LOOKS.values(), _OTHER]
    kind_by = kinds([look for look in looks if any(row["kind"] == look[0] for row in ends)])
    faint = max(0.15, min(0.7, 25 / len(curves)))
    last = (("step", "last step"), ("value", "last report"))
    tooltip = tips(("n", "trial"), ("words", "end"), *last, ("score", "score"))
    return [
        {
            "data": {"values": rows},
            "mark": {"type": "line", "clip": True},
            "encoding": {
                "x": x,
                "y": y,
                "detail": {"field": "n"},
                "color": kind_by["color"],
                "strokeWidth": {"condition": {"test": "datum.kind === 'best'", "value": 3}, "value": 1.2},
                "strokeOpacity": {"condition": {"test": "datum.kind === 'best'", "value": 1}, "value": faint},
            },
        },
        {
            "data": {"values": ends},
            "mark": dots(size=30, clip=True),
            "encoding": {"x": x, "y": y, **kind_by, "tooltip": tooltip},
        },
    ]


def _where(records: Sequence[RungRecord]) -> dict[int, int]:
    """Each rung's step: its own, or of another resource (samples, say) the median of those that came."""
    steps: dict[int, list[int]] = defaultdict(list)
    for record in records:
        steps[record.rung].append(record.step)
    if all(record.resource == record.step for record in records):
        return {rung: rung for rung in steps}
    return {rung: sorted(found)[len(found) // 2] for rung, found in steps.items()}


def _rungs(records: Sequence[RungRecord], trials: Mapping[int, TrialRecord], x: Json, y: Json) -> list[Json]:
    """The rungs' lines, the newest cutoffs on them, and how many came and were stopped."""
    if not records:
        return []
    highest: dict[int, int] = {}
    newest: dict[int, RungRecord] = {}
    for record in records:
        highest[record.trial] = max(record.rung, highest.get(record.trial, 0))
        if record.rung not in newest or record.place > newest[record.rung].place:
            newest[record.rung] = record
    marks, where_drawn = [], _where(records)
    for rung, record in sorted(newest.items()):
        stopped = sum(
            trials[n].state is TrialState.PRUNED for n, last in highest.items() if last == rung and n in trials
        )
        step = where_drawn[rung]
        text = f"{record.place} came" + (f", {stopped} stopped" if stopped else "")
        text = text if step == rung else f"{rung}: {text}"
        marks.append({"step": step, "rung": rung, "value": rounded(record.cutoff), "text": text})
    data = {"values": marks}
    dashes = {"type": "rule", "strokeDash": [3, 4], "color": FAINT}
    bar = {"type": "tick", "orient": "horizontal", "size": 26, "thickness": 3, "color": INK, "opacity": 1}
    where = {"x": x, "y": {"value": 0}, "text": {"field": "text"}}
    tooltip = tips(("rung", "rung"), ("value", "cutoff"), ("text", "trials"))
    return [
        {"data": data, "mark": dashes, "encoding": {"x": x}},
        {"data": data, "mark": bar, "encoding": {"x": x, "y": y, "tooltip": tooltip}},
        *({"data": data, **layer} for layer in label({"dy": -8, "fontSize": 10, "color": FAINT, "clip": False}, where)),
    ]
