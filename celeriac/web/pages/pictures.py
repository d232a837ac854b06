"""The data of a study's pictures: drawn by the browser, made of the same rows and rules as `celeriac plot` draws by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response

from celeriac.decide.stop_early import cutoff_of
from celeriac.domain.records import StudyRecord, TrialRecord, TrialState
from celeriac.domain.space import Choice, Int, Parameter
from celeriac.domain.study_file import parse, stop_rule
from celeriac.report.plots.chart import round_numbers, rounded
from celeriac.report.plots.parallel import marks
from celeriac.report.plots.scene import Scene, caption, shown
from celeriac.store import WebStore
from celeriac.web.auth.principal import Reader
from celeriac.web.dependencies import StoreDep
from celeriac.web.pages.drawing import StudyName, data, pages, sent
from celeriac.web.pages.filters import study_url
from celeriac.web.pages.memory import Kept

router = pages()
MOST_TRIALS, MOST_CURVES, MOST_POINTS, MOST_RUNS = 400, 60, 40, 300
_LETTER = {TrialState.SCORED: "s", TrialState.PRUNED: "p", TrialState.FAILED: "f"}
_KEPT = Kept(2.0, 60)
_SPREAD = 0.05
_MOST_NAMED, _NAMED_POINTS = 8, 400


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter: its ticks as (place, text), and by how much trials of one value are spread."""

    name: str
    caption: str
    ticks: tuple[tuple[float, str], ...]
    crowded: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """Trials in columns: `n` numbers, `state` a letter each, `y` where the score lies in the window from `low` to
    `high`; of each parameter `u` the place in the unit box and `v` the value, None where a trial does not have it.
    """

    metric: str
    goal: str
    low: float
    high: float
    best: int | None
    last: int
    standard: tuple[int, float] | None
    facts: tuple[str, ...]
    trial_url: str
    params: tuple[Axis, ...]
    score_ticks: tuple[tuple[float, str], ...]
    n: tuple[int, ...]
    state: str
    score: tuple[float | None, ...]
    y: tuple[float, ...]
    u: tuple[tuple[float | None, ...], ...]
    v: tuple[tuple[Any, ...], ...]
    steps: tuple[tuple[int, float], ...]


@router.get("/studies/{name:path}/drawn.json", response_model=None)
def drawn(request: Request, store: StoreDep, _: Reader, name: StudyName) -> Response:
    """The trials that a study's pictures show."""
    return sent(request, _KEPT.get((store, name, "drawn"), lambda: data(drawn_of(store, name))))


def drawn_of(store: WebStore, name: str) -> Drawn:
    """The columns of that study. Raises UnknownStudy, and SpecInvalid where this version cannot read its file."""
    record = store.study_named(name)
    spec = parse(record.spec, f"study {name}")
    trials = [each for each in store.drawn_trials(record.id, MOST_TRIALS) if each.state in _LETTER]
    scene = Scene(record, spec, trials)
    low, high = scene.window if scene.best is not None else (0.0, 1.0)
    columns = [_values(scene, each) for each in trials]
    parameters = list(scene.parameters.items())
    return Drawn(
        metric=scene.metric,
        goal=record.goal,
        low=rounded(low),
        high=rounded(high),
        best=None if scene.best is None else scene.best.number,
        last=max((each.number for each in trials), default=0),
        standard=None if scene.default is None else (scene.default.number, rounded(scene.default.score or 0.0)),
        facts=tuple(_facts(scene, record, len(trials))),
        trial_url=study_url(name, "trials/{n}"),
        params=tuple(_axis(name_, each) for name_, each in parameters),
        score_ticks=_score_ticks(scene, low, high),
        n=tuple(each.number for each in trials),
        state="".join(_LETTER[each.state] for each in trials),
        score=tuple(score for score, _ in columns),
        y=tuple(y for _, y in columns),
        u=tuple(tuple(_place(each, trial, name_) for trial in trials) for name_, each in parameters),
        v=tuple(
            tuple(shown(each, trial.params[name_]) if name_ in trial.params else None for trial in trials)
            for name_, each in parameters
        ),
        steps=tuple(_steps(scene)),
    )


def _values(scene: Scene, trial: TrialRecord) -> tuple[float | None, float]:
    """A trial's score, and where it is drawn."""
    value = trial.score if trial.state is TrialState.SCORED else trial.last_value
    if scene.best is None or trial.state is TrialState.FAILED or value is None:
        return None, rounded(scene.edge) if scene.best is not None else 0.0
    return rounded(value), rounded(scene.edge if scene.is_off(value) else value)


def _facts(scene: Scene, record: StudyRecord, count: int) -> list[str]:
    facts = list(scene.facts)
    if count < record.counts.finished:
        facts.append(f"{count} of {record.counts.finished} trials are drawn: the best, each that led, and a sample")
    return facts


def _place(parameter: Parameter, trial: TrialRecord, name: str) -> float | None:
    return None if name not in trial.params else round(parameter.to_unit(trial.params[name]), 4)


