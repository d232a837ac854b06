"""Every example of docs/how-to/come-from.md, run as it stands there against the real library on a real stack."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.embedded import Embedded
from celeriac.domain.records import StudyState

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "come-from.md"
MOST_LINES = 10
_FILE = re.compile(r"`(\w+\.(?:py|yaml|sh))`[^`]*:$")


@dataclass(frozen=True)
class Example:
    """A section's files, and what is run."""

    name: str
    files: dict[str, str]
    command: list[str]


def examples() -> list[Example]:
    """The sections of the page that have a command."""
    found = []
    for section in PAGE.read_text().split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        files: dict[str, str] = {}
        command: list[str] = []
        for block in re.findall(r"[^\n]*:\n\n(?: {4}[^\n]*\n|\n(?= {4}))+", body):
            head, _, code = block.partition("\n\n")
            text = re.sub(r"^ {4}", "", code, flags=re.MULTILINE)
            name = re.search(r"`(\w+\.(?:py|yaml|sh))`[^:]*:$", head)
            if name is not None:
                files[name[1]] = text
            elif text.startswith("$ "):
                command = shlex.split(text[2:])
        if command:
            found.append(Example(title, files, command))
    return found


EXAMPLES = examples()


def test_the_page_has_all_the_ways_in() -> None:
    assert [each.name for each in EXAMPLES] == ["Optuna", "A plain command", "A notebook", "Hydra", "scikit-learn"]


@pytest.mark.parametrize("example", EXAMPLES, ids=[each.name for each in EXAMPLES])
def test_an_example_runs_as_it_stands(example: Example, stack: Embedded, tmp_path: Path) -> None:
    for name, text in example.files.items():
        (tmp_path / name).write_text(text)
        assert len([line for line in text.splitlines() if line.strip()]) <= MOST_LINES, name
    program, *words = example.command
    start = [sys.executable, "-m", "celeriac.cli"] if program == "celeriac" else [sys.executable]
    environment = {**os.environ, "CELERIAC_HOME": str(stack.home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    with stack.client() as client:
        newest = client.studies(1)[0]
        record = newest.record
        assert record.state is StudyState.DONE, record.reason
        assert record.counts.failed == 0
        assert newest.best is not None
