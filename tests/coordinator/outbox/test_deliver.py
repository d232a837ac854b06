"""Promotions go out: published, then hooked, at least once each and never one for another, whatever fails or dies."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.hooks import Hook
from celeriac.domain.records import IF_GIVEN, Artefact, Champion, DeliveryKind, FiringState, Lease, VerdictKind
from celeriac.runtime.artefacts import open_artefacts
from celeriac.runtime.artefacts.api import hashed
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from celeriac.store.api import AttemptEnd
from coordinator.outbox.deliver import CLAIM_S, deliver
from coordinator.outbox.outside import Outside
from coordinator.outbox.program import Deliverer
from tests.celeriac.store.conftest import Subject, postgres_subject
from tests.celeriac.store.conftest import subject as subject
from tests.celeriac.store.scenes import schedule
from tests.celeriac.store.test_deliveries import promoted
from tests.coordinator.house import SPEC, House, with_slots
from tests.coordinator.nightlife import by_lr, fire, put_schedule, work

PLACE = "champions/nightly/region=eu"


def scheduled(store: Store, hook: Hook | None) -> None:
    """The schedule of the promotions, with this hook."""
    plan = {"name": "nightly", "cron": "0 2 * * *", **({} if hook is None else {"hook": hook.to_dict()})}
    store.put_schedule(schedule(spec={**SPEC, "schedule": plan}))


def outside(tmp_path: Path, **changes: Any) -> Outside:
    given: dict[str, Any] = {
        "artefacts": lambda: open_artefacts(str(tmp_path / "artefacts")),
        "code_root": tmp_path,
        "environment": {"PATH": "/usr/bin:/bin"},
        "secret_of": {"SECRET": "s3cret"}.get,
    }
    return Outside(**(given | changes))


def told(path: Path) -> list[int]:
    """The promotions that the hook was run for, in order."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def appending(path: Path) -> Hook:
    return Hook(command=("sh", "-c", f"echo $CELERIAC_PROMOTION >> {path}"))


def states(store: Store) -> list[tuple[int, str, bool]]:
    found = store.deliveries("nightly")
    return sorted((each.promotion or 0, str(each.kind), each.done_at is not None) for each in found)


def test_a_promotion_is_published_and_its_hook_runs_once(subject: Subject, tmp_path: Path) -> None:
    store = subject.store
    scheduled(store, appending(tmp_path / "told"))
    first = promoted(store)
    assert deliver(store, outside(tmp_path)) == 2
    assert json.loads((tmp_path / "artefacts" / PLACE / "current" / "params.json").read_text()) == {"lr": 0.1}
    assert told(tmp_path / "told") == [first.id]
    assert deliver(store, outside(tmp_path)) == 0
    second = promoted(store, before=first)
    assert deliver(store, outside(tmp_path)) == 2
    assert told(tmp_path / "told") == [first.id, second.id]
    record = json.loads((tmp_path / "artefacts" / PLACE / "current" / "record.json").read_text())
    assert (record["version"], record["kind"], record["before"]) == (second.id, "night", first.id)


def test_a_hook_that_fails_is_tried_again_and_shown(subject: Subject, tmp_path: Path) -> None:
    store = subject.store
    scheduled(store, Hook(command=("sh", "-c", "echo no server; exit 1")))
    first = promoted(store)
    assert deliver(store, outside(tmp_path)) == 1
    assert states(store) == [(first.id, "hook", False), (first.id, "publish", True)]
    hook = next(each for each in store.deliveries("nightly") if each.kind is DeliveryKind.HOOK)
    assert (hook.tries, hook.detail) == (1, "sh ended with exit code 1: no server")
    assert deliver(store, outside(tmp_path)) == 0
    scheduled(store, appending(tmp_path / "told"))
    subject.pass_time(11)
    assert deliver(store, outside(tmp_path)) == 1
    assert told(tmp_path / "told") == [first.id]


