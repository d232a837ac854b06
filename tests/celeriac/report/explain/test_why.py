"""A trial's `why`, read back: any key may be absent, none is lost, and the outcome follows the study's goal."""

from typing import Any

import pytest

from celeriac.domain.provenance import Expectation, Provenance
from celeriac.domain.records import Source
from celeriac.report.explain.why import Outcome, explained
from tests.celeriac.report.explain.rows import trial

FULL: dict[str, Any] = {
    "sampler": "bayesian",
    "seed": 7,
    "observed": 22,
    "index": 0,
    "by": "log expected improvement",
    "mean": 0.8,
    "low": 0.7,
    "high": 0.9,
    "incumbent": 0.85,
    "incumbent_number": 11,
    "expected_gain": 0.01,
    "feasible": 0.97,
    "fitted_on": 21,
}


def test_all_that_a_sampler_may_say_is_read() -> None:
    found = explained(trial(23, score=0.875, why=FULL), "maximize", [20, 21])
    assert found.how == "the point with the largest log expected improvement that the model found"
    said = found.provenance
    assert (said.sampler, said.seed, said.observed, found.pending) == ("bayesian", 7, 22, (20, 21))
    assert said.expected == Expectation(0.8, 0.7, 0.9, 0.85, 11, 0.01, 0.97)
    assert found.outcome == Outcome(0.875 - 0.8, True, 0.875 - 0.85)
    assert said.more == {"fitted_on": 21}
    assert said.is_replayable


@pytest.mark.parametrize("key", sorted(FULL))
def test_any_key_may_be_absent(key: str) -> None:
    found = explained(trial(23, score=0.5, why={k: v for k, v in FULL.items() if k != key}), "minimize")
    assert found.how
    assert found.provenance.is_replayable == (key not in ("sampler", "seed", "observed"))
    assert found.outcome is not None
    assert (found.outcome.error is None) == (key == "mean")
    assert (found.outcome.inside is None) == (key in ("low", "high"))
    assert (found.outcome.gain is None) == (key == "incumbent")


def test_what_was_pending_follows_from_the_row() -> None:
    assert Provenance.read({**FULL, "index": 2}).known_then(23) == (22, 21)
    assert Provenance.read({"by": "the study file"}).known_then(0) is None
    listed = Provenance.read({**FULL, "pending": [20, 21]})  # a row of version 0.1
    assert (listed.known_then(23), listed.more) == ((22, 23), {"fitted_on": 21})


def test_what_is_read_is_written_as_it_was() -> None:
    for why in (FULL, {"by": "the study file"}, {**FULL, "best": None, "reason": "so", "regret_bound": 0.1}):
        found = Provenance.read(why)
        assert found.written() == ({"best": None} | why if "sampler" in why else why)
        assert Provenance.read(found.written()) == found


def test_less_is_better_where_the_goal_says_so() -> None:
    up, down = (explained(trial(23, score=0.95, why=FULL), goal).outcome for goal in ("maximize", "minimize"))
    assert up is not None
    assert down is not None
    assert up.gain == pytest.approx(0.1)
    assert down.gain == pytest.approx(-0.1)
    assert (up.inside, down.inside) == (False, False)
    assert up.error == down.error == pytest.approx(0.15)


def test_without_a_score_there_is_no_outcome() -> None:
    assert explained(trial(23, score=None, why=FULL), "maximize").outcome is None


def test_a_first_trial_knew_nothing_and_is_replayable_all_the_same() -> None:
    why = {"sampler": "random", "seed": 0, "observed": 0, "index": 0, "by": "random"}
    found = explained(trial(0, why=why), "maximize")
    assert found.provenance.is_replayable
    assert (found.provenance.expected, found.outcome, found.provenance.more) == (None, None, {})


@pytest.mark.parametrize(
    ("source", "words"), [(Source.DEFAULT, "study file"), (Source.PRIOR, "prior"), (Source.CHAMPION, "champion")]
)
def test_what_no_sampler_suggested_says_so(source: Source, words: str) -> None:
    found = explained(trial(0, source=source, why={"by": "the study file"}), "maximize")
    assert words in found.how
    assert not found.provenance.is_replayable


def test_a_reason_is_told() -> None:
    why = {"sampler": "bayesian", "by": "random", "reason": "only 2 trials are scored"}
    assert (
        explained(trial(4, why=why), "maximize").how
        == "drawn at random from the space, because only 2 trials are scored"
    )
    assert "did not say how" in explained(trial(4, why={}), "maximize").how
    assert explained(trial(4, why={"by": "TPE"}), "maximize").how == "TPE"
