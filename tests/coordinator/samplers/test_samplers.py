"""What every sampler keeps: pure, never the same point twice, plain JSON, an honest end of a finite space, and replay
from the rows.

SAMPLER_RUNS=1000 makes the property tests as long as the promise that they stand for; the slow samplers get a
twentieth.
"""

import json
import math
import os
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.domain.errors import SamplerFailed
from celeriac.domain.records import Fault, Source, TrialState
from celeriac.domain.space import Choice, Float, Int, Space
from coordinator.samplers import sampler_for
from coordinator.samplers.api import Kind, Observation, Point, Proposal, observed, proposed, unseen
from coordinator.samplers.design import latin_hypercube
from coordinator.suggest.replay import replayed
from coordinator.turn import drive
from tests.celeriac.decide.records import trial
from tests.coordinator.house import House, open_study
from tests.coordinator.problems import MIXED_SPACE, mixed

RUNS = int(os.environ.get("SAMPLER_RUNS", "20"))
OWN = ("random", "sobol", "grid", "bayesian", "forest")
OPTUNA = ("optuna:TPESampler", "optuna:CmaEsSampler", "optuna:NSGAIISampler", "optuna:QMCSampler")
SLOW = ("optuna:GPSampler", "skopt", "botorch")  # a suggestion costs them most of a second
FAST = (*OWN, *OPTUNA)
SAMPLERS = (*FAST, *SLOW)

SMALL = Space({"n": Int(1, 3), "kind": Choice(("a", "b")), "depth": Int(1, 2, when={"kind": "a"})})  # 3 x (2 + 1) = 9
CONDITIONAL = Space(
    {
        "kind": Choice(("a", "b", 1, True, None)),
        "depth": Int(1, 3, when={"kind": "a"}),
        "rate": Float(1e-3, 1.0, log=True, when={"kind": [1, True]}),
        "step": Float(0.0, 1.0, step=0.25, when={"depth": 2}),
        "one": Choice(("only",)),
    }
)
CONTINUOUS = Space({"x": Float(-5, 10), "y": Float(1e-6, 1e3, log=True)})
DISCRETE = Space({"n": Int(1, 4), "m": Int(8, 24, log=True), "s": Float(0.1, 0.5, step=0.2)})
CONSTANT = Space({"one": Choice((7,)), "two": Choice(("x",))})
SPACES = (SMALL, CONDITIONAL, CONTINUOUS, DISCRETE, CONSTANT, MIXED_SPACE)


def ended(space: Space, count: int, seed: int = 1) -> list[Observation]:
    rng = random.Random(seed)
    points = [proposed(space, space.sample(rng), number) for number in range(count)]
    return [Observation(point, Kind.FINISHED, mixed(point.params)) for point in points]


