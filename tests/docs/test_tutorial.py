"""The tutorial is run as a reader would: its files are written and its commands run, in their order, in an empty
folder.

Only the installation is left out: the tests run in one.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-night.md"
STEP = re.compile(
    r"Save this as `(?P<name>[\w.]+)`:\n\n```\w+\n(?P<text>.*?)```|```console\n(?P<commands>.*?)```", re.DOTALL
)


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.timeout(600)
def test_every_command_of_the_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    here = tmp_path / "weather"
    here.mkdir()
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "CELERIAC_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    said: dict[str, str] = {}
    try:
        for step in STEP.finditer(PAGE.read_text()):
            if step["name"]:
                (here / step["name"]).write_text(step["text"])
            for command in (step["commands"] or "").splitlines():
                words = command.removeprefix("$ ")
                done = subprocess.run(
                    ["bash", "-c", words], cwd=here, env=environment, capture_output=True, text=True, timeout=300
                )
                assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
                said[words] = said.get(words, "") + done.stdout
    finally:
        subprocess.run(["celeriac", "down"], env=environment, check=False, capture_output=True)
    assert "all 10 trials are finished" in said["celeriac run study.yaml"]
    assert "all 14 trials are finished" in said["celeriac watch weather"]
    assert "lr: " in said["celeriac best weather --yaml"]
    assert (here / "pictures" / "index.html").is_file()
    assert said["celeriac schedule fire weather-nightly"].count("weather-nightly/airport=") == 3
    watched = said["celeriac schedule watch weather-nightly"]
    assert watched.count(": PROMOTED: ") + watched.count(": KEPT: ") == 3
    shown = said["celeriac schedule show weather-nightly"]
    assert shown.count("SEARCHING") == shown.count("the slice has no champion yet") == 3
    assert "celeriac champion" in PAGE.read_text()
    assert "airport=JFK" in said["celeriac champions"]
