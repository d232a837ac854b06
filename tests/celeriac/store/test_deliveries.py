"""The contract on the outbox, kept by both stores: nothing of a promotion is lost, and nothing done by two at once."""

from dataclasses import replace

import pytest

from celeriac.domain.errors import CallerError
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Artefact, Champion, DeliveryKind
from celeriac.store import Store
from tests.celeriac.store.conftest import Subject
from tests.celeriac.store.scenes import leased, new_study, scored, verdict, with_trials

PUBLISH, HOOK = DeliveryKind.PUBLISH, DeliveryKind.HOOK
MODEL = Artefact("models/1/0-1-abc", "ab" * 32, 5)


def promoted(store: Store, *, model: Artefact | None = None, before: Champion | None = None) -> Champion:
    """A study's trial 0 that became champion."""
    study = store.move_study(store.create_study(new_study()).id, StudyEvent.START, "first turn")
    with_trials(store, study, 1)
    lease = leased(store, study, 0)
    store.begin(lease.token, fingerprint="code-1", resumed_step=None, log_path="")
    store.finish_attempt(lease.token, scored(0.9, model=model))
    told = replace(verdict(study, promoted=True), before_id=None if before is None else before.id)
    return store.record_champion(told)


def due(store: Store) -> list[tuple[int | None, str]]:
    return [(each.promotion, str(each.kind)) for each in store.due_deliveries()]


def ids(store: Store) -> list[int]:
    return [each.id for each in store.due_deliveries()]


def test_each_promotion_is_to_be_published_and_then_hooked(any_store: Store) -> None:
    assert due(any_store) == []
    first = promoted(any_store)
    assert due(any_store) == due(any_store) == [(first.id, "publish")]
    [publish] = ids(any_store)
    assert any_store.claim_delivery(publish, 60) == 1
    any_store.end_delivery(publish, 1, "there")
    assert due(any_store) == [(first.id, "hook")]
    second = promoted(any_store, before=first)
    assert due(any_store) == [(first.id, "hook"), (second.id, "publish")]
    told = any_store.deliveries("nightly")
    assert [(each.promotion, each.kind, each.tries, each.detail) for each in told] == [
        (second.id, PUBLISH, 0, ""),
        (second.id, HOOK, 0, ""),
        (first.id, PUBLISH, 1, "there"),
        (first.id, HOOK, 0, ""),
    ]
    assert [each.done_at is not None for each in told] == [False, False, True, False]
    assert (told[0].schedule, told[0].slice, told[0].night) == ("nightly", {"region": "eu"}, "")


def test_a_verdict_that_promotes_nothing_is_delivered_to_nobody(any_store: Store) -> None:
    study = any_store.create_study(new_study())
    any_store.record_champion(verdict(study, promoted=False))
    assert due(any_store) == []


def test_a_try_is_one_program_s_until_its_time_is_over(subject: Subject) -> None:
    store = subject.store
    champion = promoted(store)
    [publish] = ids(store)
    assert store.claim_delivery(publish, 60) == 1
    assert store.claim_delivery(publish, 60) == 0
    assert due(store) == []
    subject.pass_time(61)
    assert due(store) == [(champion.id, "publish")]
    assert store.claim_delivery(publish, 60) == 2
    store.end_delivery(publish, 2, "the disk is full", 100.0)
    assert due(store) == []
    (waiting, _) = store.deliveries("nightly")
    assert (waiting.tries, waiting.done_at, waiting.detail) == (2, None, "the disk is full")
    subject.pass_time(101)
    assert due(store) == [(champion.id, "publish")]


def test_a_try_that_is_renewed_stays_one_program_s(subject: Subject) -> None:
    store = subject.store
    promoted(store)
    [publish] = ids(store)
    assert store.claim_delivery(publish, 20) == 1
    subject.pass_time(15)
    assert store.renew_delivery(publish, 1, 20)
    subject.pass_time(15)
    assert due(store) == []
    assert store.claim_delivery(publish, 20) == 0
    subject.pass_time(6)
    assert store.claim_delivery(publish, 20) == 2


def test_who_lost_a_try_to_another_can_neither_keep_nor_end_it(subject: Subject) -> None:
    store = subject.store
    promoted(store)
    [publish] = ids(store)
    assert store.claim_delivery(publish, 20) == 1
    subject.pass_time(21)
    assert store.claim_delivery(publish, 20) == 2
    assert not store.renew_delivery(publish, 1, 1000)
    store.end_delivery(publish, 1, "a late failure", 1000.0)
    assert store.deliveries("nightly")[0].detail == ""
    subject.pass_time(21)
    assert ids(store) == [publish]


def test_what_is_done_stays_done(any_store: Store) -> None:
    promoted(any_store)
    [publish] = ids(any_store)
    number = any_store.claim_delivery(publish, 0)
    any_store.end_delivery(publish, number, "there")
    any_store.end_delivery(publish, number, "a late failure", 1.0)
    assert any_store.deliveries("nightly")[0].detail == "there"
    assert not any_store.claim_delivery(publish, 60)
    assert not any_store.renew_delivery(publish, number, 60)


def test_a_publication_has_the_promotion_with_model_and_code(any_store: Store) -> None:
    champion = promoted(any_store, model=MODEL)
    record = any_store.publication(champion.id)
    assert (record.version, record.schedule, record.slice) == (champion.id, "nightly", {"region": "eu"})
    assert (record.params, record.score, record.model, record.code) == ({"lr": 0.1}, 0.9, MODEL, "code-1")
    assert record.more["kind"] == "night"
    with pytest.raises(CallerError, match="there is no promotion 999"):
        any_store.publication(999)


def test_a_champion_without_a_model_is_published_without_one(any_store: Store) -> None:
    record = any_store.publication(promoted(any_store).id)
    assert (record.model, record.code) == (None, "code-1")