def run(name: str, space: Space, count: int, portion: int, seed: int = 3) -> list[Proposal]:
    """Proposals for `count` trials, `portion` at a time; every second one ends before the next portion is asked for."""
    made: list[Proposal] = []
    observations: list[Observation] = []
    pending: list[Point] = []
    while len(made) < count:
        proposals = sampler_for(name)(space, observations, pending, min(portion, count - len(made)), seed)
        if not proposals:
            break
        pending += [proposed(space, p.params, len(made) + at) for at, p in enumerate(proposals)]
        made += proposals
        done, pending = pending[::2], pending[1::2]
        observations += [Observation(point, Kind.FINISHED, float(len(point.key))) for point in done]
    return made


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_rows_give_the_same_proposals(name: str) -> None:
    observations = ended(MIXED_SPACE, 14)
    pending = [proposed(MIXED_SPACE, MIXED_SPACE.sample(random.Random(9)), 14)]
    suggest = sampler_for(name)
    first = suggest(MIXED_SPACE, observations, pending, 3, 7)
    random.seed(1)
    suggest(MIXED_SPACE, observations[:5], [], 1, 7)  # whatever it keeps, it keeps from here
    # A smaller portion is the beginning of a larger one: what a replay of one suggestion relies on.
    assert suggest(MIXED_SPACE, tuple(observations), tuple(pending), 2, 7) == first[:2]
    assert pending == [proposed(MIXED_SPACE, MIXED_SPACE.sample(random.Random(9)), 14)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_fit_the_space_and_are_plain_json(name: str) -> None:
    for proposal in sampler_for(name)(MIXED_SPACE, ended(MIXED_SPACE, 12), [], 2, 7):
        assert MIXED_SPACE.validate(proposal.params) == proposal.params
        assert json.loads(json.dumps(proposal.params)) == proposal.params
        assert json.loads(json.dumps(proposal.how)) == proposal.how
        assert {type(value) for value in proposal.params.values()} <= {int, float, str}


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("portion", [1, 4])
def test_a_finite_space_is_tried_whole_and_once_and_then_the_sampler_says_so(name: str, portion: int) -> None:
    made = run(name, SMALL, 50, portion)
    assert SMALL.cardinality() == 9
    assert sorted(SMALL.key(p.params) for p in made) == sorted(SMALL.key(p) for p in SMALL.grid())


@pytest.mark.parametrize("name", ["random", "sobol", "grid"])
def test_a_larger_finite_space_is_tried_whole_and_once_too(name: str) -> None:
    made = run(name, DISCRETE, 500, 5)
    assert len({DISCRETE.key(p.params) for p in made}) == len(made) == DISCRETE.cardinality() == 4 * 17 * 3


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_last_points_of_a_space_are_found_by_a_model_too(name: str) -> None:
    space = Space({"n": Int(1, 4), "m": Int(1, 4)})
    configurations = list(space.grid())
    random.Random(2).shuffle(configurations)
    points = [proposed(space, params, number) for number, params in enumerate(configurations)]
    known = [Observation(point, Kind.FINISHED, float(point.params["n"])) for point in points[:13]]
    made = sampler_for(name)(space, known, points[13:14], 5, 3)
    assert sorted(space.key(p.params) for p in made) == sorted(point.key for point in points[14:])
    assert sampler_for(name)(space, known, points[13:], 1, 3) == []


@st.composite
def pasts(draw: st.DrawFn) -> tuple[Space, list[Observation], list[Point], int, int]:
    """A space with any past: every kind of end, scores of every size and none, and trials that still run."""
    space = draw(st.sampled_from(SPACES))
    rng = random.Random(draw(st.integers(0, 2**16)))
    points: dict[str, Point] = {}
    for _ in range(draw(st.integers(0, 30))):
        point = proposed(space, space.sample(rng), len(points))
        points.setdefault(point.key, point)
    known = list(points.values())
    running = draw(st.integers(0, min(len(known), 4)))
    ends = [draw(_ends(space, point)) for point in known[running:]]
    if draw(st.booleans()):
        ends = [Observation(o.point, Kind.PRIOR, 0.5, noise=0.1, weight=0.5) for o in ends[:2]] + ends
    return space, ends, known[:running], draw(st.integers(1, 4)), rng.randrange(2**32)


def _ends(space: Space, point: Point) -> st.SearchStrategy[Observation]:
    """All that a row can say of an ended trial, read as the coordinator reads it."""

    def end(state: TrialState, **changes: Any) -> Observation:
        return observed(space, "minimize", trial(point.number, state, params=point.params, **changes))

    scores = st.floats(0, 1) | st.floats(-1e100, 1e100) | st.sampled_from([math.nan, math.inf, -math.inf])
    return st.one_of(
        scores.map(lambda score: end(TrialState.SCORED, score=score, rungs=((1, score), (3, score / 2)))),
        scores.map(lambda score: end(TrialState.PRUNED, last_value=score, rungs=((1, score),))),
        st.sampled_from(Fault).map(lambda fault: end(TrialState.FAILED, fault=fault)),
        st.just(end(TrialState.CANCELLED)),
    )


def keeps_its_promises(name: str, past: tuple[Space, list[Observation], list[Point], int, int]) -> None:
    space, observations, pending, count, seed = past
    made = sampler_for(name)(space, observations, pending, count, seed)
    seen = {o.point.key for o in observations if o.kind is not Kind.PRIOR} | {p.key for p in pending}
    keys = [space.key(p.params) for p in made]
    assert len(set(keys)) == len(keys)
    assert not seen & set(keys)
    assert all(space.validate(p.params) == p.params for p in made)
    assert all(json.loads(json.dumps([p.params, p.how], allow_nan=False)) == [p.params, p.how] for p in made)
    size = space.cardinality()
    assert len(made) == (count if size is None else min(count, size - len(seen)))


@pytest.mark.parametrize("name", FAST)
@given(pasts())
@settings(max_examples=RUNS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_past_is_fatal_and_no_point_comes_twice(
    name: str, past: tuple[Space, list[Observation], list[Point], int, int]
) -> None:
    keeps_its_promises(name, past)


@pytest.mark.parametrize("name", SLOW)
@given(pasts())
@settings(max_examples=max(RUNS // 20, 4), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_past_is_fatal_to_the_slow_ones_either(
    name: str, past: tuple[Space, list[Observation], list[Point], int, int]
) -> None:
    keeps_its_promises(name, past)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize(
    "observation",
    [
        lambda point: Observation(point, Kind.INFEASIBLE, fault=Fault.OUT_OF_MEMORY),
        lambda point: Observation(point, Kind.PRUNED, 1e300, rungs=((1, 1e300),)),
        lambda point: Observation(point, Kind.FINISHED, 1.0),
    ],
    ids=["infeasible", "diverged", "equal"],
)
def test_a_study_whose_trials_teach_nothing_goes_on(name: str, observation: Any) -> None:
    known = [observation(o.point) for o in ended(MIXED_SPACE, 12)]
    [proposal] = sampler_for(name)(MIXED_SPACE, known, [], 1, 7)
    assert MIXED_SPACE.validate(proposal.params) == proposal.params


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_others_tried_is_not_proposed(name: str) -> None:
    default = {"n": 2, "kind": "b"}
    known = [
        Observation(
            Point(0, default, tuple(SMALL.to_unit(default)), SMALL.key(default), Source.DEFAULT), Kind.FINISHED, 1.0
        )
    ]
    made = sampler_for(name)(SMALL, known, [], 20, 3)
    assert len(made) == 8
    assert default not in [p.params for p in made]


@pytest.mark.parametrize("name", [name for name in FAST if name not in ("grid", "optuna:QMCSampler")])
def test_seeds_differ_and_parallel_workers_get_different_points(name: str) -> None:
    first, second = (sampler_for(name)(MIXED_SPACE, [], [], 30, seed) for seed in (1, 2))
    assert first[0].params != second[0].params
    assert len({MIXED_SPACE.key(p.params) for p in first}) == 30


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_suggestion_of_a_study_can_be_made_again_from_its_rows(name: str) -> None:
    trials = 30 if name in FAST else 13
    house, rng = House(slots=3), random.Random(5)
    study = open_study(house.store, sampler=name, budget={"trials": trials})
    held = []
    while house.store.study(study.id).counts.finished < trials:
        drive(house.coordinator, study.id)
        while house.mailbox.queues["trials.cpu"]:
            held.append(house.lease(house.take()))
        lease = held.pop(rng.randrange(len(held)))
        assert lease is not None
        if rng.random() < 0.2:
            house.fail(lease, rng.choice([Fault.NOT_FINITE, Fault.TIMEOUT]))
        else:
            house.finish(lease, mixed({**lease.params, "layers": 3}))
    house.restart()
    rows = house.store.trials(study.id, limit=1000)
    checked = rows[1:] if name in FAST else rows[-2:]
    assert len(rows) == trials
    for row in checked:
        assert replayed(house.store, study.id, row.number) == row.params
        assert row.why["sampler"] == name


def test_the_sequence_of_sobol_goes_on_where_it_stopped_and_is_even() -> None:
    made = run("sobol", CONTINUOUS, 64, 5)
    assert made == run("sobol", CONTINUOUS, 64, 1)
    assert [p.how["place"] for p in made] == list(range(64))
    for column in range(2):
        cells = [int(CONTINUOUS.to_unit(p.params)[column] * 64) for p in made]
        assert sorted(cells) == list(range(64))


def test_the_grid_goes_on_where_it_stopped_and_keeps_its_order() -> None:
    space = Space({"lr": Float(1e-3, 1e-1, log=True), "n": Int(1, 3)})
    made = run("grid", space, 1000, 4)
    assert [space.key(p.params) for p in made] == [space.key(p) for p in space.grid()]
    assert len(made) == 30


def test_a_default_on_the_grid_is_skipped_where_it_lies() -> None:
    grid = list(SMALL.grid())
    known = [Point(0, grid[4], tuple(SMALL.to_unit(grid[4])), SMALL.key(grid[4]), Source.DEFAULT)]
    suggest = sampler_for("grid")
    while proposals := suggest(SMALL, [], known, 1, 0):
        known.append(proposed(SMALL, proposals[0].params, len(known)))
    assert [point.params for point in known[1:]] == grid[:4] + grid[5:]


def test_what_was_tried_elsewhere_moves_no_grid() -> None:
    grid = list(SMALL.grid())
    priors = [Observation(proposed(SMALL, params, 0), Kind.PRIOR, 1.0) for params in grid[:5]]
    assert [p.params for p in sampler_for("grid")(SMALL, priors, [], 20, 0)] == grid


def test_a_large_space_nearly_used_up_still_yields_its_last_point() -> None:
    space = Space({"a": Int(1, 100), "b": Int(1, 60)})
    left = {"a": 77, "b": 13}
    seen = {space.key(p) for p in space.grid()} - {space.key(left)}
    assert unseen(space, seen, random.Random(1)) == left
    assert unseen(space, seen | {space.key(left)}, random.Random(1)) is None


@given(st.integers(1, 8), st.integers(1, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_latin_hypercube_fills_each_cell_of_each_column_once(columns: int, rows: int, seed: int) -> None:
    design = latin_hypercube(columns, rows, seed)
    for column in range(columns):
        assert sorted(int(point[column] * rows) for point in design) == list(range(rows))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("annealing", "cannot be 'annealing'; known: auto, bayesian"),
        ("auto", "cannot be auto, which is decided before"),
        ("optuna:TPESampelr", "optuna.samplers has no TPESampelr that can be used; did you mean 'TPESampler'?"),
        ("optuna:GridSampler", "optuna.samplers has no GridSampler that can be used"),
        ("optuna:BruteForceSampler", "FloatDistribution.step must be given for BruteForceSampler"),
    ],
)
def test_a_sampler_that_cannot_be_says_why(name: str, told: str) -> None:
    with pytest.raises(SamplerFailed) as raised:
        sampler_for(name)(MIXED_SPACE, ended(MIXED_SPACE, 2), [], 1, 7)
    assert told in str(raised.value)


PARAMS = {"lr": 0.01, "width": 64, "optimizer": "adam", "layers": 2}


@pytest.mark.parametrize(
    ("state", "changes", "loss", "kind"),
    [
        (TrialState.SCORED, {"score": 0.9}, -0.9, Kind.FINISHED),
        (TrialState.PRUNED, {"last_value": 0.4}, -0.4, Kind.PRUNED),
        (TrialState.FAILED, {"fault": Fault.NOT_FINITE}, None, Kind.INFEASIBLE),
        (TrialState.FAILED, {"fault": Fault.TIMEOUT, "last_value": 0.9}, None, Kind.INFEASIBLE),
        (TrialState.FAILED, {"fault": Fault.USER_BUG}, None, Kind.INFEASIBLE),
        (TrialState.FAILED, {"fault": Fault.INFRASTRUCTURE}, None, Kind.VOID),
        (TrialState.CANCELLED, {"last_value": 0.3}, None, Kind.VOID),
    ],
)
def test_what_an_ended_trial_teaches(
    state: TrialState, changes: dict[str, object], loss: float | None, kind: Kind
) -> None:
    found = observed(
        MIXED_SPACE, "maximize", trial(4, state, params=PARAMS, device_kind="H200", oom_device_kinds=("T4",), **changes)
    )
    assert (found.loss, found.kind) == (loss, kind)
    assert (found.device, found.oom_device_kinds) == (("", ()) if kind is Kind.VOID else ("H200", ("T4",)))
    assert found.point.number == 4


@pytest.mark.parametrize(("short", "failed_on"), [(("T4",), "T4"), (("H200", "T4"), "H200")])
def test_a_gang_on_several_kinds_of_devices_failed_on_the_one_that_was_out_of_memory(
    short: tuple[str, ...], failed_on: str
) -> None:
    record = trial(4, TrialState.FAILED, params=PARAMS, fault=Fault.OUT_OF_MEMORY, device_kind="H200")
    assert observed(MIXED_SPACE, "maximize", replace(record, oom_device_kinds=short)).device == failed_on
