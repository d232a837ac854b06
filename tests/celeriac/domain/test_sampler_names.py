"""Names of samplers, and what is said of those that cannot be."""

from importlib.util import find_spec

import pytest

from celeriac.domain.sampler_names import NAMES, class_flaw, missing, name_flaw, optuna_classes


@pytest.mark.parametrize("name", [*NAMES, "optuna:TPESampler", "optuna:SomethingNewer"])
def test_a_name_that_may_be(name: str) -> None:
    assert name_flaw(name) == ""


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("baysian", "cannot be 'baysian'; did you mean 'bayesian'?"),
        ("optuna:", "cannot be 'optuna:'; name a class of optuna.samplers, such as optuna:TPESampler"),
        ("optuna:a b", "cannot be 'optuna:a b'; name a class"),
        (None, "cannot be None; known: auto"),
        (7, "cannot be 7; known: auto"),
    ],
)
def test_a_name_that_may_not_be_is_refused_with_the_reason(name: object, told: str) -> None:
    assert name_flaw(name).startswith(told)


def test_all_is_there_where_all_extras_are_installed() -> None:
    assert [missing(name) for name in (*NAMES, "optuna:GPSampler", "optuna:CmaEsSampler")] == [""] * 10


def test_what_is_missing_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = {"botorch", "torch"}
    monkeypatch.setattr(
        "celeriac.domain.sampler_names.find_spec", lambda name: None if name in absent else find_spec(name)
    )
    assert missing("bayesian") == missing("optuna:TPESampler") == missing("auto") == ""
    assert missing("botorch") == (
        "the sampler botorch needs botorch and torch, not installed here: `pip install 'celeriac[botorch]'`"
    )


def test_the_classes_are_those_that_a_seed_is_enough_for() -> None:
    found = optuna_classes()
    assert {"TPESampler", "GPSampler", "CmaEsSampler", "NSGAIISampler", "QMCSampler", "RandomSampler"} <= set(found)
    assert not {"GridSampler", "PartialFixedSampler", "BaseSampler", "BaseGASampler", "nsgaii"} & set(found)
    assert class_flaw("optuna:TPESampler") == class_flaw("bayesian") == ""
    assert (
        class_flaw("optuna:TPESampelr")
        == "optuna.samplers has no TPESampelr that can be used; did you mean 'TPESampler'?"
    )
