"""One stack and one browser for all tests of the board, and a study and a schedule whose trials take half a second."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from benchmarks.embedded import Embedded, embedded
from celeriac.client import Client
from celeriac.local.owner import admit
from tests.servers import free_port

PICTURES = Path(__file__).parent.parent / "build" / "web"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
LOOKS = ("light", "dark", "phone")

CODE = '''"""A training that takes half a second: an arch over lr, noisy by its seed."""

import math
import random
import time

from celeriac import Result, Trial


def objective(trial: Trial) -> Result:
    luck = random.Random(f"{trial.seed}/{trial.params['lr']}")
    top = 0.95 - 0.08 * (math.log10(trial.params["lr"]) + 2) ** 2 - (0.03 if trial.params["kind"] == "b" else 0.0)
    for step in range(trial.start, 6):
        time.sleep(0.08)
        print(f"epoch {step}: accuracy {top * (1 - 0.5 * 0.5 ** step):.4f}", flush=True)
        trial.report(top * (1 - 0.5 * 0.5 ** step) + luck.gauss(0, 0.002), step=step)
    blocks = [top + luck.gauss(0, 0.002) for _ in range(24)]
    return Result(sum(blocks) / len(blocks), holdout=blocks)
'''
STUDY = """study: arch
objective: train:objective
code: {code}
metric: {{name: accuracy, goal: maximize}}
space:
  lr:   {{float: [1e-4, 1e-1], log: true}}
  kind: {{choice: [a, b]}}
default: {{lr: 0.0005, kind: b}}
sampler: random
seed: 7
budget: {{trials: {trials}}}
"""
SCHEDULE = (
    STUDY.replace("study: arch", "study: nightly")
    + """schedule:
  name: nightly
  cron: "0 3 1 1 *"
  slices: {{region: [eu]}}
  gate: {{require_approval: true}}
"""
)


@dataclass
class Board:
    """A running stack, its board's address, and where its objective lies."""

    stack: Embedded
    address: str
    code: Path

    def client(self) -> Client:
        """A client of the stack."""
        return self.stack.client()

    def link(self) -> str:
        """An address that lets a browser in once."""
        return f"{self.address}/login/once?code={admit(self.stack.settings)}"


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """The stack with two slots, and its board."""
    code = tmp_path_factory.mktemp("code")
    (code / "train.py").write_text(CODE)
    with embedded(2, flower=True, environment={"CELERIAC_WEB_PORT": str(free_port())}) as stack:
        address = json.loads(stack.settings.stack_file.read_text())["web_url"]
        yield Board(stack, address, code)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own."""
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield found
        found.close()


Enter = Callable[..., Page]


def is_fault(said: ConsoleMessage) -> bool:
    """Whether the browser complains of the page, and not only of an answer such as 404."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


@pytest.fixture
def enter(board: Board, chromium: Browser) -> Iterator[Enter]:
    """`enter(look)`: a page of a browser that is logged in; each fault of its scripts fails the test, and so does each
    request to another host.
    """
    opened: list[BrowserContext] = []
    faults: list[str] = []

    def open_page(look: str = "light", *, bypass_csp: bool = False) -> Page:
        context = chromium.new_context(
            viewport=PHONE if look == "phone" else DESK,  # type: ignore[arg-type]
            color_scheme="dark" if look == "dark" else "light",
            bypass_csp=bypass_csp,
        )
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if is_fault(said) else None)
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((board.address, "data:")) else faults.append(asked.url),
        )
        page.set_default_timeout(20_000)
        page.goto(board.link())
        return page

    yield open_page
    for each in opened:
        each.close()
    assert faults == []
