"""A study opens in optuna-dashboard: looked at through Chromium."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.doors.conftest import answers
from benchmarks.embedded import Embedded
from tests.servers import free_port

SHOT = Path(os.environ.get("OUT", "build")) / "doors" / "optuna-dashboard.png"
CHROMIUM = shutil.which("chromium")  # the system's, or Playwright's own
CODE = "def objective(trial):\n    trial.report(trial.params['x'], step=1)\n    return (trial.params['x'] - 0.3) ** 2\n"


def test_optuna_dashboard_shows_an_export(stack: Embedded, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "seen.py").write_text(CODE)
    spec = {
        "study": "seen-in-the-dashboard",
        "objective": "seen:objective",
        "code": str(tmp_path),
        "metric": {"name": "loss", "goal": "minimize"},
        "space": {"x": {"float": [0.0, 1.0]}, "kind": {"choice": ["a", "b"]}},
        "budget": {"trials": 12},
    }
    with stack.client() as client:
        study = client.submit(spec).wait(120)
        assert study.export("optuna", tmp_path / "all.db") == 12
        best = study.best
        assert best is not None
    port = free_port()
    command = [sys.executable, "-c", "from optuna_dashboard._cli import main; main()"]
    server = subprocess.Popen(
        [*command, f"sqlite:///{tmp_path / 'all.db'}", "--port", str(port), "--host", "127.0.0.1"]
    )
    try:
        answers(f"http://127.0.0.1:{port}/dashboard", server)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            page.goto(f"http://127.0.0.1:{port}/dashboard")
            page.get_by_text("seen-in-the-dashboard").first.click()
            page.get_by_text("Hyperparameter Importance").first.wait_for(timeout=30_000)
            page.locator("text=Best Trial").first.wait_for(timeout=30_000)
            SHOT.parent.mkdir(parents=True, exist_ok=True)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=str(SHOT), full_page=True)
            assert f"{best.score}"[:8] in page.content()
            browser.close()
    finally:
        server.terminate()
        server.wait(10)
