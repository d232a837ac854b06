"""What a suggester knows of a study: read on step by step, it is what would be read anew."""

import random
from dataclasses import replace

import pytest

from celeriac.domain.errors import UnknownTrial
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Lease, Source, Suggestion, TrialState
from celeriac.domain.study_file import parse
from coordinator.samplers.api import Kind, observed
from coordinator.suggest.history import Histories, History
from coordinator.suggest.messages import SuggestRequest, suggested
from coordinator.suggest.replay import replayed
from coordinator.suggest.rescore import rescored
from tests.coordinator.house import House, open_study


def test_only_what_is_new_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    study = open_study(house.store, sampler="random")
    house.store.move_study(study.id, StudyEvent.START, "started")
    history, pending = History(parse(study.spec)), house.store.pending
    read: list[int] = []

    def counted(study_id: int, *, observed: int, below: int, since: int = 0) -> list[object]:
        rows = pending(study_id, observed=observed, below=below, since=since)
        read.append(len(rows))
        return list(rows)

    monkeypatch.setattr(house.store, "pending", counted)
    for k in range(50):
        record = house.store.study(study.id)
        house.store.add_trials(study.id, record.turn, [_suggestion(k, 0)] * 2)
        assert len(history.pending(house.store, record, below=2 * k + 2)) == 2 * k + 2
    assert read == [2, *[3] * 49]  # the last one known, to see that it is still the same, and the new ones


@pytest.mark.parametrize("seed", range(8))
def test_reading_on_gives_what_reading_anew_gives(seed: int) -> None:
    house, rng = House(), random.Random(seed)
    study = open_study(house.store, sampler="random")
    house.store.move_study(study.id, StudyEvent.START, "started")
    history = History(parse(study.spec))
    replaced = 0
    for k in range(300):
        record, trials = house.store.study(study.id), house.store.trials(study.id, limit=1000)
        untried = [t.number for t in trials if t.state is TrialState.WAITING and not t.attempts]
        what = rng.random()
        if what < 0.3:
            more = [_suggestion(k, record.counts.ended) for _ in range(rng.choice([1, 1, 5]))]
            house.store.add_trials(study.id, record.turn, more)
        elif what < 0.5 and untried and untried[-1] == record.next_number - 1:
            gap = next((n for n in range(untried[-1], -2, -1) if n not in untried), -1)
            first = rng.randrange(gap + 1, record.next_number)
            better = [_suggestion(k, record.counts.ended) for _ in range(record.next_number - first)]
            house.store.replace_waiting(study.id, record.turn, first, better)
            replaced += 1
        elif what < 0.8 and untried:
            ran = house.store.lease(study.id, rng.choice(untried), 1, worker="w", device="d", lease_s=1e6)
            house.finish(ran, rng.random())  # type: ignore[arg-type]
        else:
            below = rng.randrange(record.next_number + 1)
            anew = History(parse(study.spec))
            for each in (history, anew):
                each.read_on(house.store, record, until=record.counts.ended)
            known = history.pending(house.store, record, below=below)
            assert known == anew.pending(house.store, record, below=below)
            assert [point.number for point in known] == [
                t.number for t in trials if t.ended_no is None and t.number < below
            ]
    assert replaced > 10


def test_what_a_gate_judges_by_never_reaches_a_sampler() -> None:
    house = House()
    study = open_study(house.store, sampler="random")
    study = house.store.move_study(study.id, StudyEvent.START, "started")
    house.store.add_trials(study.id, study.turn, [_suggestion(0, 0)])
    house.finish(house.store.lease(study.id, 0, 1, worker="w", device="d", lease_s=30), 0.5)  # type: ignore[arg-type]
    space, trial = parse(study.spec).space, house.store.trial(study.id, 0)
    blocks = replace(trial, holdout=(0.1, 0.2), drift=9.0)
    assert blocks != trial
    assert observed(space, study.goal, blocks) == observed(space, study.goal, trial)


def _suggestion(seed: int, observed: int) -> Suggestion:
    params = {"lr": 10 ** -random.Random(seed).uniform(1, 4), "width": 64, "optimizer": "adam"}
    return Suggestion(params, Source.SUGGESTED, {"observed": observed})


def test_a_space_that_is_learned_grows_under_what_was_seen() -> None:
    house = House()
    study = open_study(house.store, api="optuna", learn_space=True, space=None, default=None, sampler="bayesian")
    house.store.move_study(study.id, StudyEvent.START, "started")
    histories = Histories()

    def asked(count: int) -> list[dict[str, object]]:
        record = house.store.study(study.id)
        found = suggested(house.store, histories, SuggestRequest(record, record.next_number, count))
        house.store.add_trials(study.id, house.store.study(study.id).turn, found)
        return [dict(each.params) for each in found]

    def ran(number: int, params: dict[str, object], **forms: dict[str, object]) -> None:
        lease = house.store.lease(study.id, number, 1, worker="w", device="d", lease_s=1e6)
        assert isinstance(lease, Lease)
        house.store.learn_space(lease.token, params, forms)
        house.finish(lease, 0.5 + number)

    lr: dict[str, object] = {"float": [0.001, 0.1], "log": True}
    assert asked(4) == [{}] * 4
    ran(0, {"kind": "a", "lr": 0.01}, kind={"choice": ["a", "b"]}, lr=lr)
    ran(1, {"kind": "b", "depth": 3}, kind={"choice": ["a", "b"]}, depth={"int": [2, 8]})
    ran(2, {"kind": 7, "lr": 0.05}, kind={"int": [1, 9]}, lr=lr)
    assert [set(each) for each in asked(2)] == [{"kind", "lr", "depth"}] * 2
    history = histories.of(house.store.study(study.id))
    middle = history.spec.space.from_unit([0.5] * 3)
    first, second, odd = history.observations
    assert first.point.params == {"kind": "a", "lr": 0.01, "depth": middle["depth"]}
    assert second.point.params == {"kind": "b", "lr": middle["lr"], "depth": 3}
    assert (odd.kind, odd.loss) == (Kind.VOID, None)  # it asked for another kind of parameter
    assert [each.kind for each in (first, second)] == [Kind.FINISHED] * 2
    with pytest.raises(UnknownTrial, match="the study learns its space, and the space as it was"):
        replayed(house.store, study.id, 4)
    under = rescored(house.store, study.id, "random", 1)
    assert (under["trials"], under["was"], under["own"]) == (2, [0.5], "bayesian")
    assert under["by_other"][0] in (0.5, 1.5)  # one of the two answers whatever is proposed
