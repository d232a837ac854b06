"""Settings: every variable is typed, named in its error, and found in the three places the head of the module lists."""

import json
import os
from dataclasses import fields
from pathlib import Path

import pytest

from celeriac.errors import SettingInvalid, StackError
from celeriac.settings import Settings


def test_defaults_live_under_home(tmp_path: Path) -> None:
    settings = Settings.from_env({}, home=tmp_path)
    assert settings.checkpoint_root == tmp_path / "checkpoints"
    assert settings.log_root == tmp_path / "logs"
    assert settings.host == os.uname().nodename
    assert not settings.has_service


def test_every_field_has_its_variable(tmp_path: Path) -> None:
    for each in fields(Settings):
        wanted = {bool: True, int: 7, float: 7.5, str: "text"}.get(type(each.default), tmp_path / each.name)
        found = Settings.from_env({"CELERIAC_" + each.name.upper(): str(wanted)}, home=None)
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
    mixed = Settings.from_env({"CELERIAC_DATABASE_URL": "mine"}, home=tmp_path)
    assert (mixed.database_url, mixed.broker_url) == ("mine", "b1")


def test_a_broken_stack_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stack.json").write_text("{")
    with pytest.raises(StackError, match="is unreadable"):
        Settings.from_env({}, home=tmp_path)
