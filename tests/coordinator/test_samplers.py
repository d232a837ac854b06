"""What every sampler keeps: pure, never the same point twice, plain JSON, and an honest end of a finite space."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.errors import SamplerFailed
from celeriac.records import Fault, Source, TrialState
from celeriac.space import Choice, Float, Int, Space
from coordinator.samplers import sampler_for
from coordinator.samplers.design import latin_hypercube
from coordinator.samplers.seam import Kind, Observation, Point, Proposal, observed, proposed, unseen
from tests.celeriac.decide.records import trial
from tests.coordinator.problems import MIXED_SPACE, mixed

SAMPLERS = ("random", "grid", "bayesian")
SMALL = Space(
    {"n": Int(1, 3), "kind": Choice(("a", "b")), "depth": Int(1, 2, when={"kind": "a"})}
)  # 3 x (2 + 1) = 9


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
    observations = ended(MIXED_SPACE, 25)
    pending = [proposed(MIXED_SPACE, MIXED_SPACE.sample(random.Random(9)), 25)]
    suggest = sampler_for(name)
    first = suggest(MIXED_SPACE, observations, pending, 5, 7)
    random.seed(1)
    assert suggest(MIXED_SPACE, tuple(observations), tuple(pending), 5, 7) == first
    assert pending == [proposed(MIXED_SPACE, MIXED_SPACE.sample(random.Random(9)), 25)]
    # A smaller portion is the beginning of a larger one: what a replay of one suggestion relies on.
    assert suggest(MIXED_SPACE, observations, pending, 3, 7) == first[:3]


@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_fit_the_space_and_are_plain_json(name: str) -> None:
    for proposal in sampler_for(name)(MIXED_SPACE, ended(MIXED_SPACE, 15), [], 4, 7):
        assert MIXED_SPACE.validate(proposal.params) == proposal.params
        assert json.loads(json.dumps(proposal.params)) == proposal.params
        assert json.loads(json.dumps(proposal.how)) == proposal.how
        assert {type(value) for value in proposal.params.values()} <= {int, float, str}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("portion", [1, 4])
def test_a_finite_space_is_tried_whole_and_once_and_then_the_sampler_says_so(name: str, portion: int) -> None:
    made = run(name, SMALL, 50, portion)
    assert SMALL.cardinality() == 9
    assert sorted(SMALL.key(p.params) for p in made) == sorted(SMALL.key(p) for p in SMALL.grid())


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_others_tried_is_not_proposed(name: str) -> None:
    default = {"n": 2, "kind": "b"}
    known = [
        Observation(
            Point(0, default, tuple(SMALL.to_unit(default)), SMALL.key(default), Source.DEFAULT),
            Kind.FINISHED,
            1.0,
        )
    ]
    made = sampler_for(name)(SMALL, known, [], 20, 3)
    assert len(made) == 8
    assert default not in [p.params for p in made]


@pytest.mark.parametrize("name", ["random", "bayesian"])
def test_seeds_differ_and_parallel_workers_get_different_points(name: str) -> None:
    first, second = (sampler_for(name)(MIXED_SPACE, [], [], 12, seed) for seed in (1, 2))
    assert first[0].params != second[0].params
    assert len({MIXED_SPACE.key(p.params) for p in first}) == 12


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


def test_an_unknown_sampler_says_which_there_are() -> None:
    with pytest.raises(SamplerFailed, match="known: random, grid, bayesian"):
        sampler_for("annealing")


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
        MIXED_SPACE,
        "maximize",
        trial(4, state, params=PARAMS, device_kind="H200", short_on=("T4",), **changes),
    )
    assert (found.loss, found.kind) == (loss, kind)
    assert (found.device, found.short_on) == (("", ()) if kind is Kind.VOID else ("H200", ("T4",)))
    assert found.point.number == 4
