"""A study that has nothing more to win closes: on the memory store, by whole turns."""

from dataclasses import replace
from typing import Any

import pytest

from celeriac.domain.records import Fault, StudyState
from celeriac.runtime.broker import CPU_QUEUE
from celeriac.store import Store
from coordinator.suggest import messages
from coordinator.suggest.history import Histories
from coordinator.turn import drive
from tests.coordinator.house import House, open_study


def test_a_target_closes_the_study_and_cancels_what_runs() -> None:
    house = House(slots=2)
    study = open_study(house.store, stop_study={"target": 0.5})
    drive(house.coordinator, study.id)
    first, second = house.lease(house.take()), house.lease(house.take())
    assert first is not None
    assert second is not None
    house.finish(first, 0.6)
    drive(house.coordinator, study.id)
    assert house.store.study(study.id).state is StudyState.RUNNING
    house.finish(second, 0.4)
    drive(house.coordinator, study.id)
    closed = house.store.study(study.id)
    assert (closed.state, closed.reason) == (StudyState.DONE, "trial 1 with 0.4 reached the target 0.5")
    assert closed.counts.open == 0


def test_a_plateau_closes_the_study_and_reads_only_its_newest_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(slots=1)
    study = open_study(house.store, stop_study={"min_gain": 0.01, "suggestions": 4})
    gains = [0.0, 0.5, 0.2, 0.005, 0.1, *[0.001] * 50]
    suggested, pages = messages.suggested, []
    trials = house.store.trials

    def promising(store: Store, histories: Histories, question: messages.SuggestRequest) -> Any:
        return [
            replace(each, why={**each.why, "expected_gain": gains[question.first + place]})
            for place, each in enumerate(suggested(store, histories, question))
        ]

    def counted(*args: Any, **how: Any) -> Any:
        pages.append(trials(*args, **how))
        return pages[-1]

    monkeypatch.setattr(messages, "suggested", promising)
    monkeypatch.setattr(house.store, "trials", counted)
    while house.store.study(study.id).state is not StudyState.DONE:
        drive(house.coordinator, study.id)
        lease = house.lease(house.take()) if house.mailbox.queues[CPU_QUEUE] else None
        if lease is not None:
            house.finish(lease, 1.0)
    closed = house.store.study(study.id)
    assert closed.reason.startswith("plateau: trials 5 to 8 were expected to gain less than 0.01")
    assert max(len(page) for page in pages) == 4


def test_an_extended_study_ends_with_exactly_its_new_budget_and_a_retried_trial_counts_once() -> None:
    house = House(slots=1)
    study = open_study(house.store, budget={"trials": 3}, sampler="random")

    def run_to_end(until: int) -> None:
        while house.store.study(study.id).state is not StudyState.DONE:
            drive(house.coordinator, study.id)
            if house.store.study(study.id).state is StudyState.DONE:
                return
            lease = house.lease(house.take())
            assert lease is not None
            if lease.number == 1 and lease.attempt == 1:
                house.fail(lease, Fault.USER_BUG)
            else:
                house.finish(lease, 0.1 * lease.number)
            assert house.store.study(study.id).counts.finished <= until

    run_to_end(3)
    house.store.extend_study(study.id, {"trials": 5}, "extended")
    run_to_end(5)
    house.store.retry_trials(study.id, None, "retried")
    run_to_end(5)
    now = house.store.study(study.id)
    assert (now.counts.scored, now.counts.failed, now.next_number) == (5, 0, 5)
    assert [each.ended_no for each in house.store.ended_since(study.id, 0)] == [1, 2, 3, 4, 5]


def test_a_past_that_was_changed_by_a_retry_is_read_anew() -> None:
    house = House(slots=1)
    study = open_study(house.store, budget={"trials": 2}, sampler="random")
    drive(house.coordinator, study.id)
    lease = house.lease(house.take())
    assert lease is not None
    house.fail(lease, Fault.USER_BUG)
    histories = Histories()
    seen = house.store.study(study.id)
    histories.of(seen).read_on(house.store, seen, until=1)
    assert len(histories.of(seen).observations) == 1
    house.store.retry_trials(study.id, None, "retried")
    assert histories.of(house.store.study(study.id)).observations == []
