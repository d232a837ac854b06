"""`celeriac.tune` in a real Jupyter kernel: what its cells show, drawn by Chromium."""

import os
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from playwright.sync_api import sync_playwright

from benchmarks.doors.test_dashboard import CHROMIUM, SHOT
from benchmarks.embedded import Embedded

CELLS = (
    """%%writefile train.py
import time

def objective(trial):
    time.sleep(0.4)
    return (trial.params["x"] - 0.3) ** 2""",
    """from celeriac import tune
from train import objective

study = tune(objective, {"x": {"float": [0.0, 1.0]}}, goal="minimize", trials=8, name="in-a-notebook")""",
    "study",
    "study.trials()[['number', 'state', 'params.x', 'score']]",
    "study.best",
    "study.plot('history')",
)


class Listening(NotebookClient):  # type: ignore[misc] # nbclient is not read by mypy
    """Keeps what each cell showed, in the order in which the kernel said it."""

    def __init__(self, notebook: Any, **more: Any) -> None:
        super().__init__(notebook, **more)
        self.shown: list[tuple[int, str, str]] = []

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        """As the client does, and kept."""
        data = msg["content"].get("data", {})
        if "text/html" in data:
            self.shown.append((cell_index, msg["msg_type"], data["text/html"]))
        return super().process_message(msg, cell, cell_index)


def test_a_notebook_shows_the_study_live_and_its_trials_as_a_frame(stack: Embedded, tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(each) for each in CELLS])
    client = Listening(notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={**os.environ, "CELERIAC_HOME": str(stack.home)})
    live = [(kind, html) for cell, kind, html in client.shown if cell == 1]
    assert [kind for kind, _ in live] == ["display_data"] + ["update_display_data"] * (len(live) - 1)
    assert len({html for _, html in live}) >= 3, "the table follows the study"
    assert "8 of 8 trials" in live[-1][1]
    assert len([each for each in notebook.cells[1].outputs if "data" in each]) == 1, "one table, always the newest"
    by_cell = {cell: html for cell, _, html in client.shown}
    assert "in-a-notebook" in by_cell[2]
    assert by_cell[3].count("<tr") == 9, "a row a trial, and the head"
    assert "SCORED" in by_cell[3]
    with stack.client() as service:
        best = service.study("in-a-notebook").best
    assert best is not None
    assert str(best.score) in by_cell[4]
    [picture] = [each["data"] for each in notebook.cells[5].outputs if "data" in each]
    assert any(kind.startswith("application/vnd.vegalite") for kind in picture), list(picture)
    _drawn(tmp_path / "notebook.html", notebook, SHOT.with_name("notebook.png"))


def _drawn(page: Path, notebook: Any, shot: Path) -> None:
    """The cells and their tables as a page, and its picture; each table has its rows in the browser too."""
    parts = ["<!doctype html><meta charset=utf-8><style>body{font:14px sans-serif}pre{background:#eee}</style>"]
    for cell in notebook.cells:
        parts.append(f"<pre>{escape(cell.source)}</pre>")
        for output in cell.outputs:
            parts.append(output.get("data", {}).get("text/html", ""))
            if "image/png" in output.get("data", {}):
                parts.append(f"<img src='data:image/png;base64,{output['data']['image/png']}'>")
    page.write_text("\n".join(parts))
    shot.parent.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 900, "height": 700})
        view.goto(page.as_uri())
        assert view.locator("table").count() >= 4
        assert view.locator("table.dataframe tbody tr").count() == 8
        view.screenshot(path=str(shot), full_page=True)
        browser.close()
