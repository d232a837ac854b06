"""Specs: names, seeds, the canonical form, and what differs between two."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.domain.study_file import difference, is_study_name, parse, seed_of
from tests.celeriac.domain.study_file.files import SMALL


def test_study_names_of_files_and_of_firings() -> None:
    assert is_study_name("digits-2.final_x")
    assert is_study_name("flights/airport=JFK,carrier=AA/2026-11-23T02:00:00+00:00")
    for bad in ("", "-x", "a b", "x" * 256, "a\n", "ä", 5, None):
        assert not is_study_name(bad)


def test_the_seed_of_a_name_is_the_same_everywhere() -> None:
    assert seed_of("digits") == 0xCC6B6BAD  # the head of sha256("digits")
    assert seed_of("digits") != seed_of("digit")


def test_the_canonical_form_is_json_and_a_study_file() -> None:
    form = parse(SMALL | {"timeout": "1h", "budget": {"trials": 5, "wall": "2m"}}).to_dict()
    assert form == {
        "study": "s",
        "objective": "train:objective",
        "code": ".",
        "metric": {"name": "accuracy", "goal": "maximize"},
        "space": {"lr": {"float": [0.0, 1.0]}},
        "sampler": "auto",
        "seed": seed_of("s"),
        "budget": {"trials": 5, "wall": 120.0},
        "resources": {"gpus": 0},
        "timeout": 3600.0,
        "retry": {"attempts": 3},
    }


def test_the_difference_is_a_line_a_key() -> None:
    a = parse(SMALL)
    changed = {"budget": {"trials": 9}, "timeout": 60, "space": {"lr": {"float": [0, 1], "step": 0.5}}}
    assert difference(a, a) == []
    assert difference(a, parse(SMALL | changed)) == [
        "budget.trials: 5 -> 9",
        "space.lr.step: (not set) -> 0.5",
        "timeout: (not set) -> 60.0",
    ]
    assert difference(parse(SMALL | {"labels": {"a": "x"}}), a) == ['labels.a: "x" -> (not set)']


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)

forms = st.fixed_dictionaries(
    {
        "study": names,
        "objective": st.sampled_from(["train:objective", "pkg.mod:run"]),
        "metric": st.fixed_dictionaries({"name": names, "goal": st.sampled_from(["maximize", "minimize"])}),
        "space": st.just({"lr": {"float": [1e-5, 1], "log": True}, "kind": {"choice": ["a", 1, None, True]}}),
        "budget": st.fixed_dictionaries(
            {"trials": st.integers(1, 1000)}, optional={"wall": st.sampled_from(["5m", 7, 0.25, "1.5d"])}
        ),
    },
    optional={
        "code": st.sampled_from([".", "src", "/srv/code"]),
        "default": st.fixed_dictionaries({"lr": st.floats(1e-5, 1), "kind": st.sampled_from(["a", 1, None, True])}),
        "sampler": st.sampled_from(["auto", "bayesian", "random", "grid", "optuna:TPESampler"]),
        "seed": st.integers(0, 2**32 - 1),
        "parallel": st.integers(1, 64),
        "keep_model": st.booleans(),
        "resources": st.sampled_from([{"gpus": 0}, {"gpus": 1}, {}]),
        "timeout": st.one_of(st.integers(1, 10**6), st.floats(0.001, 1e6), st.just("90s")),
        "retry": st.fixed_dictionaries({"attempts": st.integers(1, 9)}),
        "labels": st.dictionaries(st.sampled_from(["team", "tier"]), st.one_of(st.text(max_size=5), st.integers())),
        "schedule": st.fixed_dictionaries(
            {"name": names, "cron": st.sampled_from(["0 2 * * *", "*/5 1-3 * * MON"])},
            optional={
                "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
                "slices": st.just({"region": ["eu", "us"], "level": [1, 2.5, True]}),
            },
        ),
    },
)


@settings(max_examples=100, deadline=None)
@given(forms)
def test_a_spec_is_its_form(form: dict[str, Any]) -> None:
    spec = parse(form)
    stored = json.loads(json.dumps(spec.to_dict(), sort_keys=True))  # a database keeps no order of keys
    again = parse(stored)
    assert again == spec
    assert again.to_dict() == spec.to_dict()
    assert difference(again, spec) == []