def _axis(name: str, parameter: Parameter) -> Axis:
    crowded = isinstance(parameter, Choice) or (isinstance(parameter, Int) and parameter.count <= 20)
    ticks = tuple(sorted((round(place, 4), text) for place, text in marks(parameter)))
    return Axis(name, caption(name, parameter), ticks, _SPREAD if crowded else 0.0)


def _score_ticks(scene: Scene, low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Round scores with their places on an axis whose better end is the top."""
    if scene.best is None or high <= low:
        return ()
    up = scene.study.goal == "maximize"
    found = []
    for value in round_numbers(low, high):
        share = (value - low) / (high - low)
        found.append((round(share if up else 1 - share, 4), f"{value:.4g}"))
    return tuple(found)


def _steps(scene: Scene) -> list[tuple[int, float]]:
    """Each trial that was better than all before it."""
    found: list[tuple[int, float]] = []
    best = float("inf")
    for trial in scene.scored:
        if scene.loss_of(trial) < best:
            best = scene.loss_of(trial)
            found.append((trial.number, rounded(trial.score or 0.0)))
    return found


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung as it is drawn."""

    bracket: int
    rung: int
    cutoff: float
    came: int
    stopped: int


@dataclass(frozen=True, slots=True)
class Curves:
    """Reports of some trials by number, and the rungs where early stopping judged them."""

    metric: str
    low: float
    high: float
    best: int | None
    facts: tuple[str, ...]
    named: bool
    trial_url: str
    states: Mapping[int, str]
    curves: Mapping[int, Sequence[tuple[int, float]]]
    rungs: tuple[Rung, ...]


@router.get("/studies/{name:path}/curves.json", response_model=None)
def curves(
    request: Request, store: StoreDep, _: Reader, name: StudyName, trials: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Curves of a study, or of the trials that are named."""
    key = (store, name, "curves", trials)
    return sent(request, _KEPT.get(key, lambda: data(curves_of(store, name, trials))))


def curves_of(store: WebStore, name: str, trials: str = "") -> Curves:
    """The curves, with every rung unless trials are named."""
    record = store.study_named(name)
    named = [int(each) for each in trials.split(",") if each.strip().isdigit() and len(each.strip()) < 10]
    if named:
        states = {each: store.trial(record.id, each).state for each in named[:_MOST_NAMED]}
    else:
        states = store.drawn_curves(record.id, MOST_CURVES)
    found = store.thinned_reports(record.id, list(states), MOST_POINTS if not named else _NAMED_POINTS)
    rungs = _rungs(store, record) if record.spec.get("stop_early") and not named else ()
    found = {n: [(step, rounded(value)) for step, value in line] for n, line in found.items()}
    scene = Scene(record, parse(record.spec, f"study {name}"), ())
    values = [scene.loss(value) for line in found.values() for _, value in line]
    low, high = (
        scene.window_of(values) if values and not named else _around([v for line in found.values() for _, v in line])
    )
    facts = (
        []
        if named
        else [f"{len(found)} of {record.next_number} trials are drawn" + ("; the rungs count all" if rungs else "")]
    )
    return Curves(
        metric=record.metric,
        low=rounded(low),
        high=rounded(high),
        best=record.best_number,
        facts=tuple(facts),
        named=bool(named),
        trial_url=study_url(name, "trials/{n}"),
        states={each: str(state).lower() for each, state in states.items() if each in found},
        curves=found,
        rungs=rungs,
    )


def _around(values: Sequence[float]) -> tuple[float, float]:
    """All of them, with a little room."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    return low - room, high + room


def _rungs(store: WebStore, record: StudyRecord) -> tuple[Rung, ...]:
    rule = stop_rule(record.spec)
    found = []
    for each in store.rung_lines(record.id):
        newest = replace(each.newest, cutoff=cutoff_of(rule, each.newest))
        found.append(Rung(newest.bracket, newest.rung, rounded(newest.cutoff), newest.place, each.stopped))
    return tuple(found)


@router.get("/studies/{name:path}/timeline.json", response_model=None)
def timeline(request: Request, store: StoreDep, _: Reader, name: StudyName) -> Response:
    """The newest attempts as bars on their slots."""
    return sent(request, _KEPT.get((store, name, "timeline"), lambda: data(timeline_of(store, name))))


def timeline_of(store: WebStore, name: str) -> dict[str, Any]:
    """The slots, and the bars on them."""
    record, now = store.study_named(name), store.now()
    runs = store.newest_runs(record.id, MOST_RUNS)
    workers = sorted({each.worker for each in runs})
    bars = [
        {
            "trial": each.trial,
            "attempt": each.attempt,
            "worker": workers.index(each.worker),
            "from": round(each.leased_at.timestamp(), 1),
            "to": round((each.ended_at or now).timestamp(), 1),
            "end": "running" if each.outcome is None else str(each.outcome),
            "fault": "" if each.fault is None else str(each.fault),
        }
        for each in reversed(runs)
    ]
    of = f"the newest {len(bars)} attempts" if len(bars) == MOST_RUNS else f"{len(bars)} attempts"
    return {
        "workers": workers,
        "runs": bars,
        "best": record.best_number,
        "facts": [f"{of} on {len(workers)} slots"],
        "trial_url": study_url(name, "trials/{n}"),
    }
