"""Studies to draw: made up, but of every kind that a picture must bear."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from celeriac.domain.records import Counts, Goal, RungRecord, Source, StudyRecord, StudyState, TrialRecord, TrialState
from celeriac.domain.study_file import StudySpec, parse
from celeriac.report.plots import Scene
from tests.celeriac.report.explain.rows import NOON, trial

SPACE: dict[str, Any] = {
    "lr": {"float": [1e-5, 1e-1], "log": True},
    "width": {"int": [16, 256], "log": True},
    "layers": {"int": [1, 9], "step": 2},
    "dropout": {"float": [0.0, 0.5], "step": 0.05},
    "optimizer": {"choice": ["sgd", "adam"]},
    "momentum": {"float": [0.5, 0.99], "when": {"optimizer": "sgd"}},
    "odd": {"choice": [1, True, None, "</script>"]},
}


def spec_of(goal: Goal = "minimize", space: Mapping[str, Any] | None = None) -> StudySpec:
    return parse(
        {
            "study": "digits",
            "objective": "train:objective",
            "metric": {"name": "loss", "goal": goal},
            "space": space or SPACE,
            "budget": {"trials": 10},
        }
    )


def study_of(spec: StudySpec, trials: Sequence[TrialRecord]) -> StudyRecord:
    def count(state: TrialState) -> int:
        return sum(each.state is state for each in trials)

    return StudyRecord(
        id=1,
        name=spec.study,
        spec=spec.to_dict(),
        goal=spec.metric.goal,
        parallel=None,
        code_root="",
        fingerprint="",
        state=StudyState.DONE,
        reason="",
        turn=9,
        next_number=len(trials),
        counts=Counts(
            scored=count(TrialState.SCORED), pruned=count(TrialState.PRUNED), failed=count(TrialState.FAILED)
        ),
        best_number=None,
        best_score=None,
        device_s=0.0,
        schedule=None,
        slice={},
        due_at=None,
        created_at=NOON,
        started_at=NOON,
        ended_at=NOON,
    )


def scene_of(trials: Sequence[TrialRecord], goal: Goal = "minimize", **more: Any) -> Scene:
    spec = spec_of(goal)
    return Scene(study_of(spec, trials), spec, trials, **more)


def scores(*values: float, goal: Goal = "minimize", default: bool = True) -> Scene:
    """A study of these scores, with random parameters; trial 0 is the default."""
    space, rng = spec_of().space, random.Random(5)
    trials = [
        trial(k, space.sample(rng), value, source=Source.DEFAULT if default and k == 0 else Source.SUGGESTED)
        for k, value in enumerate(values)
    ]
    return scene_of(trials, goal)


def mixed(count: int, goal: Goal = "minimize") -> Scene:
    """Scored, pruned and failed trials in turn, with curves, and two rungs in each of two brackets."""
    space, rng = spec_of().space, random.Random(7)
    sign = -1.0 if goal == "maximize" else 1.0
    trials, curves, rungs = [], {}, []
    for k in range(count):
        params, loss = space.sample(rng), rng.uniform(0.1, 0.9)
        state = (TrialState.SCORED, TrialState.PRUNED, TrialState.FAILED)[k % 3]
        last = 9 if state is TrialState.SCORED else 3
        curves[k] = [(step, sign * (loss + 1 / step)) for step in range(1, last + 1)]
        score = curves[k][-1][1] if state is TrialState.SCORED else None
        trials.append(trial(k, params, score, state=state, last_step=last, last_value=curves[k][-1][1], ended_no=k + 1))
        for rung in (3, 9):
            if rung <= last and state is not TrialState.FAILED:
                value = curves[k][rung - 1][1]
                rungs.append(RungRecord(1, k % 2, rung, 0, k, 1, rung, float(rung), value, value, NOON))
    return scene_of(trials, goal, curves=curves, rungs=_placed(rungs))


def _placed(rungs: list[RungRecord]) -> list[RungRecord]:
    from dataclasses import replace

    places: dict[tuple[int, int], int] = {}
    found = []
    for each in sorted(rungs, key=lambda record: (record.bracket, record.rung, record.trial)):
        places[each.bracket, each.rung] = places.get((each.bracket, each.rung), 0) + 1
        found.append(replace(each, place=places[each.bracket, each.rung]))
    return found
