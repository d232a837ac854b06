"""The home: one `up` at a time, private files, and a tag and a socket directory that are its own."""

import fcntl
import os
import stat
from pathlib import Path

import pytest

from celeriac.domain.errors import StackError
from celeriac.local.home import Home, write_private


def test_a_second_holder_is_told_who_holds_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    held = home.lock()
    assert home.holder() == os.getpid()
    with pytest.raises(StackError, match=rf"already runs on .*pid {os.getpid()}.*celeriac down"):
        home.lock()
    os.close(held)
    assert home.holder() is None


def test_directories_and_secrets_are_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.make()
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700
    login = home.flower_login()
    assert home.flower_login() == login
    assert len(login[1]) >= 12
    assert stat.S_IMODE((home.run / "secrets.json").stat().st_mode) == 0o600


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "stack.json"
    write_private(target, {"pid": 1})
    write_private(target, {"pid": 2})
    assert '"pid": 2' in target.read_text()
    assert [each.name for each in tmp_path.iterdir()] == ["stack.json"]


def test_onlookers_are_seen(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.make()
    assert not home.somebody_looks_on()
    with (home.run / "attached").open("w") as attached:
        fcntl.flock(attached, fcntl.LOCK_SH)
        assert home.somebody_looks_on()
    assert not home.somebody_looks_on()


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="choose another with --home"):
        Home(tmp_path / "file" / "home").make()
