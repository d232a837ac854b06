"""docs/explanation/life-of-a-night.md tells the truth: its five stops exist, where it says, and fit one sitting; it
names every state and every stage.
"""

import importlib
import inspect
import re
from pathlib import Path

from celeriac.domain.records import FiringState, Stage

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "life-of-a-night.md"
STOP = re.compile(r"^\| (\d) \| `([\w.]+)` \|", re.MULTILINE)


def test_the_five_stops_are_where_the_page_says_and_fit_one_sitting() -> None:
    stops = STOP.findall(PAGE.read_text())
    assert [number for number, _ in stops] == list("12345")
    total = 0
    for _, dotted in stops:
        module, _, name = dotted.rpartition(".")
        if module.rpartition(".")[2][0].isupper():  # a class's
            module, _, cls = module.rpartition(".")
            found = getattr(getattr(importlib.import_module(module), cls), name)
        else:
            found = getattr(importlib.import_module(module), name)
        assert found.__module__ == module
        total += len(inspect.getsourcelines(found)[0])
    assert total <= 150


def test_the_page_names_every_state_and_every_stage() -> None:
    text = PAGE.read_text()
    assert [state for state in FiringState if state not in text] == []
    assert [stage for stage in Stage if f"**{str(stage).capitalize()}**" not in text] == []
