"""Settings: every variable is typed, named in its error, and found in the three places the head of the module lists."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from kombu.utils.url import url_to_parts

from celeriac.domain.errors import SettingInvalid, StackError
from celeriac.runtime.settings import Settings, labels_of
from celeriac.store.connection import parsed


def test_defaults_live_under_home(tmp_path: Path) -> None:
    settings = Settings.from_env({}, home=tmp_path)
    assert settings.checkpoint_root == tmp_path / "checkpoints"
    assert settings.log_root == tmp_path / "logs"
    assert settings.host == os.uname().nodename
    assert not settings.has_service


def test_checkpoints_are_kept_in_a_directory_that_all_hosts_see_or_on_s3_beside_the_host_s_own(tmp_path: Path) -> None:
    shared = Settings.from_env({"CELERIAC_CHECKPOINTS": "/mnt/checkpoints"}, home=tmp_path)
    assert (shared.checkpoint_root, shared.checkpoints) == (Path("/mnt/checkpoints"), "")
    both = {"CELERIAC_CHECKPOINTS": "/srv/volume", "CELERIAC_CHECKPOINT_ROOT": "/checkpoints"}
    assert Settings.from_env(both, home=tmp_path).checkpoint_root == Path("/checkpoints")  # as in a container
    remote = Settings.from_env({"CELERIAC_CHECKPOINTS": "s3://bucket/prefix/"}, home=tmp_path)
    assert (remote.checkpoint_root, remote.checkpoints) == (tmp_path / "checkpoints", "s3://bucket/prefix")
    with pytest.raises(SettingInvalid, match=r"CELERIAC_CHECKPOINTS=ftp://x: must be a directory or an address of S3"):
        Settings.from_env({"CELERIAC_CHECKPOINTS": "ftp://x"}, home=tmp_path)


def test_every_field_has_its_variable(tmp_path: Path) -> None:
    for each in fields(Settings):
        wanted = {bool: True, int: 7, float: 17.5, str: "redis://text"}.get(type(each.default), tmp_path / each.name)
        wanted = "a=b" if each.name == "labels" else wanted
        wanted = "s3://bucket/prefix" if each.name == "checkpoints" else wanted
        wanted = {"log_format": "json", "retention": "logs=3d", "retention_at": "04:15"}.get(each.name, wanted)
        wanted = "https://tuning.example" if each.name == "web_public_url" else wanted
        env = {"CELERIAC_LEASE_S": "60", "CELERIAC_" + each.name.upper(): str(wanted)}
        found = Settings.from_env(env, home=None)
        assert getattr(found, each.name) == wanted, each.name


@pytest.mark.parametrize(
    ("variable", "text", "kind"),
    [
        ("CELERIAC_LEASE_S", "soon", "a number"),
        ("CELERIAC_SLOTS", "2.5", "a whole number"),
        ("CELERIAC_FLOWER_WRITABLE", "perhaps", "true or false"),
    ],
)
def test_a_wrong_value_names_variable_and_kind(variable: str, text: str, kind: str) -> None:
    with pytest.raises(SettingInvalid, match=f"{variable}='{text}': must be {kind}"):
        Settings.from_env({variable: text})


@pytest.mark.parametrize(
    ("variable", "text", "what"),
    [
        ("CELERIAC_SLOTS", "-1", "must be 0 or more"),
        ("CELERIAC_HEARTBEAT_S", "0", "must be a number above 0"),
        ("CELERIAC_REAP_S", "nan", "must be a number above 0"),
        ("CELERIAC_IMPORT_S", "inf", "must be a number above 0"),
        ("CELERIAC_CHECKPOINT_GRACE_S", "-3", "must be 0 or more"),
        ("CELERIAC_FLOWER_PORT", "99999", "must be from 0 to 65535"),
        ("CELERIAC_LEASE_S", "9", r"must be at least twice CELERIAC_HEARTBEAT_S \(5\)"),
        ("CELERIAC_BROKER_URL", "http://:secret@host", "must be like redis://"),
        ("CELERIAC_WEB_PUBLIC_URL", "tuning.example", "must be like https://tuning.example"),
    ],
)
def test_a_value_out_of_range_names_variable_and_range(variable: str, text: str, what: str) -> None:
    with pytest.raises(SettingInvalid, match=f"^{variable}.*{what}") as caught:
        Settings.from_env({variable: text})
    assert "secret" not in str(caught.value)


def test_the_page_has_every_setting_and_its_default() -> None:
    """docs/reference/settings.md: each row names settings and, in their order, defaults as they are, but for units."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "settings.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:3]] for line in page.splitlines() if line.startswith("| `")]
    told = {
        name: default
        for names, defaults in rows
        for name, default in zip(re.findall(r"`([A-Z_]+)`", names), split_defaults(defaults, names), strict=True)
    }
    internal = {"ready_fd", "stack"}
    assert set(told) == {each.name.upper() for each in fields(Settings)} - {name.upper() for name in internal}
    units = {"KiB": 1024, "MiB": 1024**2}
    for each in fields(Settings):
        if isinstance(each.default, int | float) and not isinstance(each.default, bool) and each.name not in internal:
            number, _, unit = told[each.name.upper()].partition(" ")
            assert float(number) * units.get(unit, 1) == each.default, each.name


