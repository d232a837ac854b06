"""The key `pack`, and parameters that are part of the shape."""

from typing import Any

import pytest

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.study_file import parse, run_plan

FORM: dict[str, Any] = {
    "study": "s",
    "objective": "m:f",
    "metric": {"goal": "minimize"},
    "space": {"lr": {"float": [0.0, 1.0]}, "width": {"int": [1, 9], "shape": True}},
    "budget": {"trials": 9},
    "pack": 4,
}


def test_what_a_worker_learns_of_packs() -> None:
    spec = parse(FORM, is_new=True)
    assert spec.space.shape == ("width",)
    plan = run_plan(spec.to_dict())
    assert (plan.pack, plan.shape) == (4, ("width",))
    assert parse(spec.to_dict()) == spec
    alone = run_plan(parse({key: value for key, value in FORM.items() if key != "pack"}).to_dict())
    assert alone.pack == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pack": 65}, "pack: "),
        ({"pack": True}, "pack: must be a whole number"),
        ({"resources": {"slots": 2}}, "and a gang one trial in several: ask for one slot, one GPU or a share of one"),
        ({"resources": {"gpus": {"min": 1, "max": 2}}}, "or leave `pack` out"),
        ({"api": "optuna"}, "`api` calls for one trial at a time: leave `pack` out, or write an objective that takes"),
        ({"command": "true", "objective": None}, "`command` calls for one trial at a time: leave `pack` out"),
        ({"stop_early": {"rule": "pbt", "population": 4, "every": 2, "max": 8}}, "leave one of the two out"),
        ({"parallel": 3}, "parallel: counts trials and not packs: it cannot be less than `pack`, 4"),
        ({"reproducible": True, "sampler": "random"}, "pack: runs several trials at once"),
        ({"space": {"w": {"int": [1, 9], "shape": "yes"}}}, "space.w.shape: must be true or false"),
        (
            {"space": {"o": {"choice": ["a", "b"]}, "w": {"int": [1, 9], "shape": True, "when": {"o": "a"}}}},
            "space.w.shape: hangs on o, which is not marked `shape: true`; mark it too",
        ),
    ],
)
def test_what_does_not_go_with_packs_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecInvalid) as refused:
        parse({**FORM, **change}, is_new=True)
    assert any(words in problem for problem in refused.value.problems), refused.value.problems


@pytest.mark.parametrize(
    "asked",
    [
        {"gpus": 0.5},
        {"gpus": 0.25, "gpu_memory": "6GiB"},
        {"gpus": 1, "labels": {"gpu": "h100"}},
        {"labels": {"region": "eu"}},
    ],
)
def test_a_pack_may_ask_for_what_one_trial_may_but_for_several_devices(asked: dict[str, Any]) -> None:
    assert parse({**FORM, "resources": asked}, is_new=True).pack == 4


def test_a_shape_may_hang_on_a_shape() -> None:
    space = {"o": {"choice": ["a", "b"], "shape": True}, "w": {"int": [1, 9], "shape": True, "when": {"o": "a"}}}
    assert parse({**FORM, "space": space}, is_new=True).space.shape == ("o", "w")
