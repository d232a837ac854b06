"""The contract on packs, kept by both stores: several leases for one worker, each of them a fence of its own."""

from datetime import timedelta
from typing import Any

import pytest

from celeriac.domain.errors import LeaseLost
from celeriac.domain.lifecycle import AttemptEvent, StudyEvent, TrialEvent
from celeriac.domain.records import Checkpoint, Counts, Device, Fault, Placed, Refusal, Report, TrialState
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.scenes import SPEC, failed, leased, new_study, running, scored, with_trials

GIB = 2**30
PACKED = {**SPEC, "pack": 8, "budget": {"trials": 20}}


def packed(store: Store, trials: int, **changes: Any) -> int:
    """A study whose trials wait."""
    opened = store.create_study(new_study(spec=PACKED, **changes))
    study = store.move_study(opened.id, StudyEvent.START, "first turn", turn=opened.turn)
    with_trials(store, study, trials)
    return study.id


def test_a_leader_takes_waiting_trials_along_each_under_its_own_token(any_store: Store) -> None:
    study = any_store.study(packed(any_store, 5))
    any_store.queue_trials(study.id, study.turn, [0, 4])
    lead = leased(any_store, study, 0, worker="w1", lease_s=60)
    choices = any_store.pack_choices(lead.token, 10)
    assert choices.lead.number == 0
    assert [each.number for each in choices.others] == [1, 2, 3, 4]
    along = any_store.lease_along(lead.token, [1, 4])
    assert [(each.number, each.attempt) for each in along] == [(1, 1), (4, 1)]
    assert len({lead.token, *(each.token for each in along)}) == 3
    assert along[0].params == any_store.trial(study.id, 1).params
    assert along[0].plan.pack == 8
    assert any_store.study(study.id).counts == Counts(waiting=2, running=3)
    attempts = [any_store.attempts(study.id, n)[0] for n in (0, 1, 4)]
    assert {(each.worker, each.pack, each.packed) for each in attempts} == {("w1", "0.1", 3)}
    assert any_store.running_packs([study.id]) == {study.id: 1}
    assert isinstance(any_store.lease(study.id, 4, 1, worker="w2", device="cpu", lease_s=60), Refusal)


def test_the_trials_of_a_pack_end_one_by_one(any_store: Store) -> None:
    study = any_store.study(packed(any_store, 4))
    lead = leased(any_store, study, 0)
    one, two, three = any_store.lease_along(lead.token, [1, 2, 3])
    any_store.finish_attempt(lead.token, scored(0.5))
    any_store.report(one.token, [Report(0, 0.7)])
    any_store.finish_attempt(two.token, failed(Fault.NOT_FINITE))
    left = any_store.renew_pack([lead.token, one.token, two.token, three.token], 90.0)
    assert left == {one.token: "", three.token: ""}
    any_store.cancel_trial(study.id, 3, "a person said so")
    any_store.finish_attempt(one.token, scored(0.9))
    with pytest.raises(LeaseLost):
        any_store.finish_attempt(three.token, scored(0.8))
    after = any_store.study(study.id)
    assert (after.counts, after.best_number) == (Counts(scored=2, failed=1, cancelled=1), 1)
    assert any_store.running_packs([study.id]) == {}


def test_no_more_are_taken_along_than_the_study_may_run(any_store: Store) -> None:
    study = any_store.study(packed(any_store, 6, parallel=3))
    lead = leased(any_store, study, 0)
    assert [each.number for each in any_store.lease_along(lead.token, [1, 2, 3, 4])] == [1, 2]
    assert any_store.study(study.id).counts == Counts(waiting=3, running=3)


def test_nothing_is_taken_along_by_a_lease_that_is_gone_or_for_a_study_that_rests(any_store: Store) -> None:
    study = any_store.study(packed(any_store, 4))
    lead = leased(any_store, study, 0)
    any_store.move_study(study.id, StudyEvent.PAUSE, "a person said so")
    assert any_store.lease_along(lead.token, [1]) == []
    any_store.move_study(study.id, StudyEvent.RESUME, "and again")
    any_store.finish_attempt(lead.token, scored(0.1))
    assert any_store.lease_along(lead.token, [1]) == []
    with pytest.raises(LeaseLost):
        any_store.pack_choices(lead.token, 4)


def test_trials_that_were_handed_back_come_along_from_where_they_stand(any_store: Store) -> None:
    study = any_store.study(packed(any_store, 3))
    lead = leased(any_store, study, 0)
    [other] = any_store.lease_along(lead.token, [1])
    for lease in (lead, other):
        kept = Checkpoint(study.id, lease.number, 1, 4, f"{lease.number}/4", "0" * 64, 1)
        any_store.report(lease.token, [Report(4, 0.5, checkpoint=kept)])
        any_store.finish_attempt(lease.token, AttemptEnd(AttemptEvent.RELEASE, TrialEvent.PARK))
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [0])
    again = leased(any_store, study, 0, attempt=2)
    choices = any_store.pack_choices(again.token, 9)
    assert choices.lead.step == 4
    assert [(each.number, each.step) for each in choices.others] == [(1, 4), (2, -1)]
    [resumed] = any_store.lease_along(again.token, [1])
    assert (resumed.attempt, [each.step for each in resumed.checkpoints]) == (2, [4])
    assert any_store.study(study.id).counts == Counts(waiting=1, running=2)


