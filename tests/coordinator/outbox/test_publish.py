"""Champions are published in one step: whoever reads `current` sees one whole version, whoever writes it."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from celeriac.domain.records import Publication
from celeriac.runtime.artefacts import ArtefactDamaged, Artefacts, open_artefacts
from celeriac.runtime.artefacts.api import hashed
from coordinator.outbox.publish import publish
from tests.celeriac.runtime.artefacts.roots import BUCKET

SLICE = {"airport": "JFK"}
PLACE = "champions/flights/airport=JFK"

#: A publisher in a process of its own, of versions VERSIONS; each model is made of its version's number.
PUBLISHER = """
import json, sys
from celeriac.domain.records import Artefact
from celeriac.runtime.artefacts import open_artefacts
from coordinator.outbox.publish import publish
from tests.coordinator.outbox.test_publish import record
root = open_artefacts(sys.argv[1])
for version in map(int, sys.argv[2:]):
    publish(root, record(root, version))
"""

#: A reader in a process of its own: follows `current` until it is told that it is over, and once more after that.
READER = """
import json, select, sys
import fsspec
root, over = sys.argv[1] + "/champions/flights/airport=JFK", False
fs = fsspec.filesystem("s3", use_listings_cache=False)
while True:
    last = over
    try:
        version = json.loads(fs.cat_file(f"{root}/current"))["version"]
    except FileNotFoundError:
        version = None
    if version is not None:
        here = f"{root}/versions/{version:012d}"
        assert fs.cat_file(f"{here}/model") == b"%d\\n" % version * 5000
        assert json.loads(fs.cat_file(f"{here}/record.json"))["version"] == version
        assert json.loads(fs.cat_file(f"{here}/params.json")) == {"version": version}
        print(version)
    if last:
        break
    over = bool(select.select([sys.stdin], [], [], 0)[0])
"""


def record(root: Artefacts, version: int, *, data: bytes | None = None) -> Publication:
    """A publication whose every file tells its version; its model is put there first."""
    local = Path(tempfile.gettempdir(), f"celeriac-model-{os.getpid()}-{threading.get_ident()}")
    local.write_bytes(data or b"%d\n" % version * 5000)
    model = hashed(local, f"models/9/{version}-{os.getpid()}")
    root.put(local, model.path)
    local.unlink()
    return Publication(
        schedule="flights",
        slice=SLICE,
        version=version,
        study=f"flights/airport=JFK/{version}",
        trial=3,
        params={"version": version},
        score=0.5,
        metrics={},
        reason="better",
        decided_at=datetime(2026, 3, 1, tzinfo=UTC),
        code=f"code-{version}",
        model=model,
    )


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "artefacts")


@pytest.fixture
def root(address: str) -> Artefacts:
    return open_artefacts(address)


def test_current_holds_model_parameters_record_and_code(root: Artefacts, address: str) -> None:
    published = publish(root, record(root, 41))
    assert (published.version, published.is_new, published.reason) == (41, True, "the slice's first version")
    current = Path(address, PLACE, "current")
    assert current.is_symlink()
    assert os.readlink(current) == "versions/000000000041"
    assert sorted(each.name for each in current.iterdir()) == ["code.txt", "model", "params.json", "record.json"]
    assert json.loads((current / "params.json").read_text()) == {"version": 41}
    assert (current / "code.txt").read_text() == "code-41\n"
    told = json.loads((current / "record.json").read_text())
    assert (told["schedule"], told["slice"], told["version"], told["score"]) == ("flights", SLICE, 41, 0.5)
    assert told["decided_at"] == "2026-03-01T00:00:00+00:00"
    assert told["model"]["sha256"] == hashed(current / "model").sha256


def test_a_repeat_changes_nothing_and_an_older_version_that_comes_late_neither(root: Artefacts, address: str) -> None:
    publish(root, record(root, 41))
    publish(root, record(root, 43))
    late, again = publish(root, record(root, 42)), publish(root, record(root, 43, data=b"other"))
    assert (late.is_new, again.is_new) == (False, False)
    assert late.reason == "version 43 came later and is published"
    assert Path(address, PLACE, "current", "model").read_bytes() == b"43\n" * 5000
    assert not Path(address, PLACE, "versions", "000000000042").exists()


def test_a_roll_back_is_a_version_with_the_earlier_model(root: Artefacts, address: str) -> None:
    first = record(root, 41)
    publish(root, first)
    publish(root, record(root, 42))
    back = publish(root, replace(first, version=43, reason="rolled back by ann"))
    assert back.is_new
    current = Path(address, PLACE, "current")
    assert (current / "model").read_bytes() == b"41\n" * 5000
    assert json.loads((current / "params.json").read_text()) == {"version": 41}
    assert json.loads((current / "record.json").read_text())["reason"] == "rolled back by ann"


def test_a_champion_without_a_model_is_published_without_one(root: Artefacts, address: str) -> None:
    publish(root, replace(record(root, 1), model=None))
    assert not Path(address, PLACE, "current", "model").exists()
    assert json.loads(Path(address, PLACE, "current", "record.json").read_text())["model"] is None


def test_a_model_that_was_changed_is_not_published(root: Artefacts, address: str) -> None:
    publish(root, record(root, 1))
    spoiled = record(root, 2)
    assert spoiled.model is not None
    Path(address, spoiled.model.path).write_text("spoiled")
    with pytest.raises(ArtefactDamaged, match=r"was changed after it was kept"):
        publish(root, spoiled)
    assert Path(address, PLACE, "current", "model").read_bytes() == b"1\n" * 5000
    assert [each.name for each in Path(address, PLACE, "versions").iterdir()] == ["000000000001"]


def test_a_reader_sees_whole_versions_only_while_others_publish_and_die(address: str) -> None:
    """Three publishers in processes of their own, one of them killed while it works; a reader all the while."""
    versions = [list(map(str, range(start, 91, 3))) for start in (1, 2, 3)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PUBLISHER, address]
    publishers = [subprocess.Popen([*command, *each], env=environment) for each in versions]
    current = Path(address, PLACE, "current")
    seen: list[int] = []
    while any(each.poll() is None for each in publishers):
        if not current.exists():
            continue
        here = current.resolve()  # a reader follows the link once
        version = json.loads((here / "record.json").read_text())["version"]
        assert (here / "model").read_bytes() == b"%d\n" % version * 5000
        assert json.loads((here / "params.json").read_text()) == {"version": version}
        assert (here / "code.txt").read_text() == f"code-{version}\n"
        seen.append(version)
        if version > 45 and publishers[0].poll() is None:
            publishers[0].kill()
    assert [each.wait() for each in publishers[1:]] == [0, 0]
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert current.resolve().name == "000000000090"


def test_on_s3_a_reader_sees_whole_versions_only_and_never_an_older_one(s3: dict[str, str]) -> None:
    """The same on a server that speaks S3: two publishers in processes of their own, and a reader all the while."""
    environment = {**os.environ, **s3, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    address = f"s3://{BUCKET}/published"
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, address],
        env=environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    command = [sys.executable, "-c", PUBLISHER, address]
    publishers = [subprocess.Popen([*command, *map(str, range(start, 21, 2))], env=environment) for start in (1, 2)]
    assert [each.wait() for each in publishers] == [0, 0]
    told, _ = reader.communicate("over\n")
    assert reader.returncode == 0
    seen = [int(line) for line in told.split()]
    assert seen == sorted(seen)
    assert seen[-1] == 20
