"""Every command on a real service: what it prints, what it changes, and which exit code it ends with."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from celeriac.cli.doctor import duties_done, one_name_each
from celeriac.client import Client, embedded
from celeriac.domain.lifecycle import AttemptEvent, TrialEvent
from celeriac.domain.records import Champion, Device, Duty, Fault, Lease, Report, StudyState
from celeriac.runtime.settings import Settings
from celeriac.store.api import AttemptEnd
from tests.celeriac.cli.played import NEW_YEAR, SPEC, STUDY_FILE, Celeriac, closed, leased, played, started
from tests.celeriac.store.scenes import failed, scored, suggestion

PLAN_FILE = STUDY_FILE.removeprefix("study: digits\n") + (
    "schedule: {name: nightly, cron: '0 2 * * *', timezone: Europe/Berlin, slices: {r: [eu, us]}}\n"
)
TRACE = 'Traceback (most recent call last):\n  File "train.py", line 2, in objective\nValueError: no good\n'


def device(client: Client, *slots: str) -> Device:
    return Device("cpu", "here", "cpu", 2**34, {}, slots, "", "ok", client.store.now())


# -- submit, run, watch ---------------------------------------------------------------------------------------------


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


# -- reading --------------------------------------------------------------------------------------------------------


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


PLAN_FILE_AS_MAPPING = {
    **SPEC,
    "study": "nightly",
    "schedule": {"name": "nightly", "cron": "0 2 * * *", "slices": {"r": ["eu", "us"]}},
}


def test_trials_lists_the_newest_and_says_that_there_are_more(celeriac: Celeriac, client: Client) -> None:
    played(client, client.open(SPEC).study, 0.5, 0.9, 0.7)
    ran = celeriac("trials", "digits", "--limit", "2")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["trial", "1", "2"]
    assert "The newest 2 of 3" in ran.err
    wrong = celeriac("trials", "digits", "--state", "scord")
    assert (wrong.code, "known: WAITING" in wrong.err) == (2, True)


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


def test_a_stack_that_was_killed_is_told_from_a_database_that_is_down(
    celeriac: Celeriac, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    urls = {"database_url": f"postgresql+psycopg:///x?host={tmp_path}", "broker_url": "redis://localhost:1/0"}
    monkeypatch.delenv("CELERIAC_DATABASE_URL")
    monkeypatch.delenv("CELERIAC_BROKER_URL")
    (tmp_path / "home" / "run").mkdir(parents=True)
    said = tmp_path / "home" / "run" / "stack.json"
    said.write_text(json.dumps({"pid": gone.pid, **urls}))
    killed = celeriac("status", "--home", str(tmp_path / "home"))
    assert (killed.code, "was killed: `celeriac up` starts it again" in killed.err) == (3, True)
    said.write_text(json.dumps({"pid": os.getpid(), **urls}))
    down = celeriac("status", "--home", str(tmp_path / "home"))
    assert (down.code, "does not answer" in down.err) == (3, True)


def test_an_unknown_study_names_the_nearest(celeriac: Celeriac, client: Client) -> None:
    client.open(SPEC)
    ran = celeriac("status", "digts")
    assert (ran.code, "digits" in ran.err, ran.out) == (2, True, "")


# -- changing -------------------------------------------------------------------------------------------------------


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


def test_a_schedules_life(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(PLAN_FILE)
    assert "schedule nightly: 2 slices, due" in celeriac("schedule", "add", "nightly.yaml").out
    assert celeriac("submit", "nightly.yaml").code == 2
    assert "nightly" in celeriac("schedule", "list").out
    fired = celeriac("schedule", "fire", "nightly", "--due", "2013-10-01")
    assert fired.out.split() == ["nightly/r=eu/2013-10-01", "nightly/r=us/2013-10-01"]
    again = celeriac("schedule", "fire", "nightly", "--due", "2013-10-01T02:00")
    assert (again.code, again.out, "had its firing for that time already" in again.err) == (0, "", True)
    for wrong in ("tomorrow", "9999-12-31", "0001-01-01"):
        assert celeriac("schedule", "fire", "nightly", "--due", wrong).code == 2
    first = celeriac("schedule", "fire", "nightly").out.split()
    assert [name.rpartition("-by-hand-")[2] for name in first] == ["1", "1"]
    coming = client.store.schedule("nightly").next_due_at
    ahead = celeriac("schedule", "fire", "nightly", "--due", coming.isoformat()).out
    assert ahead.count("-by-hand-") == 2
    shown = celeriac("schedule", "show", "nightly").out
    assert "nightly/r=eu/2013-10-01" in shown
    assert "2013-10-01 00:00 UTC" in shown
    assert "by hand, number 1" in shown
    celeriac("schedule", "pause", "nightly")
    assert "paused" in celeriac("schedule", "list").out
    assert "is due" in celeriac("schedule", "resume", "nightly").out
    assert celeriac("schedule", "remove", "nightly").code == 0
    ran = celeriac("schedule", "show", "nightly")
    assert (ran.code, "nightly" in ran.err) == (2, True)


def test_champions_and_their_history(celeriac: Celeriac, client: Client) -> None:
    client.add_schedule(PLAN_FILE_AS_MAPPING)
    assert "No champion yet" in celeriac("champions").out
    night, other = client.fire("nightly", NEW_YEAR)
    for study, promoted in ((night, True), (other, False)):
        record = study.record
        verdict = Champion(
            "nightly", record.slice, record.id, record.name, 1, {"lr": 0.02}, 0.9, 0.5, {}, promoted, "because"
        )
        client.store.record_champion(verdict)
    champions = celeriac("champions", "nightly").out
    assert night.name in champions
    assert other.name not in champions
    assert other.name in celeriac("champions", "--history").out
    ran = celeriac("best", "nightly")
    assert (ran.code, "nightly r=eu: trial 1 of nightly/r=eu/" in ran.out, "lr: 0.02" in ran.out) == (0, True, True)
    assert celeriac("best", "nightly", "--yaml").out == '"r=eu":\n  lr: 0.02\n'
    assert celeriac("best", "nightly", "--yaml", "--slice", "r=eu").out == "lr: 0.02\n"
    assert json.loads(celeriac("best", "nightly", "--json").out)[0]["params"] == {"lr": 0.02}
    none = celeriac("best", "nightly", "--slice", "r=us")
    assert (none.code, "has no champion for r=us yet" in none.err) == (1, True)
    wrong = celeriac("best", "nightly", "--slice", "r=eo")
    assert (wrong.code, "it has r=eu; r=us" in wrong.err) == (2, True)
    assert celeriac("best", "nigthly").code == 2


# -- upkeep ---------------------------------------------------------------------------------------------------------


def test_prune_drops_old_things_and_a_dry_run_nothing(celeriac: Celeriac, client: Client) -> None:
    study = client.open(SPEC).study
    played(client, study, 0.5)
    closed(client, study)
    assert "0 studies ended before" in celeriac("prune", "--older-than", "30d", "--dry-run").out
    dry = celeriac("prune", "--older-than", "0s", "--dry-run")
    assert dry.out.splitlines()[1:] == ["digits"]
    assert study.logs(0) == "trial 0\n"
    assert "1 log tail," in celeriac("prune", "--older-than", "0s", "--logs").out
    assert study.logs(0) == ""
    assert "or what it printed was pruned" in celeriac("logs", "digits", "0").err
    assert celeriac("prune", "--older-than", "soon").code == 2
    assert celeriac("prune").code == 2


def test_init_writes_private_random_passwords_once(celeriac: Celeriac, tmp_path: Path) -> None:
    assert celeriac("init").code == 0
    path = tmp_path / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    values = dict(line.split("=", 1) for line in lines)
    assert values["CELERIAC_PUBLISH"] == "127.0.0.1"
    passwords = [value for name, value in values.items() if name.endswith("PASSWORD")]
    assert len(set(passwords)) == len(passwords) == 5
    assert min(map(len, passwords)) >= 24
    before = path.read_text()
    ran = celeriac("init")
    assert (ran.code, "exists" in ran.err, path.read_text()) == (2, True, before)
    assert celeriac("init", "--directory", str(tmp_path / "nowhere")).code == 2


def test_doctor_names_what_is_missing_and_ends_with_one(celeriac: Celeriac, client: Client) -> None:
    ran = celeriac("doctor")
    assert ran.code == 1
    found = {line.split("  ")[0]: line for line in ran.out.splitlines()}
    assert " ok " in found["database"]
    assert " ok " in found["redis"]
    assert "no worker is alive" in found["workers"]
    assert "python -m coordinator drive" in found["coordinator drive"]


def test_an_empty_home_is_refused(celeriac: Celeriac) -> None:
    for words in (("status",), ("up",), ("down",)):
        ran = celeriac(*words, "--home", "")
        assert ran.code == 2
        assert "is empty: name a directory" in ran.err


def test_ctrl_c_while_the_service_starts_says_what_becomes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "_start", interrupted)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        embedded.ensure_service(Settings.from_env({}, home=tmp_path / "a home"), say=said.append)
    assert f"celeriac down --home '{tmp_path / 'a home'}'" in said[-1]


def test_doctor_looks_at_the_coordinators_work_and_not_at_its_pings() -> None:
    def told(**ago_s: float) -> list[str]:
        done = [Duty(name, 5.0, seconds) for name, seconds in ago_s.items()]
        return [f"{each.verdict}: {each.told}" for each in duties_done(done)]

    assert [each[:4] for each in told(drive=3.0, reap=4.0, fire=29.0)] == ["ok: "] * 3
    drive, reap, fire = told(drive=95.0, reap=1.0)
    assert drive.startswith("fail: last drove all studies 1m 35s ago")
    assert "restart it" in drive
    assert reap.startswith("ok")
    assert fire.startswith("fail: never yet fired due schedules")
    # A coordinator that ticks rarely is not late within six ticks.
    assert next(duties_done([Duty("drive", 20.0, 110.0)])).verdict == "ok"


def test_doctor_finds_two_workers_of_one_name() -> None:
    alone = ["drive@hub", "drive@hub", "cpu0.s0@a", "gpu0.s0@a", "cpu0.s0@b"]
    assert list(one_name_each(alone)) == []
    (check,) = one_name_each([*alone, "cpu0.s0@b"])
    assert (check.verdict, "cpu0.s0@b" in check.told, "cpu0.s0@a" in check.told) == ("fail", True, False)
    assert "CELERIAC_HOST" in check.told


def test_migrate_says_when_there_is_nothing_to_do(celeriac: Celeriac) -> None:
    ran = celeriac("migrate")
    assert (ran.code, "nothing to do" in ran.out) == (0, True)


# -- without a service ----------------------------------------------------------------------------------------------


def test_no_service_ends_with_three_and_says_how_to_start_one(
    celeriac: Celeriac, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CELERIAC_DATABASE_URL")
    for words in (["status"], ["submit", "study.yaml"], ["migrate"]):
        ran = celeriac(*words, "--home", str(tmp_path / "nothing"))
        assert (ran.code, "celeriac up" in ran.err, ran.out) == (3, True, "")
    assert "celeriac up" in celeriac("doctor", "--home", str(tmp_path / "nothing")).out


@pytest.mark.parametrize("command", ["run", "submit"])
def test_a_wrong_file_is_told_without_a_service(
    celeriac: Celeriac, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    monkeypatch.delenv("CELERIAC_DATABASE_URL")
    (tmp_path / "wrong.yaml").write_text("study: wrong\nobjectiv: train:objective\n")
    (tmp_path / "nightly.yaml").write_text(PLAN_FILE)
    for name, says in (("wrong", "did you mean 'objective'?"), ("nightly", "this is a schedule")):
        ran = celeriac(command, f"{name}.yaml", "--home", str(tmp_path / "nothing"))
        assert (ran.code, says in ran.err) == (2, True), ran.err
    assert not (tmp_path / "nothing" / "run").exists()


def test_a_database_that_does_not_answer_ends_with_three(
    celeriac: Celeriac, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CELERIAC_DATABASE_URL", f"postgresql+psycopg://x@/x?host={tmp_path}")
    ran = celeriac("status")
    assert (ran.code, ran.out) == (3, "")
    assert "Traceback" not in ran.err


# -- more of a study, or no more of it ------------------------------------------------------------------------------


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
