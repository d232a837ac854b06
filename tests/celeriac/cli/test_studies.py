"""Commands on studies, on a real service: what they print, change, and end with."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from celeriac.client import Client
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Device, Fault, Report, StudyState
from celeriac.store.api import AttemptEnd
from tests.celeriac.cli.played import SPEC, STUDY_FILE, Celeriac, closed, leased, played, started
from tests.celeriac.store.scenes import failed, scored

TRACE = 'Traceback (most recent call last):\n  File "train.py", line 2, in objective\nValueError: no good\n'


def device(client: Client, *slots: str) -> Device:
    return Device("cpu", "here", "cpu", 2**34, {}, slots, "", "ok", client.store.now())


PLAN_FILE_AS_MAPPING = {
    **SPEC,
    "study": "nightly",
    "schedule": {"name": "nightly", "cron": "0 2 * * *", "slices": {"r": ["eu", "us"]}},
}


def test_submit_prints_the_name_alone_on_stdout(celeriac: Celeriac, client: Client) -> None:
    ran = celeriac("submit", "study.yaml")
    assert (ran.code, ran.out) == (0, "digits\n")
    assert "celeriac watch digits" in ran.err
    assert client.study("digits").state is StudyState.OPEN


def test_a_wrong_file_is_told_line_by_line_and_changes_nothing(
    celeriac: Celeriac, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY_FILE.replace("goal:", "gaol:").replace("1e-5", "0"))
    ran = celeriac("run", "study.yaml")
    assert (ran.code, ran.out) == (2, "")
    assert "study.yaml: metric.gaol: is not known here" in ran.err
    assert "study.yaml: space.lr" in ran.err
    assert all(line.startswith("celeriac: ") for line in ran.err.splitlines())
    assert client.studies() == []


def test_a_taken_name_shows_the_difference_and_the_way_out(celeriac: Celeriac, tmp_path: Path) -> None:
    celeriac("submit", "study.yaml")
    (tmp_path / "study.yaml").write_text(STUDY_FILE.replace("trials: 3", "trials: 4"))
    ran = celeriac("submit", "study.yaml")
    assert ran.code == 2
    assert "budget.trials: 3 -> 4" in ran.err
    assert "--name" in ran.err
    assert celeriac("submit", "study.yaml", "--name", "digits-4").out == "digits-4\n"


def test_run_attaches_to_a_study_that_is_done_and_shows_its_winner(celeriac: Celeriac, client: Client) -> None:
    celeriac("run", "study.yaml", "--detach")
    study = client.study("digits")
    played(client, study, 0.5, 0.9, 0.7)
    closed(client, study)
    ran = celeriac("run", "study.yaml")
    assert ran.code == 0
    assert "Attached to study digits (DONE)" in ran.err
    assert "digits is DONE: all 3 trials are finished" in ran.out
    assert "Better than the default, trial 0 (0.5), by 0.4." in ran.out
    assert "\nlr: 0.02\n" in ran.out
    assert "celeriac best digits --yaml" in ran.out


def test_a_study_that_pauses_is_explained_with_the_traceback_and_the_next_step(
    celeriac: Celeriac, client: Client
) -> None:
    study = client.open(SPEC).study
    started(client, study)
    end = AttemptEnd(
        AttemptEvent.FAULT, TrialEvent.FAIL, fault=Fault.USER_BUG, detail="ValueError: no good", traceback=TRACE
    )
    client.store.finish_attempt(leased(client, study).token, end)
    study.pause("three trials failed one after the other")
    ran = celeriac("watch", "digits")
    assert ran.code == 1
    assert "digits is PAUSED: three trials failed" in ran.out
    assert "Trial 0 failed: user_bug: ValueError: no good" in ran.out
    assert "| ValueError: no good" in ran.out
    assert "celeriac logs digits 0" in ran.out
    assert "celeriac resume digits" in ran.out


def test_run_goes_on_with_a_paused_study(celeriac: Celeriac, client: Client) -> None:
    celeriac("submit", "study.yaml")
    study = client.study("digits")
    started(client, study)
    study.pause("a bug")
    ran = celeriac("run", "study.yaml", "--detach")
    assert (ran.code, study.state) == (0, StudyState.RUNNING)
    assert "was paused; it goes on" in ran.err


def test_a_study_that_was_stopped_ends_with_one(celeriac: Celeriac, client: Client) -> None:
    celeriac("submit", "study.yaml")
    assert celeriac("stop", "digits", "--reason", "enough").code == 0
    ran = celeriac("watch", "digits")
    assert ran.code == 1
    assert "digits is STOPPED: enough" in ran.out


def test_status_of_all_and_of_one(celeriac: Celeriac, client: Client) -> None:
    assert "No study yet" in celeriac("status").out
    study = client.open(SPEC).study
    client.store.put_devices("here", [device(client, "cpu0.s0@here")])
    played(client, study, 0.5)
    client.store.report(leased(client, study).token, [Report(3, 0.25)])
    everything = celeriac("status").out
    assert "digits" in everything
    assert "1/3" in everything
    assert "1 slot alive on 1 host" in everything
    one = celeriac("status", "digits").out
    assert "digits RUNNING: 1/3 finished, best accuracy 0.5 (trial 0)" in one
    assert "0.25 at step 3" in one
    assert "sampler: bayesian, chosen by auto: its model learns most" in one
    client.open({**SPEC, "study": "named", "sampler": "sobol"})
    assert "sampler: sobol\n" in celeriac("status", "named").out


def test_status_and_why_tell_the_budgets_of_device_time(celeriac: Celeriac, client: Client) -> None:
    spec = {**SPEC, "budget": {"trials": 9, "device_hours": 0.1}}
    study = client.open(spec).study
    client.store.put_devices("here", [device(client, "cpu0.s0@here")])
    played(client, study, 0.5)
    told = "device budget: 0.000556 h of 0.1 h used"
    assert told in celeriac("status", "digits").out
    assert told in celeriac("why", "digits").out
    [budget] = json.loads(celeriac("status", "digits", "--json").out)["device_budgets"]
    assert budget == {"name": "device budget", "hours": 0.1, "spent_s": 2.0}
    assert budget in json.loads(celeriac("why", "digits", "--json").out)["device_budgets"]
    celeriac("stop", "digits")
    assert "digits: it is over: stopped by a user" in celeriac("why", "digits").out
    more = celeriac("extend", "digits", "--device-hours", "+1")
    assert more.out == "digits is RUNNING: it has a budget of 9 trials, 1.1 device-hours; 1 are finished\n"


def test_status_says_what_a_study_waits_for(celeriac: Celeriac, client: Client) -> None:
    started(client, client.open({**SPEC, "resources": {"gpus": 1}}).study)
    assert "no worker with a GPU is alive" in celeriac("status", "digits").out


def test_slots_that_are_put_aside_are_named_wherever_somebody_looks(celeriac: Celeriac, client: Client) -> None:
    study, other = client.open(SPEC).study, client.open({**SPEC, "study": "other"}).study
    client.store.put_devices("here", [device(client, "cpu0.s0@here")])
    started(client, study)
    started(client, other)
    lease = leased(client, study)
    client.store.put_aside(lease.token, "here: the code below /code is 2", 60.0, study_only=True)
    client.store.put_aside(lease.token, "3 trials in a row ended here", 60.0, study_only=False)
    workers = " ".join(celeriac("workers").out.split())
    assert "3 trials in a row" in workers
    (listed,) = json.loads(celeriac("workers", "--json").out)
    assert [each["study_id"] for each in listed["put_aside"]] == [0, study.id]
    assert "put aside: cpu0.s0@here: here: the code below /code is 2" in celeriac("status", "digits").out
    unharmed = celeriac("status", "other").out
    assert ("put aside: cpu0.s0@here: 3 trials" in unharmed, "/code" in unharmed) == (True, False)
    assert "cpu0.s0@here: 3 trials in a row ended here" in celeriac("doctor").out


def test_trials_of_two_codes_are_told_apart(celeriac: Celeriac, client: Client) -> None:
    study = client.open(SPEC).study
    started(client, study)
    for score, code in ((0.5, "1111 git:1"), (0.9, "2222"), (0.7, "1111")):
        lease = leased(client, study)
        client.store.begin(lease.token, fingerprint=code, resumed_step=None, log_path="")
        client.store.finish_attempt(lease.token, scored(score))
        told = " ".join(celeriac("status", "digits").out.split())
        assert ("code:" in told) == (lease.number > 0)
    for command in ("status", "best"):
        told = " ".join(celeriac(command, "digits").out.split())
        assert "1111 in 2 trials (numbers 0 to 2); 2222 in 1 trial (numbers 1 to 1)" in told
        assert "The best, trial 1, ran 2222." in told
    codes = json.loads(celeriac("status", "digits", "--json").out)["codes"]
    assert [(each["code"], each["trials"]) for each in codes] == [("1111", 2), ("2222", 1)]


def test_workers_show_what_gpus_say_of_themselves(celeriac: Celeriac, client: Client) -> None:
    client.store.put_devices("here", [device(client, "cpu0.s0@here")])
    assert not {"util", "temp"} & set(celeriac("workers").out.split())
    card = replace(device(client, "gpu0.s0@here"), uuid="GPU-0", kind="H100", memory_bytes=80 * 2**30)
    client.store.put_devices("here", [replace(card, used_bytes=20 * 2**30, utilisation=0.93, temperature_c=61)])
    shown = " ".join(celeriac("workers").out.split())
    assert "20.0 of 80.0 GiB 93% 61 °C" in shown
    (form,) = json.loads(celeriac("workers", "--json").out)
    assert (form["used_bytes"], form["utilisation"], form["temperature_c"]) == (20 * 2**30, 0.93, 61)
    drained = " ".join(celeriac("drain", "here:0,GPU-0,7,GPU-9").out.split())
    assert "here has no 7, GPU-9 now (it has GPU-0)" in drained
    assert "has no" not in celeriac("drain", "here").out


def test_every_reading_command_speaks_json(celeriac: Celeriac, client: Client) -> None:
    client.add_schedule(PLAN_FILE_AS_MAPPING)
    study = client.open(SPEC).study
    client.store.put_devices("here", [device(client, "cpu0.s0@here")])
    played(client, study, 0.5, 0.9)
    leased(client, study)

    def read(*words: str) -> Any:
        return json.loads(celeriac(*words, "--json").out)

    everything = read("status")
    assert everything["studies"][0]["best"] == {"trial": 1, "score": 0.9}
    assert everything["schedules"][0]["name"] == "nightly"
    one = read("status", "digits")
    assert (one["state"], one["finished"], one["budget"], one["running"][0]["number"]) == ("RUNNING", 2, 3, 2)
    assert (one["sampler"]["name"], one["spec"]["sampler"]) == ("bayesian", "auto")
    listed = read("trials", "digits", "--state", "scored")
    assert [(each["number"], each["score"], len(each["runs"])) for each in listed] == [(0, 0.5, 1), (1, 0.9, 1)]
    assert "token" not in listed[0]["runs"][0]
    best = read("best", "digits")
    assert (best["number"], best["gain"], best["default"]["number"]) == (1, pytest.approx(0.4), 0)
    (worker,) = read("workers")
    assert worker["running"]["cpu0.s0@here"] == [{"study": "digits", "trial": 2, "attempt": 1}]
    assert worker["alive"] is True
    assert read("schedule", "list")[0]["slices"] == [{"r": "eu"}, {"r": "us"}]
    assert read("schedule", "show", "nightly")["firings"] == []
    assert read("champions") == []
    assert {each["name"] for each in read("doctor")} >= {"database", "redis", "schema", "clock"}


def test_an_unknown_study_names_the_nearest(celeriac: Celeriac, client: Client) -> None:
    client.open(SPEC)
    ran = celeriac("status", "digts")
    assert (ran.code, "digits" in ran.err, ran.out) == (2, True, "")


def test_pause_resume_cancel_stop(celeriac: Celeriac, client: Client) -> None:
    study = client.open(SPEC).study
    started(client, study)
    leased(client, study)
    assert "digits is PAUSED; 1 running trial will go on to the end" in celeriac("pause", "digits").out
    assert "digits is RUNNING" in celeriac("resume", "digits").out
    assert "trial 0 of digits is CANCELLED" in celeriac("cancel", "digits", "0").out
    ran = celeriac("cancel", "digits", "77")
    assert (ran.code, ran.err) == (2, "celeriac: study digits has no trial 77; `celeriac trials digits` lists all\n")
    assert "digits is STOPPED" in celeriac("stop", "digits").out
    ran = celeriac("resume", "digits")
    assert (ran.code, "digits is STOPPED: it cannot resume" in ran.err) == (2, True)


def test_a_study_is_extended_reopened_retried_and_deleted(celeriac: Celeriac, client: Client) -> None:
    study = client.open(SPEC).study
    played(client, study, 0.5, 0.9)
    lease = leased(client, study)
    client.store.finish_attempt(lease.token, failed())
    closed(client, study)
    assert "digits has finished all its 3 trials" in celeriac("reopen", "digits").err
    again = celeriac("retry", "digits")
    assert again.out == "digits is RUNNING: 1 failed trial will run once more (2)\n"
    assert celeriac("retry", "digits").out == "digits has no failed trial\n"
    assert celeriac("retry", "digits", "0").code == 2
    more = celeriac("extend", "digits", "--trials", "+4", "--wall", "1h")
    assert more.out == ("digits is RUNNING: it has a budget of 7 trials instead of 3, wall 1h 00m; 2 are finished\n")
    assert celeriac("extend", "digits").code == 2
    assert "is RUNNING: it cannot be deleted" in celeriac("delete", "digits", "--yes").err
    celeriac("stop", "digits")
    assert "digits is RUNNING: 2 of 7 finished" in celeriac("reopen", "digits").out
    celeriac("stop", "digits")
    asked = celeriac("delete", "digits")
    assert (asked.code, "3 trials with their reports" in asked.out, "give --yes" in asked.err) == (2, True, True)
    assert "digits is deleted" in celeriac("delete", "digits", "--yes").out
    assert celeriac("status", "digits").code == 2
