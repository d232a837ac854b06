"""The page on serving a champion's model does what it says: its programs are run as they stand there."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from celeriac.runtime.artefacts import open_artefacts
from coordinator.outbox.publish import publish
from tests.celeriac.runtime.artefacts.roots import BUCKET
from tests.coordinator.outbox.test_publish import PLACE, record

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "serve-the-champion.md").read_text()


def program(heading: str) -> str:
    """The first indented block below a heading."""
    lines = PAGE.split(f"## {heading}\n")[1].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("    "))
    block = []
    for line in lines[start:]:
        if line and not line.startswith("    "):
            break
        block.append(line)
    return dedent("\n".join(block))


def run(text: str, tmp_path: Path, environment: dict[str, str] | None = None) -> str:
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(environment or {})}
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=tmp_path, env=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_program_reads_the_model_from_a_directory(tmp_path: Path) -> None:
    root = open_artefacts(str(tmp_path / "artefacts"))
    publish(root, record(root, 41))
    told = run(program("From a directory") + "\nprint(params, open(weights).read(3))", tmp_path)
    assert told == "{'version': 41} 41\n\n"


def test_a_program_reads_the_model_from_s3(tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    root = open_artefacts(f"s3://{BUCKET}/celeriac")
    publish(root, record(root, 41))
    publish(root, record(root, 42))
    run(program("From S3"), tmp_path, s3)
    assert (tmp_path / "model.pt").read_bytes() == b"42\n" * 5000


def test_the_layout_is_the_page_s(tmp_path: Path) -> None:
    root = open_artefacts(str(tmp_path))
    publish(root, record(root, 42))
    there = sorted(os.listdir(tmp_path / PLACE / "versions" / "000000000042"))
    assert f"{PLACE}/current -> versions/000000000042" in PAGE
    assert sorted(["model", "params.json", "record.json", "code.txt"]) == there
    assert f"{PLACE}/versions/000000000042/{{model, params.json, record.json, code.txt}}" in PAGE
