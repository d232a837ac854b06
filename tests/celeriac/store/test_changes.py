"""The contract on what a person may change in a study that is there, kept by both stores: extend, reopen, retry,
delete.
"""

from datetime import timedelta

import pytest

from celeriac.domain.errors import IllegalTransition, UnknownStudy, UnknownTrial
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FiringEvent, StudyEvent
from celeriac.domain.records import StudyRecord, StudyState, TrialState
from celeriac.store import Store
from tests.celeriac.store.scenes import NOON, failed, leased, new_study, queued, report, scored, searching, verdict


def half_done(store: Store) -> StudyRecord:
    """A study of four trials: 0 and 2 scored, 1 failed, 3 still queued."""
    study = queued(store, 4)
    for number, end in ((0, scored(0.5)), (1, failed()), (2, scored(0.7))):
        lease = leased(store, study, number)
        store.report(lease.token, [report(lease, 0, checkpoint=True)], [])
        store.finish_attempt(lease.token, end)
    return store.study(study.id)


def test_a_study_is_given_more_in_whatever_state(any_store: Store) -> None:
    study = half_done(any_store)
    more = any_store.extend_study(study.id, {"trials": 6, "wall": 3600.0}, "more")
    assert more.spec == {**study.spec, "budget": {"trials": 6, "wall": 3600.0}}
    assert (more.state, more.reason, more.turn) == (StudyState.RUNNING, study.reason, study.turn + 1)
    paused = any_store.move_study(study.id, StudyEvent.PAUSE, "too hot")
    assert any_store.extend_study(study.id, {"trials": 7}, "more").reason == paused.reason
    with pytest.raises(IllegalTransition, match="has a budget of 7 trials: it can only be given more, not 6"):
        any_store.extend_study(study.id, {"trials": 6}, "less")
    any_store.move_study(study.id, StudyEvent.FINISH, "done")
    again = any_store.extend_study(study.id, {"trials": 9}, "extended by a user")
    assert (again.state, again.reason, again.ended_at) == (StudyState.RUNNING, "extended by a user", None)
    assert again.reopened_at is not None
    assert again.counts.cancelled == 1
    assert again.best_number == 2


@pytest.mark.parametrize("end", [StudyEvent.STOP, StudyEvent.FINISH, StudyEvent.FAIL])
def test_a_closed_study_is_opened_again(any_store: Store, end: StudyEvent) -> None:
    study = half_done(any_store)
    with pytest.raises(IllegalTransition, match="is RUNNING: it cannot reopen"):
        any_store.move_study(study.id, StudyEvent.REOPEN, "on")
    any_store.move_study(study.id, end, "closed")
    again = any_store.move_study(study.id, StudyEvent.REOPEN, "on")
    assert (again.state, again.ended_at) == (StudyState.RUNNING, None)
    assert again.reopened_at is not None
    assert again.resumed_at is not None
    assert again.started_at == study.started_at
    assert again.paused_s > 0
    assert again.worked_s(any_store.now()) < (any_store.now() - study.created_at).total_seconds()
    assert study.id in any_store.studies_to_drive()


def test_a_verdict_that_promoted_nothing_is_void_when_its_study_goes_on(any_store: Store) -> None:
    for night, promoted in enumerate((False, True)):
        study = searching(any_store, due_at=NOON + timedelta(days=night))
        any_store.move_study(study.id, StudyEvent.STOP, "closed")
        event = FiringEvent.PROMOTE if promoted else FiringEvent.KEEP
        assert study.firing_id is not None
        if promoted:
            any_store.move_firing(study.firing_id, 1, FiringMove(FiringEvent.CONFIRM, "it may be better"))
        closed = FiringMove(event, "judged", verdict=verdict(study, promoted=promoted))
        any_store.move_firing(study.firing_id, 1 + promoted, closed)
        any_store.move_study(study.id, StudyEvent.REOPEN, "on")
        kept = [each.study_id for each in any_store.verdicts("nightly")]
        assert kept == ([study.id] if promoted else [])


def test_failed_trials_run_once_more_under_their_number(any_store: Store) -> None:
    study = half_done(any_store)
    (again,) = any_store.retry_trials(study.id, None, "mended")
    assert (again.number, again.state, again.attempts, again.faults) == (1, TrialState.WAITING, 1, {"user_bug": 1})
    assert (again.fault, again.detail, again.ended_no, again.ended_at) == (None, "", None, None)
    now = any_store.study(study.id)
    assert (now.counts.failed, now.counts.waiting, now.counts.finished) == (0, 1, 2)
    assert now.resumed_at is not None
    assert [(each.number, each.ended_no) for each in any_store.ended_since(study.id, 0)] == [(0, 1), (2, 2)]
    any_store.queue_trials(study.id, now.turn, [1])
    lease = leased(any_store, study, 1, attempt=2)
    assert [each.attempt for each in lease.checkpoints] == [1]
    assert any_store.finish_attempt(lease.token, scored(0.9)).ended_no == 3
    assert any_store.study(study.id).best_number == 1
    assert any_store.retry_trials(study.id, None, "nothing is left") == []


def test_a_retry_opens_a_closed_study_and_takes_all_or_none(any_store: Store) -> None:
    study = half_done(any_store)
    any_store.move_study(study.id, StudyEvent.FINISH, "done")
    with pytest.raises(IllegalTransition, match=r"trial 2 .* is SCORED: it cannot rerun"):
        any_store.retry_trials(study.id, [1, 2], "again")
    with pytest.raises(UnknownTrial):
        any_store.retry_trials(study.id, [1, 77], "again")
    assert any_store.study(study.id).state is StudyState.DONE
    any_store.retry_trials(study.id, [1], "again")
    now = any_store.study(study.id)
    assert (now.state, now.reason, now.counts.waiting) == (StudyState.RUNNING, "again", 1)
    assert [each.ended_no for each in any_store.ended_since(study.id, 0)] == [1, 2, 3]


def test_a_deleted_study_leaves_its_name_free_and_nothing_behind(any_store: Store) -> None:
    fired = searching(any_store, "gone")
    assert fired.firing_id is not None
    any_store.move_firing(fired.firing_id, 1, FiringMove(FiringEvent.KEEP, "no"))
    other = half_done(any_store)
    study = half_done(any_store)
    with pytest.raises(IllegalTransition, match="is RUNNING: it cannot be deleted; `celeriac stop"):
        any_store.delete_study(study.id)
    for each in (study, fired):
        any_store.move_study(each.id, StudyEvent.STOP, "enough")
        any_store.record_champion(verdict(each, promoted=False))
        any_store.delete_study(each.id)
        with pytest.raises(UnknownStudy):
            any_store.study(each.id)
        assert any_store.trials(each.id) == []
        assert any_store.checkpoints(each.id, 0) == []
        any_store.create_study(new_study(each.name))
    assert any_store.firings("nightly") == []
    assert any_store.verdicts("nightly") == []
    assert len(any_store.trials(other.id)) == 4
    assert any_store.checkpoints(other.id, 0) != []


def test_a_champions_study_stays(any_store: Store) -> None:
    study = any_store.create_study(new_study(schedule="nightly"))
    any_store.move_study(study.id, StudyEvent.STOP, "enough")
    any_store.record_champion(verdict(study, promoted=True))
    with pytest.raises(IllegalTransition, match=r"gave nightly a champion \(trial 0\): it is the evidence"):
        any_store.delete_study(study.id)
    assert any_store.study(study.id).name == study.name
