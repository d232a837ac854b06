"""Commands on schedules, and their champions."""

import json
from pathlib import Path
from typing import Any

from celeriac.client import Client
from celeriac.domain.lifecycle import StudyEvent
from celeriac.domain.records import Champion, Lease
from celeriac.runtime.broker import Tickets
from coordinator.nights import step
from tests.celeriac.cli.played import NEW_YEAR, SPEC, STUDY_FILE, Celeriac, closed, played
from tests.celeriac.store.scenes import scored

PLAN_FILE = STUDY_FILE.removeprefix("study: digits\n") + (
    "schedule: {name: nightly, cron: '0 2 * * *', timezone: Europe/Berlin, slices: {r: [eu, us]}}\n"
)


PLAN_FILE_AS_MAPPING: dict[str, Any] = {
    **SPEC,
    "study": "nightly",
    "schedule": {"name": "nightly", "cron": "0 2 * * *", "slices": {"r": ["eu", "us"]}},
}


def test_a_schedules_life(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(PLAN_FILE)
    assert "schedule nightly: 2 slices, due" in celeriac("schedule", "add", "nightly.yaml").out
    assert celeriac("submit", "nightly.yaml").code == 2
    assert "nightly" in celeriac("schedule", "list").out
    fired = celeriac("schedule", "fire", "nightly", "--due", "2013-10-01")
    assert fired.out.split() == ["nightly/r=eu/2013-10-01", "nightly/r=us/2013-10-01"]
    again = celeriac("schedule", "fire", "nightly", "--due", "2013-10-01T02:00")
    assert (again.code, again.out, "had its firing for that time already" in again.err) == (0, "", True)
    assert "schedule fire nightly --due 2013-10-01T02:00 --again" in again.err
    more = celeriac(
        "schedule", "fire", "nightly", "--due", "2013-10-01", "--slice", "r=eu", "--again", "--reason", "late"
    )
    assert more.out.split() == ["nightly/r=eu/2013-10-01-by-hand-1"]
    assert celeriac("schedule", "fire", "nightly", "--again").code == 2
    unknown = celeriac("schedule", "fire", "nightly", "--slice", "r=moon")
    assert (unknown.code, "it has r=eu; r=us" in unknown.err) == (2, True)
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


LISTED_FILE = (
    STUDY_FILE.removeprefix("study: digits\n")
    + """\
schedule:
  name: nightly
  cron: "0 2 * * *"
  timezone: Europe/Berlin
  jitter: 10m
  deadline: "06:00"
  blackout: [{days: [sun], why: backup}]
  slices: [{r: eu}, {r: us, timezone: America/New_York, budget: {trials: 9}}]
"""
)


def test_what_comes_next_goes_by_the_slices_own_clocks(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(LISTED_FILE)
    celeriac("schedule", "add", "nightly.yaml")
    lines = celeriac("schedule", "next", "nightly", "-n", "14").out.splitlines()[1:]
    assert len(lines) == 14
    assert sum("r=eu" in line and " 02:00 CE" in line for line in lines) == 7
    assert sum("r=us" in line and (" 02:00 ES" in line or " 02:00 ED" in line) for line in lines) == 7
    assert sum("skipped: blackout sun (backup)" in line for line in lines) == 2
    assert all("06:00" in line for line in lines)
    told = json.loads(celeriac("schedule", "next", "nightly", "--json").out)
    assert [each["slice"]["r"] for each in told[:2]] in (["eu", "us"], ["us", "eu"])
    assert told[0].keys() == {"slice", "timezone", "due_at", "begins_at", "deadline_at", "why_not"}
    celeriac("schedule", "pause", "nightly")
    assert "schedule nightly is paused: nothing of this runs" in celeriac("schedule", "next", "nightly").out
    assert celeriac("schedule", "next", "nigthly").code == 2


def test_the_history_of_a_schedule_says_who_did_what_and_why(celeriac: Celeriac, tmp_path: Path) -> None:
    file = tmp_path / "nightly.yaml"
    file.write_text(LISTED_FILE)
    celeriac("schedule", "add", "nightly.yaml")
    assert celeriac("schedule", "add", "nightly.yaml").code == 0
    file.write_text(LISTED_FILE.replace("trials: 9", "trials: 10"))
    refused = celeriac("schedule", "add", "nightly.yaml")
    assert (refused.code, "schedule.slices.1.budget.trials: 9 -> 10" in refused.err) == (2, True)
    celeriac("schedule", "add", "nightly.yaml", "--replace", "--reason", "us is noisy")
    celeriac("schedule", "pause", "nightly", "--reason", "moving")
    celeriac("schedule", "resume", "nightly")
    celeriac("schedule", "remove", "nightly")
    edits = json.loads(celeriac("schedule", "history", "nightly", "--json").out)
    assert [each["what"] for each in edits] == ["removed", "resumed", "paused", "replaced", "added"]
    assert edits[3]["changes"] == ["schedule.slices.1.budget.trials: 9 -> 10"]
    assert (edits[3]["reason"], edits[2]["reason"]) == ("us is noisy", "moving")
    assert all("@" in each["who"] and each["at"] for each in edits)
    shown = celeriac("schedule", "history", "nightly").out
    assert "schedule.slices.1.budget.trials: 9 -> 10; us is noisy" in shown
    assert celeriac("schedule", "history", "weekly").code == 2


def test_a_date_is_each_slices_own_night(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(LISTED_FILE)
    celeriac("schedule", "add", "nightly.yaml")
    fired = celeriac("schedule", "fire", "nightly", "--due", "2013-10-01").out.split()
    assert fired == ["nightly/r=eu/2013-10-01", "nightly/r=us/2013-10-01"]
    due = {each.slice["r"]: each.due_at.hour for each in client.store.firings("nightly")}
    assert due == {"eu": 0, "us": 6}
    alone = celeriac("schedule", "fire", "nightly", "--due", "2013-10-02T02:00").out.split()
    assert alone == ["nightly/r=eu/2013-10-02"], "at Berlin's two o'clock only eu is due"


def test_a_replay_needs_days_that_were(celeriac: Celeriac, tmp_path: Path) -> None:
    (tmp_path / "nightly.yaml").write_text(LISTED_FILE)
    celeriac("schedule", "add", "nightly.yaml")
    assert celeriac("schedule", "replay", "nightly", "--from", "2013-10-02", "--to", "2013-10-01").code == 2
    assert celeriac("schedule", "replay", "nightly", "--from", "2013-10-02", "--to", "soon").code == 2
    coming = celeriac("schedule", "replay", "nightly", "--from", "2190-10-02", "--to", "2190-10-03")
    assert (coming.code, coming.out, "no night of these days is left" in coming.err) == (0, "", True)


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
    history = celeriac("champions", "--history").out
    assert other.name in history
    assert f"{client.store.verdicts('nightly')[0].decided_at:%Y-%m-%d %H:%M}" in history
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


def test_a_nights_life_and_its_champion_are_told(celeriac: Celeriac, client: Client) -> None:
    plan = {**PLAN_FILE_AS_MAPPING, "budget": {"trials": 2}}
    plan["schedule"] = {"name": "nightly", "cron": "0 2 * * *"}
    client.add_schedule(plan)
    [study] = client.fire("nightly", NEW_YEAR)
    firing_id = study.record.firing_id
    assert firing_id is not None
    played(client, study, 0.5, 0.9)
    closed(client, study)
    step(client.store, Unsent(), firing_id)
    confirm = client.store.stage_studies([firing_id])[1]
    run_given(client, confirm.id, lambda params: 0.9 if params["lr"] > 0.01 else 0.5)
    step(client.store, Unsent(), firing_id)
    shown = celeriac("schedule", "show", "nightly").out
    for told in ("SEARCHING", "CONFIRMING", "KEPT", f"{confirm.name}: DONE, 8/8 trials", "a second night must agree"):
        assert told in shown, told
    assert celeriac("schedule", "watch", "nightly").out.startswith(f"{study.record.name}: KEPT")
    assert celeriac("champion", "nightly").code == 1
    nothing = celeriac("approve", "nightly", "--reason", "fine")
    assert (nothing.code, "nothing waits for approval" in nothing.err) == (2, True)
    made = celeriac("promote", study.record.name, "1", "--reason", "good enough").out
    assert "nightly: trial 1 of " in made
    assert "good enough" in made
    assert celeriac("champion", "nightly", "--params").out == "lr: 0.02\n"
    assert celeriac("promote", study.record.name, "0").code == 0
    assert "trial 1 of" in celeriac("rollback", "nightly", "--reason", "no").out
    record = celeriac("champion", "nightly").out
    assert "(rollback, " in record
    assert "why: no" in record
    history = json.loads(celeriac("champions", "nightly", "--history", "--json").out)
    assert [each["kind"] for each in history] == ["rollback", "by hand", "by hand", "night"]
    assert celeriac("delete", study.record.name, "--yes").code == 2


class Unsent(Tickets):
    """Nobody has to be woken here."""

    def __init__(self) -> None:
        """Without a broker."""

    def send(self, *_: Any, **__: Any) -> None:
        """Nowhere."""


def test_a_night_that_waits_for_a_person_says_so_with_the_next_step(celeriac: Celeriac, client: Client) -> None:
    client.add_schedule(PLAN_FILE_AS_MAPPING)
    search, other = client.fire("nightly", NEW_YEAR)
    client.store.move_study(search.id, StudyEvent.START, "first turn")
    client.store.move_study(search.id, StudyEvent.PAUSE, f"its code is nowhere; then `celeriac resume {search.name}`")
    shown = celeriac("schedule", "show", "nightly").out
    assert f"it waits for a person: its code is nowhere; then `celeriac resume {search.name}`" in shown
    client.store.move_study(other.id, StudyEvent.START, "first turn")
    client.store.move_study(other.id, StudyEvent.PAUSE, "no data")
    watched = celeriac("schedule", "watch", "nightly")
    assert (watched.code, f"{other.name} waits for a person: no data" in watched.out) == (1, True)


def run_given(client: Client, study_id: int, score: Any) -> None:
    """Run all trials that a study was given, and close it."""
    store = client.store
    store.move_study(study_id, StudyEvent.START, "started")
    numbers = [trial.number for trial in store.trials(study_id)]
    store.queue_trials(study_id, store.study(study_id).turn, numbers)
    for number in numbers:
        lease = store.lease(study_id, number, 1, worker="cpu0.s0@here", device="cpu", lease_s=30)
        assert isinstance(lease, Lease)
        store.finish_attempt(lease.token, scored(score(lease.params) + 0.001 * (number % 3)))
    store.move_study(study_id, StudyEvent.FINISH, "all are finished")
