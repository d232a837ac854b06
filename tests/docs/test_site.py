"""The documentation as a site: it builds without a warning, so each link and anchor leads somewhere, and the Python API
is drawn from the docstrings.
"""

import os
import subprocess
import sys
from pathlib import Path

from celeriac import Trial

ROOT = Path(__file__).parents[2]


def test_the_site_builds_without_a_warning_and_holds_every_page(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.relative_to(ROOT / "docs").with_suffix("") for page in (ROOT / "docs").rglob("*.md")}
    made = {page.parent.relative_to(tmp_path) for page in tmp_path.rglob("index.html")}
    assert {page for page in pages if page.name != "README"} <= made
    words = "stop here if that was asked for"
    assert words in str(Trial.report.__doc__)
    assert words in (tmp_path / "reference" / "python" / "index.html").read_text()