def split_defaults(defaults: str, names: str) -> list[str]:
    """One default for each name of the row: the row's own list, or one for all."""
    listed = [each.strip() for each in defaults.split(",")]
    return listed if len(listed) > 1 else listed * names.count("`,") + listed


def test_addresses_come_through_a_descriptor(tmp_path: Path) -> None:
    secrets = os.memfd_create("secrets")
    os.write(secrets, json.dumps({"database_url": "postgresql://d", "broker_url": "redis://b"}).encode())
    env = {"CELERIAC_SECRETS_FD": str(secrets)}
    for _ in range(2):  # it is read, not consumed: a restarted child finds it again
        settings = Settings.from_env(env, home=tmp_path)
        assert (settings.database_url, settings.broker_url) == ("postgresql://d", "redis://b")
    os.close(secrets)


def test_an_unreadable_descriptor_is_named() -> None:
    with pytest.raises(SettingInvalid, match="CELERIAC_SECRETS_FD=9999"):
        Settings.from_env({"CELERIAC_SECRETS_FD": "9999"})


def test_a_running_stack_is_found_and_a_given_address_wins(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text(json.dumps({"database_url": "d1", "broker_url": "b1"}))
    assert Settings.from_env({}, home=tmp_path).database_url == "d1"
    both = {"CELERIAC_DATABASE_URL": "mine", "CELERIAC_BROKER_URL": "redis://mine"}
    given = Settings.from_env(both, home=tmp_path)
    assert (given.database_url, given.broker_url) == ("mine", "redis://mine")
    for name in both:  # rows of one service and tickets of another
        with pytest.raises(SettingInvalid, match=f"{name} is set and .* is not, while a stack runs on"):
            Settings.from_env({name: both[name]}, home=tmp_path)


PASSWORD = "a/b@c#d%e f?g:h"


def test_a_password_of_its_own_may_hold_any_character(tmp_path: Path) -> None:
    settings = Settings.from_env(
        {
            "CELERIAC_DATABASE_URL": "postgresql+psycopg://celeriac_worker@postgres:5432/celeriac",
            "CELERIAC_DATABASE_PASSWORD": PASSWORD,
            "CELERIAC_BROKER_URL": "redis://redis:6379/0",
            "CELERIAC_BROKER_PASSWORD": PASSWORD,
        },
        home=tmp_path,
    )
    database, broker = parsed(settings.database_url), url_to_parts(settings.broker_url)
    assert (database.username, database.password) == ("celeriac_worker", PASSWORD)
    assert (database.host, database.port, database.database) == ("postgres", 5432, "celeriac")
    assert (broker.password, broker.hostname, broker.port) == (PASSWORD, "redis", 6379)


@pytest.mark.parametrize("password", ["a/b", "a@b", "a#b", "a%b", "a?b", "a b"])
@pytest.mark.parametrize(
    ("name", "before", "after"),
    [("DATABASE", "postgresql+psycopg://celeriac:", "@postgres/celeriac"), ("BROKER", "redis://:", "@redis:6379/0")],
)
def test_a_password_that_an_address_cannot_hold_is_refused_and_not_shown(
    tmp_path: Path, password: str, name: str, before: str, after: str
) -> None:
    env = {f"CELERIAC_{name}_URL": before + "secret" + password + after}
    with pytest.raises(SettingInvalid, match=f"CELERIAC_{name}_PASSWORD") as caught:
        Settings.from_env(env, home=tmp_path)
    assert "secret" not in str(caught.value)
    with pytest.raises(SettingInvalid, match="leave one out") as caught:
        Settings.from_env(
            {f"CELERIAC_{name}_URL": f"{before}secret{after}", f"CELERIAC_{name}_PASSWORD": "other"}, home=tmp_path
        )
    assert "secret" not in str(caught.value)


def test_who_stops_a_stack_needs_not_read_what_it_says_of_itself(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text("{")
    command = [sys.executable, "-m", "celeriac.local", "down", "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"no stack runs on {tmp_path}\n")


def test_a_broken_stack_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text("{")
    with pytest.raises(StackError, match=r"is unreadable .*celeriac down"):
        Settings.from_env({}, home=tmp_path)


def test_labels_are_words_with_values() -> None:
    assert labels_of("region=eu, gpu=h100") == {"region": "eu", "gpu": "h100"}
    for bad in ("region", "region=", "=eu", "a b=c", "a=1,a=2"):
        with pytest.raises(SettingInvalid, match=r"CELERIAC_LABELS=.*must be like region=eu,gpu=h100"):
            Settings.from_env({"CELERIAC_LABELS": bad})
