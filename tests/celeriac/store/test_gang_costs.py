"""What a gang costs, and what its attempts teach, kept by both stores: each member's device counts, and whose memory
was too small is known.
"""

import pytest

from celeriac.domain.lifecycle import AttemptEvent, StudyEvent, TrialEvent
from celeriac.domain.records import Fault, MemoryFault, TrialState
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.scenes import failed, scored
from tests.celeriac.store.test_gangs import LEASE_S, begun, gang_study, joined


def test_device_time_counts_for_each_member_of_each_round(any_store: Store) -> None:
    store = any_store
    study = gang_study(store, {"min": 2, "max": 3}, trials=2)
    lead, *_ = begun(store, study, "w1", "w2", "w3")
    (attempt,) = store.attempts(study.id, 0)
    least_s = (store.now() - attempt.leased_at).total_seconds()
    spent = store.device_spent(study.id)
    most_s = (store.now() - attempt.leased_at).total_seconds()
    assert spent.study_holds == 3
    assert 0 < 3 * least_s <= spent.study_s <= 3 * most_s
    store.finish_attempt(lead.token, failed(Fault.INFRASTRUCTURE, trial_event=TrialEvent.RETRY, device_s=2.0))
    assert (store.study(study.id).device_s, store.study(study.id).ran_s) == (6.0, 2.0)
    lead, _ = begun(store, study, "w4", "w5", attempt=2)
    store.finish_attempt(lead.token, scored(0.5))
    assert [(each.width, each.device_s) for each in store.attempts(study.id, 0)] == [(3.0, 6.0), (2.0, 4.0)]
    assert (store.study(study.id).device_s, store.study(study.id).ran_s) == (10.0, 4.0)
    (claim,) = store.claims()
    assert (claim.ran_s, claim.mean_s) == (4.0, 4.0)


def test_a_cancelled_gang_is_charged_for_all_its_members(any_store: Store) -> None:
    store = any_store
    study = gang_study(store, trials=2)
    begun(store, study, "w1", "w2", "w3")
    seats = [joined(store, study, each, number=1) for each in ("w4", "w5", "w6")]
    assert store.close_round(seats[0].token, 3, 3)
    store.cancel_trial(study.id, 0, "a person asked")
    store.move_study(study.id, StudyEvent.STOP, "a person asked")
    ended = [store.attempts(study.id, number)[0] for number in (0, 1)]
    ran_s = sum((each.ended_at - each.leased_at).total_seconds() for each in ended if each.ended_at)
    study = store.study(study.id)
    assert study.ran_s == pytest.approx(ran_s, abs=0.05)
    assert study.device_s == pytest.approx(3 * study.ran_s)
    assert study.device_s == pytest.approx(sum(each.device_s for each in ended))


def test_a_late_score_of_a_gang_takes_the_place_of_what_was_charged(subject: Subject) -> None:
    store = subject.store
    study = gang_study(store)
    lead, *_ = begun(store, study, "w1", "w2", "w3")
    subject.pass_time(60)
    lapsed = AttemptEnd(AttemptEvent.SUPERSEDE, TrialEvent.RETRY, fault=Fault.INFRASTRUCTURE, device_s=9.0)
    store.finish_attempt(lead.token, lapsed, only_expired=True)
    assert store.finish_attempt(lead.token, scored(0.7)).state is TrialState.SCORED
    assert (store.study(study.id).device_s, store.study(study.id).ran_s) == (6.0, 2.0)


def test_the_kind_of_the_member_that_ran_out_of_memory_is_remembered_and_not_rank_0s(any_store: Store) -> None:
    study = gang_study(any_store, 2)
    seats = [joined(any_store, study, f"w{kind}", host=kind, kind=kind) for kind in ("A100", "T4")]
    assert any_store.close_round(seats[0].token, 2, 2)
    lead = any_store.gang_lease(seats[0].token)
    assert lead.place is not None
    assert (lead.place.rank, [each.kind for each in lead.place.peers]) == (0, ["A100", "T4"])
    seen = any_store.gang_beat(lead.token, LEASE_S)
    assert [each.device_kind for each in seen.members] == ["A100", "T4"]
    assert [each.device_kind for each in any_store.gang_members(study.id, 0, 1)] == ["A100", "T4"]
    short = failed(Fault.OUT_OF_MEMORY, trial_event=TrialEvent.RETRY, micro_batch=1, short_kind="T4")
    any_store.finish_attempt(lead.token, short)
    assert any_store.attempts(study.id, 0)[0].short_kind == "T4"
    again = begun(any_store, study, "w3", "w4", attempt=2)
    assert {each.memory_faults for each in again} == {(MemoryFault("T4", 1),)}
    any_store.finish_attempt(again[0].token, scored(0.5))
    (trial,) = any_store.ended_since(study.id, 0)
    assert trial.oom_device_kinds == ("T4",)
