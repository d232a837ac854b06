"""A stack in the background, and on it whole studies from one command each: trials are stopped early, a population goes
on from others' checkpoints, also when its members are killed with -9; the rows say all of it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from celeriac.client import Client
from celeriac.decide.stop_early import at_rung, judged
from celeriac.domain.records import Outcome, Source, TrialState
from celeriac.domain.study_file import stop_rule
from tests.celeriac.cli.played import Ran
from tests.celeriac.cli.test_run import ran

pytestmark = [pytest.mark.stack, pytest.mark.slow]

STEEP = """\
import time

def objective(trial):
    for step in range(trial.start, 9):
        time.sleep(0.03)  # an epoch
        value = (step + 1) * trial.params["x"]
        trial.report(value, step=step, checkpoint=lambda path: open(path, "w").close())
    return value
"""
WITH_ASHA = """\
study: steep
objective: steep:objective
metric: {name: height, goal: maximize}
space: {x: {float: [0, 1]}}
default: {x: 0.5}
sampler: random
budget: {trials: 20}
parallel: 2
seed: 1
stop_early: {rule: asha, min: 1, max: 9}
"""
#: A height that is the sum of what each epoch's rate brought, which is best where the rate is near 1 / (epoch + 1).
CLIMB = """\
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
WITH_A_POPULATION = """\
study: climb
objective: climb:objective
metric: {name: height, goal: maximize}
space: {rate: {float: [0.01, 1], log: true}}
budget: {trials: 12}
seed: 1
stop_early: {rule: pbt, every: 3, max: 12, population: 4}
"""


@dataclass(frozen=True)
class Stack:
    """Where its home lies, and what `up` said."""

    place: Path
    up: Ran

    @property
    def home(self) -> Path:
        return self.place / "home"

    def run(self, *words: str) -> Ran:
        return ran(self.place, *words)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    place = tmp_path_factory.mktemp("stack")
    try:
        yield Stack(place, ran(place, "up", "--detach", "--slots", "4"))
    finally:
        ran(place, "down")


def test_a_stack_in_the_background_says_how_it_is_stopped_and_tells_its_log_no_secret(stack: Stack) -> None:
    up = stack.up
    assert up.code == 0, up
    assert f"stop      `celeriac down --home {stack.home}`" in up.out
    assert "Ctrl-C" not in up.out
    assert "its list of tasks begins when it starts" in up.out
    [code] = re.findall(r"/login/once\?code=(\S+)", up.out)
    log = (stack.home / "logs" / "up.log").read_text()
    assert ("Ready after" in log, code in log, "password" in log) == (True, False, False)
    assert "4 slots alive on 1 host" in stack.run("status").out


def test_a_study_with_asha_prunes_and_ends_with_its_budget(stack: Stack) -> None:
    (stack.place / "steep.py").write_text(STEEP)
    (stack.place / "steep.yaml").write_text(WITH_ASHA)
    first = stack.run("run", "steep.yaml")
    assert first.code == 0, first
    assert "starting one" not in first.err
    assert "steep is DONE: all 20 trials are finished" in first.out
    assert "of 20 trials stopped early: " in first.out
    found = json.loads(stack.run("rungs", "steep", "--json").out)
    with Client(home=stack.home) as client:
        study = client.study("steep")
        records, trials = list(study.each_rung_record()), list(study.each_trial())
        record, reports = study.record, client.store.reports(study.id, study.record.best_number or 0)
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


def test_a_population_learns_a_course_and_survives_kills(stack: Stack) -> None:
    (stack.place / "climb.py").write_text(CLIMB)
    (stack.place / "climb.yaml").write_text(WITH_A_POPULATION)
    first = stack.run("run", "climb.yaml")
    assert first.code == 0, first
    assert "climb is DONE: all 12 trials are finished" in first.out
    listed = stack.run("trials", "climb").out
    best = json.loads(stack.run("best", "climb", "--json").out)
    with Client(home=stack.home) as client:
        study = client.study("climb")
        record, trials = study.record, list(study.each_trial())
        attempts = client.store.attempts_of(study.id, [each.number for each in trials])
        course = {each.number: study.lineage(each.number) for each in trials}
        left = sum(len(client.store.checkpoints(study.id, each.number)) for each in trials)
    heirs = [each for each in trials if each.source is Source.PBT]
    assert heirs
    replay = stack.run("trials", "climb", "--why", str(heirs[0].number), "--replay")
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
