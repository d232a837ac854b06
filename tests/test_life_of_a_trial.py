"""docs/explanation/life-of-a-trial.md tells the truth: its nine stops exist, where it says, and are short enough to
read in one sitting.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

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
