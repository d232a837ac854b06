"""Early stopping as a user sees it: `celeriac rungs`, the counts while it runs, and what was spared at the end."""

import json
from typing import Any

import pytest

from celeriac.client import Client, Study
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Crossing, Report
from celeriac.store.api import AttemptEnd
from tests.celeriac.cli.played import SPEC, Celeriac, closed, leased, started
from tests.celeriac.store.scenes import scored

ASHA: dict[str, Any] = {"rule": "asha", "min": 3, "max": 20, "eta": 3}


def trained(client: Client, study: Study, value: float, *, steps: int, device_s: float, rule: Any = None) -> None:
    """One trial that reports this value at each step; with fewer than 20 steps it is stopped, at the worker's own
    word.
    """
    from celeriac.decide.stop_early import Progress, at_rung, followed, judged
    from celeriac.domain.study_file import parse

    lease = leased(client, study)
    asked = parse({**SPEC, "stop_early": rule or ASHA}).stop_early
    assert asked is not None
    who, course, told = judged(asked, "maximize", lease.number, lease.source), Progress(), ""
    for step in range(steps):
        followed_on = followed(who, course, Report(step, value))
        course = followed_on.course
        crossings: list[Crossing] = [followed_on.crossing] if followed_on.crossing else []
        for record in client.store.report(lease.token, [Report(step, value)], crossings).rungs:
            decision = at_rung(who, record)
            told = decision.reason if decision.stop and not told else told
    end = scored(value)
    if steps < 20:
        end = AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, step=steps - 1, detail=told, device_s=device_s)
    client.store.finish_attempt(lease.token, end)


def test_rungs_says_who_came_who_was_stopped_and_what_that_spared(celeriac: Celeriac, client: Client) -> None:
    study = client.open({**SPEC, "stop_early": ASHA}).study
    started(client, study)
    trained(client, study, 0.8, steps=20, device_s=20.0)
    trained(client, study, 0.5, steps=4, device_s=4.0)
    trained(client, study, 0.9, steps=20, device_s=20.0)
    assert celeriac("rungs", "digits").out.splitlines() == [
        "rule asha, min 3, max 20, eta 3, resource step",
        "rung  came  stopped  best  trial  cutoff",
        "   3     3        1   0.9      2     0.9",
        "   9     2        0   0.9      2     0.9",
        "1 of 3 trials stopped early: 16 steps and about 16s of device time (67%) were not spent.",
    ]
    found = json.loads(celeriac("rungs", "digits", "--json").out)
    assert found["rule"] == {**ASHA, "resource": "step"}
    assert found["saved"] == {"trials": 1, "steps": 16, "device_s": 16.0}
    assert found["rungs"][0] == {
        "bracket": 0,
        "rung": 3,
        "came": 3,
        "stopped": 1,
        "best": 0.9,
        "best_trial": 2,
        "cutoff": 0.9,
    }


def test_a_pruned_trial_is_listed_with_where_it_fell_behind(celeriac: Celeriac, client: Client) -> None:
    study = client.open({**SPEC, "stop_early": ASHA}).study
    started(client, study)
    trained(client, study, 0.8, steps=20, device_s=1.0)
    trained(client, study, 0.5, steps=4, device_s=1.0)
    listed = celeriac("trials", "digits").out.splitlines()[2]
    assert listed.split()[:3] == ["1", "PRUNED", "-"]
    assert listed.endswith("rung 3: 0.5 is not among the best 1 of 2 (cutoff 0.8)")
    (pruned,) = json.loads(celeriac("trials", "digits", "--state", "pruned", "--json").out)
    assert pruned["rungs"] == [[3, 0.5]]
    assert (pruned["score"], pruned["last_step"]) == (None, 3)


