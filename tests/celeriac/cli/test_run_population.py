"""A population on a real service from one command: members fall behind, heirs go on from others' checkpoints, also when
they are killed with -9; the rows say all of it.
"""

import json
from pathlib import Path

import pytest

from celeriac.client import Client
from celeriac.domain.records import Outcome, Source, TrialState
from tests.celeriac.cli.test_run import ran

#: A height that is the sum of what each epoch's rate brought, which is best where the rate is near 1 / (epoch + 1).
OBJECTIVE = """\
import os, signal, time
from pathlib import Path

def objective(trial):
    height = float(Path(trial.checkpoint).read_text()) if trial.checkpoint else 0.0
    for step in range(trial.start, 12):
        time.sleep(0.1)  # an epoch
        height -= abs(trial.params["rate"] - 1 / (step + 1))
        trial.report(height, step=step, checkpoint=lambda path: Path(path).write_text(str(height)))
        if trial.start and trial.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL)  # an heir, after its first step
    return height
"""
STUDY = """\
study: climb
objective: climb:objective
metric: {name: height, goal: maximize}
space: {rate: {float: [0.01, 1], log: true}}
budget: {trials: 12}
seed: 1
stop_early: {rule: pbt, every: 3, max: 12, population: 4}
"""


@pytest.mark.stack
@pytest.mark.slow
def test_a_population_learns_a_course_and_survives_kills(tmp_path: Path) -> None:
    (tmp_path / "climb.py").write_text(OBJECTIVE)
    (tmp_path / "study.yaml").write_text(STUDY)
    try:
        first = ran(tmp_path, "run", "study.yaml", "--slots", "4")
        assert first.code == 0, first
        assert "climb is DONE: all 12 trials are finished" in first.out
        listed = ran(tmp_path, "trials", "climb").out
        best = json.loads(ran(tmp_path, "best", "climb", "--json").out)
        with Client(home=tmp_path / "home") as client:
            study = client.study("climb")
            record, trials = study.record, list(study.each_trial())
            attempts = client.store.attempts_of(study.id, [each.number for each in trials])
            course = {each.number: study.lineage(each.number) for each in trials}
            left = sum(len(client.store.checkpoints(study.id, each.number)) for each in trials)
        heirs = [each for each in trials if each.source is Source.PBT]
        assert heirs
        replay = ran(tmp_path, "trials", "climb", "--why", str(heirs[0].number), "--replay")
    finally:
        ran(tmp_path, "down")
    assert (record.counts.finished, record.counts.scored + record.counts.pruned) == (12, 12)
    assert len(heirs) <= record.counts.pruned
    for each in heirs:
        parent, step = each.why["parent"], each.why["parent_step"]
        assert trials[each.why["replaces"]].state is TrialState.PRUNED
        assert f"heir of {parent} at {step}" in listed
        before, *rest = attempts[each.number]
        assert (before.outcome, before.resumed_step) == (Outcome.FAULT, step)
        assert [again.resumed_step for again in rest] == [step + 1]
        parts = course[each.number]
        assert parts[0].first == 0
        assert [part.last for part in parts[:-1]] == [part.first - 1 for part in parts[1:]]
        assert (parts[-2].trial, parts[-2].last, parts[-1].trial) == (parent, step, each.number)
    assert [part["trial"] for part in best["lineage"]] == [part.trial for part in course[record.best_number or 0]]
    assert left == 0
    assert replay.code == 0
    assert "Computed again from the rows: the same parameters." in replay.out
