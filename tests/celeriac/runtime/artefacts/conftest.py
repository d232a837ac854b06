"""Artefact roots, each kind in turn."""

import uuid
from pathlib import Path

import pytest

from celeriac.runtime.artefacts import Artefacts, open_artefacts
from tests.celeriac.runtime.artefacts.roots import BUCKET


@pytest.fixture(params=["directory", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "directory":
        return str(tmp_path / "artefacts")
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture
def root(address: str) -> Artefacts:
    return open_artefacts(address)
