"""Commands on trials: which are listed, the best, what an attempt printed."""

import json
from dataclasses import replace

from celeriac.client import Client
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Device, Lease
from celeriac.store.api import AttemptEnd
from tests.celeriac.cli.played import SPEC, Celeriac, played, started
from tests.celeriac.store.scenes import scored, suggestion


def device(client: Client, *slots: str) -> Device:
    return Device("cpu", "here", "cpu", 2**34, {}, slots, "", "ok", client.store.now())


def test_trials_lists_the_newest_and_says_that_there_are_more(celeriac: Celeriac, client: Client) -> None:
    played(client, client.open(SPEC).study, 0.5, 0.9, 0.7)
    ran = celeriac("trials", "digits", "--limit", "2")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["trial", "1", "2"]
    assert "The newest 2 of 3" in ran.err
    wrong = celeriac("trials", "digits", "--state", "scord")
    assert (wrong.code, "known: WAITING" in wrong.err) == (2, True)


def test_blocks_drift_and_seed_stand_in_the_json(celeriac: Celeriac, client: Client) -> None:
    study = client.open(SPEC).study
    started(client, study)
    client.store.add_trials(study.id, study.record.turn, [replace(suggestion(lr=0.1), seed=7)])
    lease = client.store.lease(study.id, 0, 1, worker="w", device="d", lease_s=30)
    assert isinstance(lease, Lease)
    client.store.finish_attempt(lease.token, scored(0.5, holdout=(0.25, 1.0), drift=0.125))
    (told,) = json.loads(celeriac("trials", "digits", "--json").out)
    assert (told["holdout"], told["drift"], told["seed"], told["model"]) == ([0.25, 1.0], 0.125, 7, None)


def test_best_as_yaml_is_parameters_alone(celeriac: Celeriac, client: Client) -> None:
    study = client.open(SPEC).study
    assert celeriac("best", "digits", "--yaml").code == 1
    played(client, study, 0.5)
    ran = celeriac("best", "digits", "--yaml")
    assert (ran.code, ran.out) == (0, "lr: 0.01\n")


def test_logs_of_an_attempt(celeriac: Celeriac, client: Client) -> None:
    study = client.open(SPEC).study
    played(client, study, 0.5)
    assert celeriac("logs", "digits", "0").out == "trial 0\n"
    assert celeriac("logs", "digits", "0", "--follow").out == "trial 0\n"
    assert celeriac("logs", "digits", "0", "--attempt", "2").code == 2
    unknown = celeriac("logs", "digits", "7")
    assert (unknown.code, "study digits has no trial 7" in unknown.err) == (2, True)
    assert "study digits has no trial 7" in celeriac("cancel", "digits", "7").err
    with_no_attempt = study.record.next_number
    client.store.add_trials(study.id, study.record.turn, [suggestion()])
    ran = celeriac("logs", "digits", str(with_no_attempt))
    assert (ran.code, ran.out) == (1, "")
    assert "has not run yet" in ran.err


def test_logs_say_which_attempt_is_shown_and_do_not_point_at_a_file_that_was_never_made(
    celeriac: Celeriac, client: Client
) -> None:
    study = client.open(SPEC).study
    started(client, study)
    client.store.add_trials(study.id, study.record.turn, [suggestion()])
    for attempt, tail in ((1, "first\n"), (2, "")):
        client.store.queue_trials(study.id, study.record.turn, [0])
        held = client.store.lease(study.id, 0, attempt, worker="cpu0.s0@here", device="cpu", lease_s=30)
        assert isinstance(held, Lease)
        client.store.begin(held.token, fingerprint="f", resumed_step=None, log_path=f"/logs/1/0-{attempt}.log")
        end = AttemptEnd(AttemptEvent.RELEASE, TrialEvent.PARK, log_tail=tail)
        client.store.finish_attempt(held.token, end)
    newest = celeriac("logs", "digits", "0")
    assert newest.err == "attempt 2 of trial 0 printed nothing\n(attempt 2 of 2; `--attempt` chooses another)\n"
    first = celeriac("logs", "digits", "0", "--attempt", "1")
    assert first.out == "first\n"
    assert first.err == (
        "(attempt 1 of 2; `--attempt` chooses another; its file: /logs/1/0-1.log on the host of cpu0.s0@here)\n"
    )
