"""docs/explanation/life-of-a-trial.md tells the truth: its nine stops exist, where it says, and are short enough to
read in one sitting; the modules that it names are there.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from celeriac.runtime.broker import BrokerConfig, make_app
from worker.process.frames import PROCESS_TRANSITIONS

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "life-of-a-trial.md"
STOP = re.compile(r"^\| (\d) \| `([\w.]+)` \|", re.MULTILINE)


def _resolve(dotted: str) -> Any:
    """The object behind a dotted name: a module's attribute, or a class's."""
    words = dotted.split(".")
    for cut in range(len(words) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(words[:cut]))
        except ModuleNotFoundError:
            continue
        for word in words[cut:]:
            found = getattr(found, word)
        return inspect.unwrap(getattr(found, "run", found) if hasattr(found, "delay") else found)
    raise AssertionError(f"{dotted} is nowhere")


def test_the_nine_stops_are_where_the_page_says_and_fit_one_sitting(capsys: Any) -> None:
    # A shared task is looked up in the current application: another test may have left one that is closed, and a
    # closed one learns of no task.
    app = make_app(BrokerConfig("redis://localhost:1/0", "test"))
    app.set_current()
    stops = STOP.findall(PAGE.read_text())
    assert [number for number, _ in stops] == list("123456789")
    total = 0
    for number, dotted in stops:
        found = _resolve(dotted)
        lines, first = inspect.getsourcelines(found)
        file = Path(inspect.getsourcefile(found) or "").relative_to(PAGE.parents[2])
        assert str(file).removesuffix(".py").replace("/", ".") in dotted
        total += len(lines)
        print(f"{number} {file}:{first} {dotted} ({len(lines)} lines)")
    assert total <= 450, f"the nine stops have grown to {total} lines: {capsys.readouterr().out}"


def test_every_module_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:celeriac|coordinator|worker)/[\w/]+\.py)`", PAGE.read_text())
    assert len(named) > 20
    assert [name for name in named if not (PAGE.parents[2] / name).is_file()] == []


@pytest.mark.parametrize(
    ("title", "room", "hidden"),
    [
        ("Behind stop 4", "coordinator/suggest", {"messages", "queue", "pool", "assignment", "program", "history"}),
        (
            "Behind stop 7",
            "worker/process",
            {"pool", "server", "child", "channel", "trial_process", "events", "frames"},
        ),
    ],
)
def test_one_paragraph_names_what_is_hidden_behind_a_stop(title: str, room: str, hidden: set[str]) -> None:
    section = re.search(rf"^## {title}.*?\n\n(.*?)\n\n## ", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert section
    assert "\n\n" not in section[1]
    assert hidden <= set(re.findall(rf"`{room}/(\w+)\.py`", section[1]))


def test_the_page_names_the_states_of_a_trials_process() -> None:
    states = ", ".join(str(state).upper() for state in PROCESS_TRANSITIONS)
    assert f"{states}." in PAGE.read_text()
