"""Each command that changes something tells what it did as one JSON record, on stdout alone."""

import json
from pathlib import Path
from typing import Any

import typer

from celeriac.cli.app import app
from celeriac.client import Client
from celeriac.domain.records import Fault
from tests.celeriac.cli.played import PLAN, SPEC, Celeriac, leased, played
from tests.celeriac.store.scenes import failed

#: What runs until it is told to stop, hands over to another program, or writes files and prints their names.
WITHOUT = {
    *("up", "down", "run", "watch", "worker", "mcp", "schedule watch", "schedule replay"),
    *("export", "login", "logout", "token link", "prune", "migrate", "init"),
}


def _commands(group: Any, before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in group.commands.items():
        full = f"{before}{name}"
        found |= _commands(each, f"{full} ") if hasattr(each, "commands") else {full: each}
    return found


def test_every_command_takes_json_but_these() -> None:
    commands = _commands(typer.main.get_command(app))
    without = {name for name, each in commands.items() if "--json" not in {o for p in each.params for o in p.opts}}
    assert without == WITHOUT


def test_what_changed_is_one_record(celeriac: Celeriac, client: Client, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(json.dumps({**SPEC, **PLAN}))

    def told(*words: str) -> Any:
        ran = celeriac(*words, "--json")
        assert ran.code == 0, (words, ran.err)
        return json.loads(ran.out)

    assert told("schedule", "add", "plan.yaml")["name"] == "nightly"
    assert told("submit", "study.yaml")["name"] == "digits"
    study = client.study("digits")
    played(client, study, 0.5)
    client.store.finish_attempt(leased(client, study).token, failed(Fault.USER_BUG))
    leased(client, study)
    assert [each["number"] for each in told("retry", "digits")["trials"]] == [1]
    assert (told("cancel", "digits", "2")["number"], study.trial(2).state) == (2, "CANCELLED")
    for verb, state in (("pause", "PAUSED"), ("resume", "RUNNING"), ("stop", "STOPPED"), ("reopen", "RUNNING")):
        assert told(verb, "digits")["state"] == state
    extended = told("extend", "digits", "--trials", "+2")
    assert (extended["budget"], extended["took_code"]) == (5, False)
    told("stop", "digits")
    assert told("delete", "digits", "--yes") == {"study": "digits", "trials": 3, "files": 0, "refused": []}

    fired = told("schedule", "fire", "nightly", "--slice", "r=eu")
    (night,) = fired["studies"]
    assert fired == {"schedule": "nightly", "studies": [night], "missing": 0}
    played(client, client.study(night), 0.5, 0.75)
    assert told("promote", night, "0")["kind"] == "by hand"
    told("promote", night, "1")
    assert told("rollback", "nightly", "r=eu")["trial"] == 0
    for verb in ("approve", "reject"):  # nothing waits: no record, and the reason on stderr
        ran = celeriac(verb, "nightly", "r=eu", "--json")
        assert (ran.code, ran.out, "waits" in ran.err) == (2, "", True)
    for verb, done in (("pause", "paused"), ("resume", "resumed"), ("remove", "removed")):
        form = told("schedule", verb, "nightly")
        assert (form["schedule"], form["done"]) == ("nightly", done)

    assert told("drain", "here:0") == {"host": "here", "devices": ["0"], "known": False, "hosts": [], "unknown": ["0"]}
    assert told("undrain", "here:0") == {"host": "here", "devices": ["0"], "given_back": 1}
    made = told("token", "create", "ci", "--scope", "read")
    assert (made["name"], made["scopes"], made["token"].startswith("clr_")) == ("ci", ["read"], True)
    assert told("token", "revoke", "ci") == {"name": "ci", "revoked": True}