def test_a_hook_waits_until_its_promotion_is_published(subject: Subject, tmp_path: Path) -> None:
    store = subject.store
    scheduled(store, appending(tmp_path / "told"))
    (tmp_path / "file").write_text("in the way")
    promoted(store)
    blocked = outside(tmp_path, artefacts=lambda: open_artefacts(str(tmp_path / "file")))
    assert deliver(store, blocked) == 0
    (publish, hook) = store.deliveries("nightly")
    assert "current cannot be read: Not a directory" in publish.detail
    assert (publish.tries, hook.tries) == (1, 0)
    subject.pass_time(11)
    assert deliver(store, outside(tmp_path)) == 2
    assert len(told(tmp_path / "told")) == 1


@pytest.mark.parametrize(
    ("hook", "changes", "says"),
    [
        (Hook(command=("true",)), {"hook_commands": False}, "runs no commands: CELERIAC_HOOK_COMMANDS is false"),
        (
            Hook(url="http://127.0.0.1:9/", secret_env="UNSET"),
            {},
            "UNSET is not set where the coordinator's clock runs",
        ),
        (Hook(url="http://127.0.0.1:9/", secret_env="SECRET"), {}, "cannot be asked"),
    ],
)
def test_a_hook_that_cannot_run_says_why(
    subject: Subject, tmp_path: Path, hook: Hook, changes: dict[str, Any], says: str
) -> None:
    scheduled(subject.store, hook)
    promoted(subject.store)
    assert deliver(subject.store, outside(tmp_path, **changes)) == 1
    assert says in subject.store.deliveries("nightly")[1].detail


def test_without_a_hook_and_without_the_schedule_nothing_is_left_to_do(subject: Subject, tmp_path: Path) -> None:
    store = subject.store
    scheduled(store, None)
    first = promoted(store)
    assert deliver(store, outside(tmp_path)) == 2
    store.drop_schedule("nightly")
    promoted(store, before=first)
    assert deliver(store, outside(tmp_path)) == 2
    assert all(done for _, _, done in states(store))


def with_model(store: Store, tmp_path: Path, text: str, before: Champion | None = None) -> Champion:
    (tmp_path / "local").write_text(text)
    model = hashed(tmp_path / "local", f"models/{text}")
    open_artefacts(str(tmp_path / "artefacts")).put(tmp_path / "local", model.path)
    return promoted(store, model=model, before=before)


def test_a_model_that_is_missing_or_spoiled_keeps_the_version_before_it(subject: Subject, tmp_path: Path) -> None:
    store, model = subject.store, tmp_path / "artefacts" / PLACE / "current" / "model"
    scheduled(store, None)
    first = with_model(store, tmp_path, "first")
    assert deliver(store, outside(tmp_path)) == 2
    second = promoted(store, before=first)
    assert deliver(store, outside(tmp_path)) == 0
    assert "has no model, and the version before it has one" in store.deliveries("nightly")[0].detail
    lost = Artefact("models/lost", "0" * 64, 3)
    third = promoted(store, model=lost, before=second)
    assert deliver(store, outside(tmp_path)) == 0
    assert "is not there" in store.deliveries("nightly")[0].detail
    assert model.read_text() == "first"
    with_model(store, tmp_path, "fourth", before=third)
    assert deliver(store, outside(tmp_path)) == 2
    assert model.read_text() == "fourth"
    subject.pass_time(4000)
    assert deliver(store, outside(tmp_path)) == 4  # the two that were overtaken: published by none, and so told
    assert model.read_text() == "fourth"


def test_the_clock_s_process_delivers_and_outlives_a_kill(
    store: Store, settings: Settings, database: str, tmp_path: Path
) -> None:
    """The real process: killed while its hook hangs, and the next one runs the hook again for the same promotion."""
    began = tmp_path / "began"
    hang = Hook(command=("sh", "-c", f"echo $CELERIAC_PROMOTION >> {began}; sleep 60"), timeout_s=60)
    scheduled(store, hang)
    first = promoted(store)
    deliverer = Deliverer(replace(settings, code_root=tmp_path))
    deliverer.tick(store)
    wait_for(lambda: told(began) == [first.id])
    deliverer.tick(store)  # it is still at it: nothing is started beside it
    deliverer.close()
    assert states(store) == [(first.id, "hook", False), (first.id, "publish", True)]
    scheduled(store, appending(tmp_path / "told"))
    with postgres_subject(store, database) as subject:
        subject.pass_time(CLAIM_S)  # nobody renews the claim of the dead
    again = Deliverer(replace(settings, code_root=tmp_path))
    again.tick(store)
    wait_for(lambda: all(done for _, _, done in states(store)))
    again.close()
    assert told(tmp_path / "told") == [first.id]
    assert Path(settings.artefact_root, PLACE, "current", "record.json").exists()


