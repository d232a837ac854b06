"""Placed trials: where their tickets went, what they hold, and the fence that no device is over its share or memory."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

from celeriac.domain.lifecycle import AttemptEvent, StudyEvent, TrialEvent
from celeriac.domain.records import (
    Device,
    Lease,
    NewStudy,
    Placed,
    Refusal,
    Source,
    StudyRecord,
    Suggestion,
    TrialState,
)
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from tests.celeriac.store.scenes import SPEC

GIB = 2**30
CARD = "GPU-1"


def _study(store: Store, count: int, *, name: str = "shared") -> StudyRecord:
    study = store.create_study(NewStudy(name, {**SPEC, "resources": {"gpus": 0.5}}, "minimize"))
    study = store.move_study(study.id, StudyEvent.START, "now")
    store.add_trials(study.id, study.turn, [Suggestion({"x": k}, Source.SUGGESTED, {}) for k in range(count)])
    return store.study(study.id)


def _with_card(store: Store, *, memory_bytes: int = 80 * GIB, kind: str = "H100") -> None:
    slots = tuple(f"gpu0.s{k}@box" for k in range(4))
    store.put_devices("box", [Device(CARD, "box", kind, memory_bytes, {}, slots, "", "ok", datetime.now(UTC))])


def _place(store: Store, study: StudyRecord, places: dict[int, Placed]) -> None:
    store.queue_trials(study.id, store.study(study.id).turn, list(places), places)


def _lease(store: Store, study: StudyRecord, number: int, *, device: str = CARD, attempt: int = 1) -> Lease | Refusal:
    return store.lease(study.id, number, attempt, worker=f"w{number}", device=device, lease_s=30)


def test_a_placed_trial_runs_where_it_was_placed_and_nowhere_else(store: Store) -> None:
    _with_card(store)
    study, place = _study(store, 2), Placed((CARD,), 0.5, 6 * GIB)
    _place(store, study, {0: place})
    assert store.trial(study.id, 0).placed == place
    assert isinstance(_lease(store, study, 0, device="GPU-2"), Refusal)
    assert store.trial(study.id, 0).state is TrialState.QUEUED  # a stale ticket takes no other ticket away
    lease = _lease(store, study, 0)
    assert isinstance(lease, Lease)
    assert lease.placed == place
    (held,) = store.holdings().placed
    assert (held.number, held.attempts, held.is_running, held.placed) == (0, 1, True, place)
    assert store.holdings().open_attempts == {CARD: 1}
    end = AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=1.0)
    store.finish_attempt(lease.token, end)
    assert store.holdings().placed == ()
    assert store.holdings().open_attempts == {}


def test_a_share_of_a_gpu_is_charged_by_its_part(store: Store) -> None:
    _with_card(store)
    study = _study(store, 2)
    _place(store, study, {0: Placed((CARD,), 0.25), 1: Placed(("cpu",), 0.0)})
    quarter, slot = _lease(store, study, 0), _lease(store, study, 1, device="cpu")
    assert isinstance(quarter, Lease)
    assert isinstance(slot, Lease)
    assert store.device_spent(study.id).study_holds == 1.25
    for lease in (quarter, slot):
        end = AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=1.0, device_s=8.0)
        store.finish_attempt(lease.token, end)
    assert (store.study(study.id).device_s, store.study(study.id).ran_s) == (10.0, 16.0)
    assert {(each.device, each.ran_s) for each in store.slot_runs(study.created_at)} == {(CARD, 8.0), ("cpu", 8.0)}


def test_what_a_device_has_no_room_for_goes_back_to_the_buffer(store: Store) -> None:
    _with_card(store, memory_bytes=10 * GIB)
    study = _study(store, 4)
    whole, half, fat = Placed((CARD,), 1.0), Placed((CARD,), 0.5, 4 * GIB), Placed((CARD,), 0.25, 7 * GIB)
    _place(store, study, {0: half, 1: whole, 2: fat, 3: half})
    assert isinstance(_lease(store, study, 0), Lease)
    for number in (1, 2):
        assert isinstance(_lease(store, study, number), Refusal)
        assert store.trial(study.id, number).state is TrialState.WAITING
    assert isinstance(_lease(store, study, 3), Lease)
    counts = store.study(study.id).counts
    assert (counts.waiting, counts.queued, counts.running) == (2, 0, 2)
    assert isinstance(_lease(store, study, 1), Refusal)  # its old ticket starts nothing, although it waits


def test_a_trial_in_two_minds_is_placed_anew(store: Store) -> None:
    _with_card(store)
    study = _study(store, 1)
    _place(store, study, {0: Placed((CARD,), 0.5)})
    assert store.unplace(study.id, 0, 1)
    assert not store.unplace(study.id, 0, 1)
    assert store.holdings().placed == ()
    _place(store, study, {0: Placed(("GPU-2",), 0.5)})
    assert isinstance(_lease(store, study, 0), Refusal)
    assert not store.unplace(study.id, 0, 2)
    store.unplace(study.id, 0, 1)
    store.queue_trials(study.id, store.study(study.id).turn, [0])  # now for the queue of its class
    assert store.trial(study.id, 0).placed is None
    assert not store.unplace(study.id, 0, 1)
    assert isinstance(_lease(store, study, 0, device="cpu"), Lease)


def test_leases_at_one_moment_do_not_overfill_a_device(store: Store) -> None:
    _with_card(store)
    for turn in range(8):
        study = _study(store, 4, name=f"s{turn}")
        _place(store, study, {k: Placed((CARD,), 0.5, 20 * GIB) for k in range(4)})
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(partial(_lease, store, study), range(4)))
        leases = [each for each in found if isinstance(each, Lease)]
        assert len(leases) == 2
        for each in leases:
            store.finish_attempt(each.token, AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=1.0))


def test_slots_of_a_processor_are_counted_by_its_workers(store: Store) -> None:
    _with_card(store, kind="cpu")
    study = _study(store, 3)
    _place(store, study, {k: Placed((CARD,), 1.0) for k in range(3)})
    assert all(isinstance(_lease(store, study, k), Lease) for k in range(3))


def test_what_is_taken_out_stays_out_until_it_is_given_back(store: Store) -> None:
    store.drain("box", ["GPU-1", "0"], "ana")
    store.drain("box", ["0"], "ben")
    store.drain("other", [], "ana")
    assert (store.drained("box"), store.drained("other")) == (["0", "GPU-1"], [""])
    assert store.undrain("box", ["0"]) == 1
    assert store.undrain("box", ["0"]) == 0
    assert store.drained("box") == ["GPU-1"]
    assert store.undrain("box", []) == 1
    assert (store.drained("box"), store.drained("other")) == ([], [""])
    store.undrain("other", [])


def test_what_trials_took_is_known_by_share(store: Store) -> None:
    _with_card(store)
    study = _study(store, 3)
    _place(store, study, {0: Placed((CARD,), 1.0, 80 * GIB)})
    for number, device_s, peak in ((0, 10.0, 3 * GIB), (1, 20.0, 2 * GIB), (2, 30.0, GIB)):
        if number:
            _place(store, study, {number: Placed((CARD,), 0.5, 4 * GIB)})
        lease = store.lease(study.id, number, 1, worker="w", device=CARD, device_kind="H100", lease_s=30)
        assert isinstance(lease, Lease)
        end = AttemptEnd(AttemptEvent.SCORE, TrialEvent.SCORE, score=1.0, device_s=device_s, gpu_peak_bytes=peak)
        store.finish_attempt(lease.token, end)
    assert store.peak_memory([study.id, study.id + 1]) == {study.id: 3 * GIB}
    found = store.share_figures(study.id)
    assert [(each.share, each.trials, each.mean_s, each.peak_bytes) for each in found] == [
        (0.5, 2, 25.0, 2 * GIB),
        (1.0, 1, 10.0, 3 * GIB),
    ]