def test_a_split_pack_leaves_its_limit(any_store: Store) -> None:
    study = any_store.study(packed(any_store, 3))
    lead = leased(any_store, study, 0, device_kind="A100")
    [other] = any_store.lease_along(lead.token, [1])
    split = AttemptEnd(AttemptEvent.RELEASE, TrialEvent.RETRY, pack_most=1, split_by=Fault.OUT_OF_MEMORY)
    for lease in (lead, other):
        any_store.finish_attempt(lease.token, split)
    assert any_store.trial(study.id, 0).faults == {}
    assert any_store.trial(study.id, 0).state is TrialState.WAITING
    here = leased(any_store, study, 2, device_kind="A100")
    limits = any_store.pack_choices(here.token, 9).limits
    assert sorted((each.number, each.most, each.by_memory) for each in limits) == [(0, 1, True), (1, 1, True)]
    any_store.finish_attempt(here.token, scored(0.1))
    elsewhere = leased(any_store, study, 0, attempt=2, device_kind="H200")
    assert any_store.pack_choices(elsewhere.token, 9).limits == ()


def test_the_device_time_of_a_process_is_charged_once(any_store: Store) -> None:
    study = any_store.study(packed(any_store, 2))
    lead = leased(any_store, study, 0, worker="w")
    [other] = any_store.lease_along(lead.token, [1])
    assert any_store.device_spent(study.id).study_holds == 1
    assert {each.packed for each in any_store.open_attempts_of("w")} == {2}
    since = any_store.now() - timedelta(hours=1)
    for lease in (lead, other):
        any_store.finish_attempt(lease.token, scored(0.5))
    [run] = any_store.slot_runs(since)
    assert (run.worker, run.ran_s) == ("w", 4.0)
    assert run.ended_at is not None


def test_slots_that_are_wanted_are_counted_in_packs(any_store: Store) -> None:
    study = running(any_store)
    before = any_store.wanted_slots(on_gpus=False)
    packed(any_store, 2)
    assert any_store.wanted_slots(on_gpus=False) - before == 3, "20 trials in packs of 8"
    assert [each.pack for each in any_store.claims()][-2:] == [0, 8]
    assert study.id


def test_a_pack_holds_its_place_once_and_until_its_process_ends(any_store: Store) -> None:
    slots = tuple(f"gpu0.s{k}@box" for k in range(4))
    any_store.put_devices("box", [Device("GPU-1", "box", "H100", 80 * GIB, {}, slots, "", "ok", any_store.now())])
    share, spec = Placed(("GPU-1",), 0.5, 20 * GIB), {**PACKED, "resources": {"gpus": 0.5, "gpu_memory": "20GiB"}}
    opened = any_store.create_study(new_study(spec=spec))
    study = any_store.move_study(opened.id, StudyEvent.START, "first turn")
    with_trials(any_store, study, 8)
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [0, 4, 6], {0: share, 4: share, 6: share})
    at: dict[str, Any] = {"device": "GPU-1", "device_kind": "H100"}
    lead = leased(any_store, study, 0, **at)
    one, two = any_store.lease_along(lead.token, [1, 2, 4])
    assert [each.number for each in (one, two)] == [1, 2], "4 has a ticket of its own, for where it was placed"
    assert one.placed == two.placed == share
    assert any_store.device_spent(study.id).study_holds == 0.5
    held = any_store.holdings()
    assert [each.number for each in held.placed] == [0, 4, 6]
    assert held.open_attempts == {"GPU-1": 1}
    leased(any_store, study, 4, **at)
    any_store.finish_attempt(lead.token, scored(0.5))
    assert isinstance(any_store.lease(study.id, 6, 1, worker="w", lease_s=30, **at), Refusal), "its process goes on"
    held = any_store.holdings()
    assert [(each.number, each.is_running) for each in held.placed] == [(1, True), (4, True)]
    assert held.open_attempts == {"GPU-1": 2}
    for lease in (one, two):
        any_store.finish_attempt(lease.token, scored(0.5))
    any_store.queue_trials(study.id, any_store.study(study.id).turn, [6], {6: share})
    leased(any_store, study, 6, **at)
    assert any_store.study(study.id).device_s == 0.5 * any_store.study(study.id).ran_s == 3.0
    again = any_store.lease_along(any_store.open_attempts_of("cpu0.s0@here")[-1].token, [3])
    assert [each.placed for each in again] == [share]