def test_status_and_the_end_of_a_study_tell_what_was_spared(celeriac: Celeriac, client: Client) -> None:
    study = client.open({**SPEC, "stop_early": ASHA}).study
    started(client, study)
    trained(client, study, 0.8, steps=20, device_s=1.0)
    trained(client, study, 0.5, steps=4, device_s=2.0)
    told = "1 of 2 trials stopped early: 16 steps and about 8.0s of device time (67%) were not spent."
    status = celeriac("status", "digits").out
    assert "2/3 finished, 1 pruned, best accuracy 0.8" in status
    assert told in status
    assert json.loads(celeriac("status", "digits", "--json").out)["saved"]["device_s"] == 8.0
    closed(client, study)
    assert told in celeriac("watch", "digits").out


def test_a_study_without_a_rule_says_so(celeriac: Celeriac, client: Client) -> None:
    client.open(SPEC)
    assert "stops no trial early" in celeriac("rungs", "digits").out
    assert json.loads(celeriac("rungs", "digits", "--json").out)["rule"] is None


def test_before_any_score_nothing_can_be_said_of_the_saving(celeriac: Celeriac, client: Client) -> None:
    study = client.open({**SPEC, "stop_early": ASHA}).study
    started(client, study)
    assert "No trial has come to a rung yet." in celeriac("rungs", "digits").out
    assert "No trial was stopped early." in celeriac("rungs", "digits").out
    trained(client, study, 0.5, steps=4, device_s=2.0)
    assert "can be told once a trial is scored" in celeriac("rungs", "digits").out


def test_brackets_are_told_apart(celeriac: Celeriac, client: Client) -> None:
    rule = {**ASHA, "rule": "hyperband"}
    study = client.open({**SPEC, "stop_early": rule}).study
    started(client, study)
    for value in (0.8, 0.7, 0.6, 0.5):
        trained(client, study, value, steps=20, device_s=1.0, rule=rule)
    lines = celeriac("rungs", "digits").out.splitlines()
    assert lines[1].split() == ["bracket", "rung", "came", "stopped", "best", "trial", "cutoff"]
    assert {line.split()[0] for line in lines[2:-1]} > {"0"}


def test_a_threshold_takes_its_bound_whatever_came(celeriac: Celeriac, client: Client) -> None:
    rule = {"rule": "threshold", "at": 3, "bound": 0.6}
    study = client.open({**SPEC, "stop_early": rule}).study
    started(client, study)
    trained(client, study, 0.8, steps=20, device_s=1.0, rule=rule)
    trained(client, study, 0.5, steps=4, device_s=1.0, rule=rule)
    head, only = (line.split() for line in celeriac("rungs", "digits").out.splitlines()[1:3])
    assert dict(zip(head, only, strict=True)) == {
        "rung": "3",
        "came": "2",
        "stopped": "1",
        "best": "0.8",
        "trial": "0",
        "cutoff": "0.6",
    }
    assert {record.cutoff for record in study.scene(["rungs"]).rungs} == {0.6}


def test_patience_has_no_rungs_and_says_where_to_look(celeriac: Celeriac, client: Client) -> None:
    client.open({**SPEC, "stop_early": {"rule": "patience", "reports": 2}})
    said = celeriac("rungs", "digits").out
    assert "It has no rungs: `celeriac trials digits --state PRUNED` says" in said
    assert "has come to a rung" not in said


@pytest.mark.parametrize(("rule", "hint"), [("patience", True), ("asha", False)])
def test_a_default_that_alone_has_a_score_is_not_said_to_be_unbeaten(
    rule: str, hint: bool, celeriac: Celeriac, client: Client
) -> None:
    asked = {"rule": "patience", "reports": 2} if rule == "patience" else ASHA
    study = client.open({**SPEC, "stop_early": asked}).study
    started(client, study)
    trained(client, study, 0.5, steps=20, device_s=1.0, rule=ASHA)
    trained(client, study, 0.4, steps=4, device_s=1.0, rule=ASHA)
    closed(client, study)
    said = celeriac("watch", "digits").out
    assert "Only the default, trial 0, has a score" in said
    assert "Nothing beat" not in said
    assert ("TrialStopped: return best" in said) is hint
