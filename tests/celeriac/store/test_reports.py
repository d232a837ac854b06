"""The contract on reports, kept by both stores: a repeat changes nothing; rungs have a file of their own."""

import math

from celeriac.domain.lifecycle import TrialEvent
from celeriac.domain.records import Report
from celeriac.store import Store
from celeriac.store.api import ReportAck
from tests.celeriac.store.scenes import failed, leased, queued, report


def test_reports_are_kept_once_with_their_checkpoints(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    assert any_store.report(lease.token, [report(lease, 0), report(lease, 1, 0.6)]) == ReportAck()
    kept = any_store.report(lease.token, [report(lease, 2, 0.7, checkpoint=True)]).checkpoints
    assert [each.step for each in kept] == [2]
    again = [report(lease, 2, 9.9), report(lease, 3, 0.8, checkpoint=True)]
    kept = any_store.report(lease.token, again).checkpoints
    assert [each.step for each in kept] == [3, 2]
    assert list(kept) == any_store.checkpoints(study.id, 0)
    seen = any_store.reports(study.id, 0)
    assert [(each.step, each.value) for each in seen] == [(0, 0.5), (1, 0.6), (2, 0.7), (3, 0.8)]
    assert seen[3].checkpoint == kept[0]
    assert seen[0].checkpoint is None
    assert seen[0].metrics == {"loss": 1.0}
    assert all(each.at is not None for each in seen)
    trial = any_store.trial(study.id, 0)
    assert (trial.last_step, trial.last_value) == (3, 0.8)
    assert any_store.report(lease.token, []) == ReportAck()


def test_a_report_may_hold_what_json_cannot(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    any_store.report(
        lease.token, [Report(0, math.nan, {"loss": math.inf, "text": "a\0"}), Report(1, -math.inf, {"tuple": (1, 2)})]
    )
    first, second = any_store.reports(study.id, 0)
    assert math.isnan(first.value)
    assert first.metrics == {"loss": "inf", "text": "a\ufffd"}
    assert (second.value, second.metrics) == (-math.inf, {"tuple": [1, 2]})


def test_checkpoints_are_forgotten_by_path(any_store: Store) -> None:
    study = queued(any_store, 1)
    lease = leased(any_store, study, 0)
    four = [report(lease, step, checkpoint=True) for step in range(4)]
    kept = any_store.report(lease.token, four).checkpoints
    any_store.forget_checkpoints(lease.token, [kept[1].path, kept[3].path, "never there"])
    assert [each.step for each in any_store.checkpoints(study.id, 0)] == [3, 1]
    assert [each.step for each in any_store.reports(study.id, 0)] == [0, 1, 2, 3]


def test_what_many_trials_reported_is_read_at_once(any_store: Store) -> None:
    study = queued(any_store, 3)
    for number in (0, 2):
        lease = leased(any_store, study, number)
        any_store.report(lease.token, [report(lease, 0, 0.1), report(lease, 1, 0.2 + number)], [])
        any_store.finish_attempt(lease.token, failed(trial_event=TrialEvent.RETRY))
        if number:
            lease = leased(any_store, study, number, attempt=2)
            any_store.report(lease.token, [report(lease, 1, 9.0, checkpoint=True)], [])
    numbers = [0, 1, 2]
    assert any_store.reports_of(study.id, numbers) == {k: any_store.reports(study.id, k) for k in numbers}
    assert [each.value for each in any_store.reports_of(study.id, [2])[2]] == [0.1, 9.0]
    assert any_store.attempts_of(study.id, numbers) == {k: any_store.attempts(study.id, k) for k in numbers}
