"""Commands for whoever keeps the service."""

import json
import stat
from pathlib import Path
from threading import Event

import pytest

from celeriac.cli import doctor
from celeriac.cli.doctor import artefacts_usable, duties_done, one_name_each
from celeriac.client import Client
from celeriac.domain.records import Duty
from tests.celeriac.cli.played import SPEC, Celeriac, closed, played
from tests.celeriac.runtime.artefacts.roots import BUCKET


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
    assert len(set(passwords)) == len(passwords) == 8
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


def test_doctor_tests_the_gpus_of_this_host(
    celeriac: Celeriac, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gpus.json"
    file.write_text('[{"uuid": "SIM-0", "memory": "80GiB"}]')
    monkeypatch.setenv("CELERIAC_SIMULATED_GPUS", str(file))
    ran = celeriac("doctor", "--gpu", "--json")
    found = {each["name"]: each["verdict"] for each in json.loads(ran.out)}
    assert (ran.code, found["NVML: SIM-0"], found["simulated"]) == (0, "ok", "warn")
    file.write_text("[]")
    ran = celeriac("doctor", "--gpu")
    assert (ran.code, "names no device" in ran.out) == (1, True)


def test_an_empty_home_is_refused(celeriac: Celeriac) -> None:
    for words in (("status",), ("up",), ("down",)):
        ran = celeriac(*words, "--home", "")
        assert ran.code == 2
        assert "is empty: name a directory" in ran.err


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


def test_doctor_tries_the_artefact_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "artefacts"
    assert artefacts_usable(str(root)).verdict == "ok"  # it will be made
    assert not root.exists()
    root.mkdir()
    found = artefacts_usable(str(root))
    assert (found.name, found.verdict, str(root) in found.told) == ("artefacts", "ok", True)
    assert list(root.rglob("*")) == []
    root.rmdir()
    root.write_text("a file in the way")
    in_the_way = artefacts_usable(str(root))
    assert (in_the_way.verdict, "cannot be written or read: " in in_the_way.told) == ("fail", True)
    assert "no champion is published" in artefacts_usable("ftp://nowhere/x").told
    monkeypatch.setattr(doctor, "_flaw_of", lambda *_: Event().wait(5) or "")
    monkeypatch.setattr(doctor, "_ARTEFACTS_S", 0.05)
    assert "s3://slow does not answer within 0.05 s" in artefacts_usable("s3://slow").told


def test_doctor_tries_a_bucket(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    assert artefacts_usable(f"s3://{BUCKET}/below").verdict == "ok"
    missing = artefacts_usable("s3://no-such-bucket/x")
    assert (missing.verdict, "no-such-bucket" in missing.told) == ("fail", True)


def test_doctor_finds_two_workers_of_one_name() -> None:
    alone = ["drive@hub", "drive@hub", "cpu0.s0@a", "gpu0.s0@a", "cpu0.s0@b"]
    assert list(one_name_each(alone)) == []
    (check,) = one_name_each([*alone, "cpu0.s0@b"])
    assert (check.verdict, "cpu0.s0@b" in check.told, "cpu0.s0@a" in check.told) == ("fail", True, False)
    assert "CELERIAC_HOST" in check.told


def test_migrate_says_when_there_is_nothing_to_do(celeriac: Celeriac) -> None:
    ran = celeriac("migrate")
    assert (ran.code, "nothing to do" in ran.out) == (0, True)
