"""`celeriac study replay`: past nights under other settings, on a verdict with the evidence of a real night."""

import json
from pathlib import Path

import pytest

from celeriac.client import Client
from celeriac.decide.calendar import calendar_of, plan_of
from celeriac.decide.firing import firing_of
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent
from celeriac.domain.records import Champion
from celeriac.store.firing import fire
from tests.celeriac.cli.played import NEW_YEAR, PLAN, SPEC, Celeriac

ROWS = json.loads((Path(__file__).parent.parent / "decide" / "flights_jfk.json").read_text())
REPLAY = ("study", "replay", "nightly", "--slice", "r=eu")


def a_verdict(client: Client) -> None:
    """The first night of slice eu is a real one's test; it promoted."""
    client.add_schedule({**SPEC, **PLAN, "metric": {"name": "log_loss", "goal": "minimize"}})
    row, slice_, [found] = client.store.schedule("nightly"), {"r": "eu"}, ROWS[-1:]
    made = fire(client.store, NEW_YEAR, firing_of(row, plan_of(calendar_of(row), slice_), slice_, NEW_YEAR))
    assert made is not None
    study = client.submit({**SPEC, "study": "stand-in"})
    told = {key: found[key] for key in ("trial", "params", "score", "default_score", "metrics", "promoted", "reason")}
    verdict = Champion(
        "nightly", slice_, study.id, study.name, **told, evidence=found["evidence"], firing_id=made.id, before_id=None
    )
    made = client.store.move_firing(made.id, made.turn, FiringMove(FiringEvent.SEARCH, "first"))
    made = client.store.move_firing(made.id, made.turn, FiringMove(FiringEvent.CONFIRM, "a test"))
    client.store.move_firing(made.id, made.turn, FiringMove(FiringEvent.PROMOTE, "better", verdict=verdict))


def test_a_gates_other_rules_are_shown_night_by_night_and_as_json(celeriac: Celeriac, client: Client) -> None:
    a_verdict(client)
    ran = celeriac(*REPLAY, "--gate", "min_gain=0.014")
    assert ran.code == 0
    assert "nightly r=eu with min_gain=0.014, decided on the pairs that were run:" in ran.out
    assert "2026-01-01  promote  keep" in ran.out
    assert "1 night, 1 with a test: 1 promoted, 0 would have; 1 otherwise, 0 the rows cannot tell" in ran.out
    told = json.loads(celeriac(*REPLAY, "--gate", "pairs=9, min_gain=0.001", "--json").out)
    assert (told["schedule"], told["slice"], told["sampler"]) == ("nightly", {"r": "eu"}, None)
    [night] = told["gate"]["nights"]
    assert (night["was"], night["would"], night["run"], night["pairs"]) == ("promote", "promote", 13, 6)
    assert told["gate"]["counts"]["pairs"] == 6


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "say what would be otherwise"),
        (("--gate", "speed=3"), "write min_gain=VALUE, pairs=VALUE, fdr=VALUE"),
        (("--gate", ""), "--gate names no rule"),
        (("--gate", "pairs=1"), "--gate: gate.pairs: must be from 2 to 200"),
        (("--gate", "fdr=0.9"), "--gate: gate.fdr: must be above 0 and at most 0.5, not 0.9"),
        (("--gate", "pairs=9"), "no night of this slice of nightly has ended with a verdict"),
        (("--sampler", "random"), "no search of this slice of nightly has a finished trial"),
    ],
)
def test_what_cannot_be_replayed_says_why(
    celeriac: Celeriac, client: Client, words: tuple[str, ...], says: str
) -> None:
    client.add_schedule({**SPEC, **PLAN})
    ran = celeriac(*REPLAY, *words)
    assert ran.code == 2
    assert says in " ".join(ran.err.replace("│", " ").split())


def test_an_unknown_slice_is_named_with_those_that_there_are(celeriac: Celeriac, client: Client) -> None:
    client.add_schedule({**SPEC, **PLAN})
    ran = celeriac("study", "replay", "nightly", "--slice", "r=moon", "--gate", "pairs=9")
    assert (ran.code, "it has r=eu; r=us" in ran.err) == (2, True)
