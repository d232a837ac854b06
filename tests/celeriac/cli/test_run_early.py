"""Early stopping on a real service from one command: trials are stopped, the budget is exact, and the rows say why."""

import json
from pathlib import Path

import pytest

from celeriac.client import Client
from celeriac.decide.stop_early import at_rung, judged
from celeriac.domain.records import TrialState
from celeriac.domain.study_file import stop_rule
from tests.celeriac.cli.test_run import ran

OBJECTIVE = """\
import time

def objective(trial):
    for step in range(trial.start, 9):
        time.sleep(0.03)  # an epoch
        value = (step + 1) * trial.params["x"]
        trial.report(value, step=step, checkpoint=lambda path: open(path, "w").close())
    return value
"""
STUDY = """\
study: climb
objective: climb:objective
metric: {name: height, goal: maximize}
space: {x: {float: [0, 1]}}
default: {x: 0.5}
sampler: random
budget: {trials: 20}
seed: 1
stop_early: {rule: asha, min: 1, max: 9}
"""


@pytest.mark.stack
@pytest.mark.slow
def test_a_study_with_asha_prunes_and_ends_with_its_budget(tmp_path: Path) -> None:
    (tmp_path / "climb.py").write_text(OBJECTIVE)
    (tmp_path / "study.yaml").write_text(STUDY)
    try:
        first = ran(tmp_path, "run", "study.yaml", "--slots", "2")
        assert first.code == 0, first
        assert "climb is DONE: all 20 trials are finished" in first.out
        assert "of 20 trials stopped early: " in first.out
        found = json.loads(ran(tmp_path, "rungs", "climb", "--json").out)
        with Client(home=tmp_path / "home") as client:
            study = client.study("climb")
            records, trials = list(study.each_rung_record()), list(study.each_trial())
            record, reports = study.record, client.store.reports(study.id, study.record.best_number or 0)
    finally:
        ran(tmp_path, "down")
    rule = stop_rule(record.spec)
    assert rule is not None
    assert (record.counts.finished, record.counts.pruned + record.counts.scored) == (20, 20)
    pruned = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert (
        len(pruned)
        == record.counts.pruned
        == found["saved"]["trials"]
        == sum(each["stopped"] for each in found["rungs"])
    )
    assert len(pruned) >= 8
    for trial in pruned:
        verdicts = [
            at_rung(judged(rule, "maximize", trial.number, trial.source), each)
            for each in records
            if each.trial == trial.number
        ]
        assert trial.detail == next(each.reason for each in verdicts if each.stop)
        assert trial.score is None
    assert trials[0].state is TrialState.SCORED
    assert len(reports) == 9
    assert found["saved"]["steps"] > 30
