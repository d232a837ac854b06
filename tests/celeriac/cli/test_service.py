"""What a command says where no service runs, or one does not answer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.client import embedded
from celeriac.runtime.settings import Settings
from tests.celeriac.cli.played import STUDY_FILE, Celeriac

PLAN_FILE = STUDY_FILE.removeprefix("study: digits\n") + (
    "schedule: {name: nightly, cron: '0 2 * * *', timezone: Europe/Berlin, slices: {r: [eu, us]}}\n"
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