def a_night(store: Store, tmp_path: Path) -> Champion:
    """The first night of a slice, on this store, whose trainings give models where they are wanted."""
    house = House(slots=0)
    house.store = store  # type: ignore[assignment]
    house.restart()
    with_slots(store, 2)
    put_schedule(house)
    train = by_lr(0.1)

    def with_models(lease: Lease) -> AttemptEnd:
        end = train(lease)
        if lease.plan.keep_model != IF_GIVEN:
            return end
        (tmp_path / "local").write_text(f"{lease.params['lr']} by seed {lease.seed}")
        model = hashed(tmp_path / "local", f"models/{lease.study_id}/{lease.number}")
        open_artefacts(str(tmp_path / "artefacts")).put(tmp_path / "local", model.path)
        return replace(end, model=model)

    firing = fire(house)
    work(house, with_models)
    assert store.firing(firing.id).state is FiringState.PROMOTED
    [champion] = store.champions("flights")
    return champion


def test_a_night_s_champion_is_published_with_the_model_that_was_trained_to_confirm_it(
    subject: Subject, tmp_path: Path
) -> None:
    store = subject.store
    champion = a_night(store, tmp_path)
    search, confirm = store.stage_studies([champion.firing_id or 0])
    assert [each for each in store.trials(search.id) if each.model] == []
    first = next(t for t in store.trials(confirm.id) if t.params == champion.params)
    assert deliver(store, outside(tmp_path)) == 2
    current = tmp_path / "artefacts" / "champions/flights/airport=JFK/current"
    assert (current / "model").read_text() == f"{champion.params['lr']} by seed {first.seed}"
    assert json.loads((current / "record.json").read_text())["evidence"]["gate"]
    other = replace(champion, kind=VerdictKind.BY_HAND, before_id=champion.id, firing_id=None, params={"lr": 0.5})
    by_hand = store.record_champion(other)
    assert deliver(store, outside(tmp_path)) == 0
    assert "has no model" in store.deliveries("flights")[0].detail
    back = replace(champion, kind=VerdictKind.ROLLBACK, before_id=by_hand.id, firing_id=None, who="ann")
    rolled = store.record_champion(back)
    assert deliver(store, outside(tmp_path)) == 2
    told_of = json.loads((current / "record.json").read_text())
    assert (told_of["version"], told_of["kind"], told_of["who"]) == (rolled.id, "rollback", "ann")
    assert (current / "model").read_text() == f"{champion.params['lr']} by seed {first.seed}"


def wait_for(true: Any) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_claim_is_renewed_while_its_program_works(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that takes three times as long as a claim holds runs once, though another program is at it too."""
    monkeypatch.setattr("coordinator.outbox.deliver.CLAIM_S", 1.0)
    monkeypatch.setattr("coordinator.outbox.deliver.RENEW_S", 0.2)
    slow = Hook(command=("sh", "-c", f"echo $CELERIAC_PROMOTION >> {tmp_path}/told; sleep 3"))
    scheduled(store, slow)
    first = promoted(store)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(deliver, store, outside(tmp_path))
        wait_for(lambda: told(tmp_path / "told") == [first.id])
        while not working.done():
            assert deliver(store, outside(tmp_path)) == 0
    assert working.result() == 2
    assert told(tmp_path / "told") == [first.id]


def test_two_coordinators_at_it_deliver_each_promotion_once(store: Store, tmp_path: Path) -> None:
    scheduled(store, appending(tmp_path / "told"))
    line: list[Champion] = []
    for _ in range(12):
        line.append(promoted(store, before=line[-1] if line else None))
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: deliver(store, outside(tmp_path)), range(2)))
    while not all(done for _, _, done in states(store)):  # the one may end while the other still publishes
        made.append(deliver(store, outside(tmp_path)))
    assert sum(made) == 24
    assert sorted(told(tmp_path / "told")) == [each.id for each in line]
    current = tmp_path / "artefacts" / PLACE / "current"
    assert json.loads((current / "record.json").read_text())["version"] == line[-1].id
