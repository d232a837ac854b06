"""The contract of an artefact root, kept by a directory and by a real server of S3's protocol."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from celeriac.domain.errors import SettingInvalid
from celeriac.domain.records import Artefact
from celeriac.runtime.artefacts import ArtefactDamaged, Artefacts, ArtefactsUnavailable, open_artefacts, version_of
from celeriac.runtime.artefacts.api import fetch, hashed, version_key

PLACE = "champions/flights/airport=JFK"


def kept(root: Artefacts, tmp_path: Path, data: bytes = b"weights" * 1000, key: str = "models/1/0") -> Artefact:
    local = tmp_path / "local"
    local.write_bytes(data)
    root.put(local, key)
    return hashed(local, key)


def test_a_file_comes_back_as_it_went(root: Artefacts, tmp_path: Path) -> None:
    model = kept(root, tmp_path)
    assert root.keys("models") == ["models/1/0"]
    fetch(root, model, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"weights" * 1000
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == ["local", "out"]


def test_a_file_that_was_changed_or_is_gone_is_not_given_out(root: Artefacts, tmp_path: Path) -> None:
    model = kept(root, tmp_path)
    (tmp_path / "out").write_text("what was there")
    with pytest.raises(ArtefactDamaged, match=r"was changed after it was kept"):
        fetch(root, replace(model, sha256="0" * 64), tmp_path / "out")
    root.delete(["models/1/0", "models/1/never"])
    assert root.keys("models") == []
    with pytest.raises(ArtefactDamaged, match=r"models/1/0 is not there"):
        fetch(root, model, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "what was there"


@pytest.mark.parametrize("key", ["../x", "models/../../x", "/etc/x"])
def test_no_key_leads_out_of_the_root(root: Artefacts, tmp_path: Path, key: str) -> None:
    (tmp_path / "local").write_text("x")
    with pytest.raises(ArtefactDamaged, match=r"outside the artefact root"):
        root.put(tmp_path / "local", key)


def test_a_version_holds_texts_and_copies_and_never_changes(root: Artefacts, tmp_path: Path) -> None:
    model, key = kept(root, tmp_path), version_key(PLACE, 7)
    root.pack(key, {"params.json": "{}", "record.json": "first"}, {"model": model})
    root.pack(key, {"params.json": "{}", "record.json": "second"}, {})
    assert root.keys(PLACE) == [f"{key}/{name}" for name in ("model", "params.json", "record.json")]
    root.get(f"{key}/record.json", tmp_path / "record")
    assert (tmp_path / "record").read_text() == "first"
    fetch(root, replace(model, path=f"{key}/model"), tmp_path / "out")
    assert version_of(f"{key}/model", PLACE) == 7
    assert version_of(f"{PLACE}/current", PLACE) is None


def test_a_version_whose_model_is_gone_is_not_made(root: Artefacts, tmp_path: Path) -> None:
    model = kept(root, tmp_path)
    root.delete([model.path])
    with pytest.raises(ArtefactDamaged, match=r"is not there"):
        root.pack(version_key(PLACE, 1), {"record.json": "{}"}, {"model": model})
    assert root.keys(PLACE) == []


def test_current_goes_forward_only(root: Artefacts) -> None:
    assert root.current(PLACE) is None
    steps = [(3, True), (3, False), (2, False), (4, True), (10, True), (9, False)]
    assert [root.advance(PLACE, version) for version, _ in steps] == [moves for _, moves in steps]
    assert root.current(PLACE) == 10


def test_of_many_who_advance_at_once_the_latest_wins_and_none_is_undone(root: Artefacts, address: str) -> None:
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        eyes = open_artefacts(address)
        while not done.is_set():
            seen.append(eyes.current(PLACE) or 0)

    def advance(versions: list[int]) -> None:
        mine = open_artefacts(address)
        for version in versions:
            mine.advance(PLACE, version)

    watcher = threading.Thread(target=watch)
    publishers = [threading.Thread(target=advance, args=(list(range(k, 25, 4)),)) for k in range(1, 5)]
    watcher.start()
    for each in publishers:
        each.start()
    for each in publishers:
        each.join()
    done.set()
    watcher.join()
    assert root.current(PLACE) == 24
    assert seen == sorted(seen)


def test_only_a_directory_or_s3_is_a_root() -> None:
    with pytest.raises(SettingInvalid, match=r"must be a directory or an address of S3"):
        open_artefacts("ftp://host/models")


def test_a_root_that_cannot_be_written_says_which_and_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    root = open_artefacts(str(tmp_path / "file"))
    with pytest.raises(ArtefactsUnavailable, match=r"cannot be written or read: .*CELERIAC_ARTEFACT_ROOT="):
        root.put(tmp_path / "file", "models/1/0")


def test_s3_that_is_away_is_an_error_to_try_again(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**s3, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ArtefactsUnavailable, match=r"s3://models/x/champions"):
        open_artefacts("s3://models/x").current(PLACE)


def test_what_a_program_that_died_left_half_written_goes_a_day_later(tmp_path: Path) -> None:
    root = open_artefacts(str(tmp_path / "artefacts"))
    model, key = kept(root, tmp_path), version_key(PLACE, 7)
    root.pack(key, {"record.json": "{}"}, {"model": model})
    root.advance(PLACE, 7)
    versions = tmp_path / "artefacts" / PLACE / "versions"
    half, new = versions / f".000000000008.{'a' * 32}", versions / f".000000000009.{'b' * 32}"
    for each in (half, new):
        each.mkdir()
        (each / "model").write_text("half")
    os.utime(half, (0, 0))
    before = root.keys(PLACE)
    assert root.tidy("champions", 86_400) == 1
    assert (half.exists(), new.exists()) == (False, True)
    assert set(before) - set(root.keys(PLACE)) == {f"{PLACE}/versions/{half.name}/model"}
    assert root.current(PLACE) == 7
    assert root.keys("models") == [model.path]
