"""The contract on figures, kept by both stores."""

from celeriac.domain.records import KnownCost, ProposedSoFar, Source, Suggestion
from celeriac.runtime.metrics.table import BY_NAME
from celeriac.store import Store
from tests.celeriac.store.scenes import failed, leased, queued, running, scored, suggestion
from tests.celeriac.store.test_gangs import begun, gang_study
from tests.celeriac.store.test_packs import packed


def test_points_from_outside_are_counted_and_come_first(any_store: Store) -> None:
    study = running(any_store)
    assert any_store.proposed(study.id) == []
    point = Suggestion({"lr": 0.5}, Source.PROPOSED, {"who": "ada"})
    any_store.add_trials(study.id, study.turn, [suggestion(lr=0.1), suggestion(lr=0.2), point])
    assert any_store.snapshot(study.id).waiting == (2, 0, 1)
    assert any_store.proposed(study.id) == [ProposedSoFar("ada", given=1)]
    nameless = Suggestion({"lr": 0.5}, Source.PROPOSED, {})
    added = any_store.add_trials(study.id, study.turn + 1, [point] * 3 + [suggestion(), nameless])
    for number, score in ((0, 0.4), (1, 0.6), (6, 0.5), (2, 0.5), (3, 0.45)):
        any_store.queue_trials(study.id, any_store.study(study.id).turn, [number])
        any_store.finish_attempt(leased(any_store, study, number).token, scored(score))
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [4])
    any_store.finish_attempt(leased(any_store, study, 4).token, failed())
    any_store.cancel_trial(study.id, added[2].number, "not wanted")
    # the median of 0.4, 0.5, 0.6 is 0.5: trial 2 hits; trials 3 (0.45) and 4 (failed) do not; trial 5 was cancelled
    assert any_store.proposed(study.id) == [ProposedSoFar("", given=1), ProposedSoFar("ada", given=3, ended=3, hits=1)]


def test_what_earlier_trials_of_an_objective_took(any_store: Store) -> None:
    assert any_store.known_cost("train:objective") == KnownCost()
    study = queued(any_store, 2)
    for number in range(2):
        any_store.finish_attempt(leased(any_store, study, number).token, scored(0.5))  # two seconds each
    running(any_store)
    assert any_store.known_cost("train:objective") == KnownCost(studies=1, trials=2, ran_s=4.0)
    assert any_store.known_cost("train:other") == KnownCost()


def test_figures_are_those_that_are_told(store: Store) -> None:
    study = queued(store, 4)
    store.finish_attempt(leased(store, study, 0).token, scored(0.5))
    store.finish_attempt(leased(store, study, 1).token, failed())
    leased(store, study, 2)
    store.did("drive", 5.0)
    found = {(name, labels): value for name, labels, value in store.figures()}
    for name, labels in found:
        assert BY_NAME[name].of == "rows"
        assert len(labels) == len(BY_NAME[name].labels), name
    assert found["trials", ("SCORED",)] == found["trials", ("RUNNING",)] == found["trials", ("QUEUED",)] == 1
    assert found["trials_failed", ("user_bug",)] == found["queue_depth", ()] == found["slots", ("busy",)] == 1
    assert found["attempts_recent", ("fault", "user_bug")] == 1
    assert 0 <= found["slot_gap_seconds", ("0.5",)] < 5
    assert 0 <= found["duty_age_seconds", ("drive",)] < 60
    assert found["studies", ("RUNNING",)] == 1


def test_a_pack_is_one_busy_slot_and_a_gang_as_many_as_it_has_members(store: Store) -> None:
    study = store.study(packed(store, 4))
    lead = leased(store, study, 0, worker="w1")
    store.lease_along(lead.token, [1, 2, 3])
    begun(store, gang_study(store, 2, name="gang"), "w2", "w3")
    found = {(name, labels): value for name, labels, value in store.figures()}
    assert found["trials", ("RUNNING",)] == 5
    assert found["slots", ("busy",)] == 3
