"""What charts are drawn from: one study's rows, as they were read at one moment, and what all charts need of them.

The score's window: a picture shows every score unless a few are so far off that the others would shrink to a line;
those are drawn at its edge, and counted below the title. The default is shown whenever that leaves the others half of
the picture.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from celeriac.domain.records import RungRecord, Source, StudyRecord, TrialRecord, TrialState
from celeriac.domain.space import Choice, Parameter, condition_of
from celeriac.domain.study_file import StudySpec
from celeriac.report.explain.importance import Importances, judged
from celeriac.report.plots.chart import Json, rounded, tips

#: The worst quarter of the scores may be cut off, when it reaches further beyond the others than they do from the
#: best, times that.
_MOST, _FAR = 0.75, 2.0
_FEW = 10
#: Room around the scores, as a share of their range; on the better side, where the best trial's label stands.
_PAD, _PAD_BEST = 0.04, 0.12


@dataclass(frozen=True)
class Scene:
    """A study's rows; `curves` are reports as (step, value), `importance` None where it was not asked for."""

    study: StudyRecord
    spec: StudySpec
    trials: Sequence[TrialRecord]
    curves: Mapping[int, Sequence[tuple[int, float]]] = field(default_factory=dict)
    rungs: Sequence[RungRecord] = ()
    importance: Importances | None = None

    @cached_property
    def scored(self) -> list[TrialRecord]:
        """The scored trials, by number."""
        return [trial for trial in self.trials if trial.state is TrialState.SCORED and trial.score is not None]

    @cached_property
    def judged(self) -> list[TrialRecord]:
        """The scored trials, and the pruned ones with their last report as their score, by number."""
        return judged(self.trials)

    @cached_property
    def best(self) -> TrialRecord | None:
        """The best trial; the earlier of two that are as good."""
        return min(self.scored, key=lambda trial: (self.loss_of(trial), trial.number), default=None)

    @cached_property
    def default(self) -> TrialRecord | None:
        """The default, when it has a score."""
        return next((trial for trial in self.scored if trial.source is Source.DEFAULT), None)

    @property
    def metric(self) -> str:
        """What the score is called."""
        return self.spec.metric.name

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The space's parameters in the order of the study file."""
        return self.spec.space.parameters

    def loss(self, score: float) -> float:
        """The score turned so that less is better."""
        return -score if self.study.goal == "maximize" else score

    def loss_of(self, trial: TrialRecord) -> float:
        """A scored trial's loss; the worst there is for one without a score."""
        return math.inf if trial.score is None else self.loss(trial.score)

    @cached_property
    def window(self) -> tuple[float, float]:
        """The scores that a picture shows, (low, high), padded; see the module's head."""
        losses = [self.loss_of(trial) for trial in self.scored]
        return self.window_of(losses, None if self.default is None else self.loss_of(self.default))

    def window_of(self, losses: Sequence[float], default: float | None = None) -> tuple[float, float]:
        """The window for these losses, as values of the metric."""
        ordered = sorted(losses)
        best, worst = ordered[0], ordered[-1]
        most = ordered[int(_MOST * (len(ordered) - 1))]
        if len(ordered) >= _FEW and worst - most > _FAR * (most - best) > 0:
            worst = most + 0.5 * (most - best)
            if default is not None and default - best <= 2.0 * (worst - best):
                worst = max(worst, default)
        span = (worst - best) or abs(best) or 1.0
        low, high = best - _PAD_BEST * span, worst + _PAD * span
        return (-high, -low) if self.study.goal == "maximize" else (low, high)

    @property
    def edge(self) -> float:
        """Where what is too bad to be shown, or has no score, is drawn: just inside the worse side of the window."""
        low, high = self.window
        inside = 0.015 * (high - low)
        return low + inside if self.study.goal == "maximize" else high - inside

    def is_off(self, score: float) -> bool:
        """Whether a score is too bad to be shown."""
        low, high = self.window
        return score < low if self.study.goal == "maximize" else score > high

    @cached_property
    def facts(self) -> list[str]:
        """The study in two lines, for below a title."""
        counts = self.study.counts
        ends = [
            f"{count} {word}"
            for count, word in ((counts.scored, "scored"), (counts.pruned, "pruned"), (counts.failed, "failed"))
            if count
        ]
        lines = [f"{counts.finished} trials: {', '.join(ends)}" if ends else "no trial has finished"]
        if self.best is not None:
            words = f"best {self.metric} {self.best.score:.6g} (trial {self.best.number})"
            if self.default is not None and self.default is not self.best:
                words += f", default {self.default.score:.6g}"
            lines[0] += f"; {words}"
        if off := sum(self.is_off(trial.score or 0.0) for trial in self.scored):
            lines.append(f"{off} far worse {'score is' if off == 1 else 'scores are'} drawn at the edge")
        return lines

    def told_of_pruned(self, how: str) -> list[str]:
        """Where pruned trials are drawn, and how one tells them from the others; nothing where there is none."""
        count = len(self.judged) - len(self.scored)
        return [f"{count} pruned ({how}) stand at their last report"] if count else []


def row(scene: Scene, trial: TrialRecord) -> Json:
    """One trial as a row of data: number, what became of it, score, and parameters as p0, p1, … in the file's order.

    `y` is where the score lies in the window; a pruned trial's is its last report, a failed one has none.
    """
    value = trial.score if trial.state is TrialState.SCORED else trial.last_value
    found: Json = {"n": trial.number, "state": trial.state.lower(), "words": words(trial)}
    if trial.state is not TrialState.FAILED and value is not None:
        found |= {"score": rounded(value), "y": rounded(value)}
        if scene.is_off(value):
            found |= {"y": rounded(scene.edge), "off": True}
    for place, (name, parameter) in enumerate(scene.parameters.items()):
        if name in trial.params:
            found[f"p{place}"] = shown(parameter, trial.params[name])
    return found


def shown(parameter: Parameter, value: Any) -> Any:
    """A parameter's value as data: options as text."""
    if isinstance(parameter, Choice):
        return option_text(value)
    return rounded(value) if isinstance(value, float) else value


def option_text(option: Any) -> str:
    """An option as people write it."""
    return option if isinstance(option, str) else json.dumps(option)


def words(trial: TrialRecord) -> str:
    """What became of a trial, for a tooltip."""
    if trial.fault is not None:
        return f"{trial.state.lower()}: {trial.fault}"
    return f"{trial.state.lower()}, {trial.source}"


def tooltip(scene: Scene) -> list[Json]:
    """What a pointer on a trial tells: its number, its end, its score, its parameters."""
    found = tips(("n", "trial"), ("words", "end"), ("score", scene.metric, ".6~g"))
    for place, (name, parameter) in enumerate(scene.parameters.items()):
        found += tips((f"p{place}", name) if isinstance(parameter, Choice) else (f"p{place}", name, ".4~g"))
    return found


def ended(scene: Scene) -> list[Json]:
    """The rows of all finished trials that a picture can show, by number."""
    shown_states = (TrialState.SCORED, TrialState.PRUNED, TrialState.FAILED)
    return [row(scene, trial) for trial in scene.trials if trial.state in shown_states]


def caption(name: str, parameter: Parameter) -> str:
    """A parameter's name with its condition."""
    condition = condition_of(parameter)
    return f"{name} ({condition.replace(chr(39), '')})" if condition else name
