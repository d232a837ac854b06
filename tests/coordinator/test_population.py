"""A population from its first trial to its last: fresh members, then an heir for each that fell behind; the budget is
exact, and each heir is decided again from the rows.
"""

import random

import pytest

from celeriac.decide.stop_early import Progress, at_rung, followed, judged
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Checkpoint, Fault, Lease, Report, Source, StudyState, TrialState
from celeriac.domain.study_file import stop_rule
from celeriac.runtime.broker import CPU_QUEUE
from celeriac.store.api import AttemptEnd
from coordinator.suggest.replay import replayed
from coordinator.turn import drive
from tests.coordinator.house import House, open_study

RULE = {"rule": "pbt", "every": 3, "max": 12, "population": 6, "resample": 0.2}
CHANGES = {"sampler": "auto", "default": None, "stop_early": RULE}


def trained(house: House, lease: Lease, rng: random.Random) -> None:
    """Train it to its end, or until it falls behind: the closer its rate is to what the step wants, the better."""
    rule = stop_rule(house.store.study(lease.study_id).spec)
    assert rule is not None
    who = judged(rule, "minimize", lease.number, lease.source, lease.born_step)
    course, value = Progress(), 1.0
    for step in range(lease.born_step + 1, 12):
        value = abs(float(lease.params["lr"]) - 0.05 / (step + 1)) + rng.random() * 0.01
        path = f"{lease.study_id}/{lease.number}/{step}"
        kept = Checkpoint(lease.study_id, lease.number, lease.attempt, step, path, "0" * 64, 10)
        found = followed(who, course, Report(step, value, {}, kept))
        course = found.course
        landed = house.store.report(
            lease.token, [Report(step, value, {}, kept)], [found.crossing] if found.crossing else []
        )
        if any(at_rung(who, each).stop for each in landed.rungs):
            end = AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, step=step, device_s=1.0)
            house.store.finish_attempt(lease.token, end)
            return
    house.finish(lease, value)


@pytest.mark.parametrize("slots", [2, 6])
def test_each_that_falls_behind_has_one_heir_and_the_budget_is_exact(slots: int) -> None:
    house, rng = House(slots=slots), random.Random(3)
    study = open_study(house.store, budget={"trials": 40}, **CHANGES)
    while house.store.study(study.id).state is not StudyState.DONE:
        drive(house.coordinator, study.id)
        assert house.store.study(study.id).counts.open <= 6
        while house.mailbox.queues[CPU_QUEUE]:
            lease = house.lease(house.take())
            assert lease is not None
            if lease.number == 9:
                house.fail(lease, Fault.NOT_FINITE)
            else:
                trained(house, lease, rng)
            drive(house.coordinator, study.id)
    counts = house.store.study(study.id).counts
    assert (counts.finished, counts.failed, counts.cancelled) == (40, 1, 0)
    trials = house.store.trials(study.id, limit=100)
    assert all(each.source is Source.SUGGESTED for each in trials[:6])
    assert {each.provenance.sampler for each in trials if each.source is Source.SUGGESTED} == {"sobol"}
    heirs = [each for each in trials if each.source is Source.PBT]
    behind = sorted((t for t in trials if t.state is TrialState.PRUNED), key=lambda t: t.ended_no or 0)
    assert len(heirs) >= 5
    assert [each.why["replaces"] for each in heirs] == [each.number for each in behind[: len(heirs)]]
    for each in heirs:
        assert each.why["parent"] != each.why["replaces"]
        assert each.why["parent_step"] in (3, 6, 9)
        assert replayed(house.store, study.id, each.number) == each.params
    for each in trials[:6]:
        assert replayed(house.store, study.id, each.number) == each.params
