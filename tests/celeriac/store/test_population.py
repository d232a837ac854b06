"""The contract on populations, kept by both stores: who led where one fell behind, and what its heir begins from."""

from celeriac.domain.lifecycle import AttemptEvent, StudyEvent, TrialEvent
from celeriac.domain.records import Source, StudyRecord, Suggestion
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.scenes import SPEC, crossing, leased, new_study, queued, report, scored

PBT = {"rule": "pbt", "every": 5, "max": 20, "population": 4}
BEHIND = AttemptEnd(AttemptEvent.PRUNE, TrialEvent.PRUNE, detail="it fell behind", device_s=1.0)


def population(store: Store, count: int) -> StudyRecord:
    """A running study with a population, and that many queued trials."""
    opened = store.create_study(new_study(spec={**SPEC, "stop_early": PBT}))
    study = store.move_study(opened.id, StudyEvent.START, "first turn")
    store.add_trials(study.id, study.turn, [Suggestion({"lr": 0.1}, Source.SUGGESTED)] * count)
    store.queue_trials(study.id, study.turn + 1, list(range(count)))
    return store.study(study.id)


def test_the_leaders_are_those_that_came_before_it_where_it_was_not_kept(any_store: Store) -> None:
    study = queued(any_store, 6)
    for number, value in enumerate((0.5, 0.9, 0.7, 0.6, 0.2, 0.99)):
        lease = leased(any_store, study, number)
        for rung in (5, 10):
            any_store.report(lease.token, [report(lease, rung, value)], [crossing(rung, value, of=2, spare=1)])
    own, *best = any_store.rung_leaders(study.id, 4, 10)
    assert (own.trial, own.rung, own.place) == (4, 5, 5)
    assert [each.trial for each in best] == [1, 2, 3, 0, 4]
    assert [each.trial for each in any_store.rung_leaders(study.id, 4, 2)[1:]] == [1, 2]
    assert any_store.rung_leaders(study.id, 5, 10) == []
    assert any_store.rung_leaders(study.id, 9, 10) == []


def test_an_heir_begins_from_its_parents_checkpoint_and_goes_on_from_its_own(any_store: Store) -> None:
    study = population(any_store, 2)
    parent = leased(any_store, study, 0)
    any_store.report(parent.token, [report(parent, step, checkpoint=True) for step in (4, 5, 6)])
    loser = leased(any_store, study, 1)
    any_store.finish_attempt(loser.token, BEHIND)
    why = {"by": "population based training", "parent": 0, "parent_step": 5}
    any_store.add_trials(study.id, any_store.study(study.id).turn, [Suggestion({"lr": 0.2}, Source.PBT, why)])
    first = leased(any_store, study, 2)
    assert [(each.trial, each.step) for each in first.checkpoints] == [(0, 5)]
    assert first.born_step == 5
    assert parent.born_step == -1
    (kept,) = any_store.report(first.token, [report(first, 6, checkpoint=True)]).checkpoints
    assert (kept.trial, kept.step) == (2, 6)
    any_store.finish_attempt(first.token, AttemptEnd(AttemptEvent.RELEASE, TrialEvent.PARK, detail="pre-empted"))
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [2])
    second = leased(any_store, study, 2, attempt=2)
    assert [(each.trial, each.step) for each in second.checkpoints] == [(2, 6), (0, 5)]
    assert second.born_step == 5


def test_what_is_inherited_outlives_its_trial_and_ends_with_the_study(any_store: Store) -> None:
    study = population(any_store, 1)
    lease = leased(any_store, study, 0)
    landed = any_store.report(lease.token, [report(lease, step, checkpoint=True) for step in (4, 5, 6)])
    kept = [each.path for each in landed.checkpoints if each.step == 5]
    assert not any_store.drop_checkpoints(lease.token, kept)
    any_store.finish_attempt(lease.token, scored(0.5))
    assert any_store.drop_checkpoints(lease.token, kept)
    assert [each.step for each in any_store.checkpoints(study.id, 0)] == [5]
    any_store.move_study(study.id, StudyEvent.STOP, "enough")
    assert any_store.checkpoints(study.id, 0) == []
