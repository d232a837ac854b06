"""`celeriac trials STUDY --why N` with its replay by the coordinator's own program, `celeriac importance`, `celeriac
plot`.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from celeriac.client import Client, Study
from celeriac.domain.records import Lease, Report, Source, Suggestion
from celeriac.domain.study_file import parse
from coordinator.samplers import sampler_for
from tests.celeriac.cli.played import SPEC, Celeriac, leased, played, started
from tests.celeriac.store.scenes import scored

MODEL = {
    "by": "log expected improvement",
    "mean": 0.8,
    "low": 0.7,
    "high": 0.9,
    "incumbent": 0.85,
    "incumbent_number": 11,
    "expected_gain": 0.0125,
    "feasible": 0.75,
}
FOUND = {"sampler": "random", "seed": 7, "observed": 0, "index": 0}


def run_once(client: Client, study: Study, suggestion: Suggestion, score: float) -> int:
    """One trial with that suggestion, run to its score."""
    number = study.record.next_number
    client.store.add_trials(study.id, study.record.turn, [suggestion])
    lease = client.store.lease(study.id, number, 1, worker="cpu0.s0@here", device="cpu", lease_s=30)
    assert isinstance(lease, Lease)
    client.store.finish_attempt(lease.token, scored(score))
    return number


def opened(client: Client) -> Study:
    study = client.open({**SPEC, "sampler": "random", "seed": 7}).study
    started(client, study)
    return study


def suggested(**changes: Any) -> Suggestion:
    """What the random sampler suggests for trial 0 of SPEC, with its `why`."""
    (proposal,) = sampler_for("random")(parse(SPEC).space, [], [], 1, 7)
    return Suggestion({**proposal.params, **changes}, Source.SUGGESTED, {**FOUND, "by": "random"})


def test_why_a_study_waits(celeriac: Celeriac, client: Client) -> None:
    study = opened(client)
    ran = celeriac("why", "digits")
    assert (ran.code, ran.out) == (0, "digits: no live slot can run it\n")
    form = json.loads(celeriac("why", "digits", "--json").out)
    assert (form["study"], form["of"], form["place"], form["late"]) == ("digits", 0, None, "")
    client.store.add_trials(study.id, study.record.turn, [suggested()])
    ran = celeriac("why", "digits", "0")
    assert "trial 0 of digits: WAITING" in ran.out
    assert ran.out.endswith("digits: no live slot can run it\n")


def test_the_page_tells_how_what_was_expected_and_what_came(celeriac: Celeriac, client: Client) -> None:
    study = opened(client)
    run_once(client, study, Suggestion({"lr": 0.02}, Source.SUGGESTED, {**FOUND, **MODEL}), 0.875)
    ran = celeriac("trials", "digits", "--why", "0")
    assert ran.code == 0
    for words in (
        "trial 0 of digits: SCORED, accuracy 0.875",
        "lr=0.02",
        "Suggested by the random sampler, seed 7: the point with the largest log expected improvement",
        "No trial had ended yet.",
        "0.8, nine in ten between 0.7 and 0.9 (the model's own word: it knows no bounds of accuracy)",
        "0.85 (trial 11)",
        "0.0125",
        "25%",
        "0.875: inside the interval, 0.075 above the mean, 0.025 better than the best then",
        "celeriac trials digits --why 0 --replay",
    ):
        assert words in ran.out
    form = json.loads(celeriac("trials", "digits", "--why", "0", "--json").out)
    assert form["why"] == {**FOUND, **MODEL}
    assert form["expected"]["incumbent_number"] == 11
    assert form["outcome"]["inside"] is True
    assert (form["pending"], form["replay"]) == ([], None)


def test_the_page_tells_which_trials_were_pending(celeriac: Celeriac, client: Client) -> None:
    study = opened(client)
    knew = {**FOUND, "index": 1}
    run_once(client, study, Suggestion({"lr": 0.02}, Source.SUGGESTED, FOUND), 0.875)
    client.store.add_trials(
        study.id,
        client.store.study(study.id).turn,
        [Suggestion({"lr": 0.1 * k}, Source.SUGGESTED, knew) for k in (1, 2)],
    )
    assert "and 1 more still open (0)" not in celeriac("trials", "digits", "--why", "1").out
    ran = celeriac("trials", "digits", "--why", "2")  # the second of an answer that began with trial 1
    assert "No trial had ended yet, and 1 more still open (0)." in ran.out
    assert json.loads(celeriac("trials", "digits", "--why", "2", "--json").out)["pending"] == [0]


def test_a_replay_asks_the_sampler_again(celeriac: Celeriac, client: Client) -> None:
    study = opened(client)
    run_once(client, study, suggested(), 0.5)
    ran = celeriac("trials", "digits", "--why", "0", "--replay")
    assert (ran.code, "Computed again from the rows: the same parameters." in ran.out) == (0, True)
    form = json.loads(celeriac("trials", "digits", "--why", "0", "--replay", "--json").out)
    assert form["replay"] == {"params": form["params"], "same": True}


def test_a_replay_that_differs_is_told_and_ends_with_one(celeriac: Celeriac, client: Client) -> None:
    run_once(client, opened(client), suggested(lr=0.05), 0.5)
    ran = celeriac("trials", "digits", "--why", "0", "--replay")
    assert ran.code == 1
    assert "NOT the same parameters" in ran.out
    assert "stored  lr=0.05" in ran.out


def test_the_default_was_asked_of_no_sampler(celeriac: Celeriac, client: Client) -> None:
    run_once(client, opened(client), Suggestion({"lr": 0.01}, Source.DEFAULT, {"by": "the study file"}), 0.5)
    ran = celeriac("trials", "digits", "--why", "0")
    assert "the default that the study file gives" in ran.out
    assert "--replay" not in ran.out
    wrong = celeriac("trials", "digits", "--why", "0", "--replay")
    assert (wrong.code, "no sampler suggested it" in wrong.err) == (2, True)
    assert celeriac("trials", "digits", "--why", "7").code == 2
    assert celeriac("trials", "digits", "--replay").code == 2


def test_importance_is_refused_with_a_reason_then_told(celeriac: Celeriac, client: Client) -> None:
    study = client.open({**SPEC, "budget": {"trials": 12}}).study
    played(client, study, 0.1, 0.2)
    few = celeriac("importance", "digits")
    assert (few.code, few.out, "too few trials: 2 are scored" in few.err) == (1, "", True)
    assert json.loads(celeriac("importance", "digits", "--json").out)["parameters"] == []
    for k in range(10):
        run_once(client, study, Suggestion({"lr": 0.001 * (k + 1)}, Source.SUGGESTED), k / 10)
    ran = celeriac("importance", "digits")
    assert ran.code == 0
    assert "What makes a trial one of the best (ped-anova, 12 scored trials)" in ran.out
    assert ran.out.splitlines()[2].split()[:2] == ["lr", "100%"]
    assert "only 12 scored trials" in ran.err
    form = json.loads(celeriac("importance", "digits", "--json").out)
    assert (form["study"], form["parameters"][0]["share"]) == ("digits", 1.0)
    assert "(fanova, 12 scored trials)" in celeriac("importance", "digits", "--method", "fanova").out
    assert celeriac("importance", "digits", "--method", "guess").code == 2


def test_plot_writes_pictures_and_pages_and_says_where(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    study = client.open({**SPEC, "study": "digits", "budget": {"trials": 3}}).study
    nothing = celeriac("plot", "digits")
    assert (nothing.code, nothing.out) == (1, "")
    assert "history: nothing to show: no trial has a score yet" in nothing.err
    started(client, study)
    lease = leased(client, study)
    client.store.report(lease.token, [Report(step, step / 10) for step in range(1, 4)])
    client.store.finish_attempt(lease.token, scored(0.3))
    ran = celeriac("plot", "digits")
    names = [f"{name}.{kind}" for kind in ("png", "html") for name in ("history", "parallel", "slices", "rungs")]
    assert (ran.code, ran.out.split()) == (0, [f"digits-plots/{name}" for name in [*names, "index.html"]])
    assert all((tmp_path / path).stat().st_size > 10_000 for path in ran.out.split())
    assert "importance: nothing to show: too few trials: 1 are scored" in ran.err
    one = celeriac("plot", "digits", "--kind", "rungs", "--out", "here/there", "--json")
    assert json.loads(one.out) == {
        "study": "digits",
        "files": ["here/there/rungs.png", "here/there/rungs.html", "here/there/index.html"],
        "nothing": {},
    }
    wrong = celeriac("plot", "digits", "--kind", "history,pie")
    assert (wrong.code, "known: history, parallel, importance, slices, rungs" in wrong.err) == (2, True)


def test_a_study_is_drawn_from_python_too(celeriac: Celeriac, client: Client) -> None:
    celeriac("submit", "study.yaml")
    study = client.study("digits")
    played(client, study, 0.1, 0.3, 0.2)
    chart = study.plot("history")
    assert chart.spec is not None
    assert "best 0.3 (trial 1)" in json.dumps(chart.spec)
    assert study.plot("importance").reason.startswith("too few trials")
    with pytest.raises(ValueError, match="known: history, parallel"):
        study.plot("pie")
