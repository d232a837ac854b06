"""`celeriac.tune`: a function at hand, tuned on this machine or on the service that the environment names.

The function must be importable by the workers: a module-level one, in a file of its own.
"""

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from celeriac.client.client import Client
from celeriac.client.embedded import attached, ensure_service
from celeriac.client.progress import line_of
from celeriac.client.study import Study
from celeriac.domain.errors import SpecInvalid
from celeriac.domain.space import Space
from celeriac.domain.study_file import parse
from celeriac.runtime.settings import Settings


def tune(
    objective: Callable[..., Any],
    space: Space | Mapping[str, Any],
    *,
    goal: str,
    metric: str = "score",
    trials: int = 30,
    name: str | None = None,
    home: str | Path | None = None,
    slots: int = 0,
    timeout: float | None = None,
    progress: bool = True,
    **more: Any,
) -> Study:
    """Tune `objective` over `space` and return the closed study; `study.best.params` is the answer.

    `goal` is "maximize" or "minimize". `progress` writes a line to stderr whenever something changes.
    Starts an embedded stack with `slots` slots when no service answers. `name` defaults to one made of the function
    and all that is asked here, so that the same call goes on where it was. `timeout` is how long to wait, in seconds;
    `more` are further keys of a study file (`default`, `seed`, `sampler`, `parallel`, `resources`, `retry`, …). Raises
    SpecInvalid for an objective that workers cannot import, and what `Client.submit` and `Study.wait` raise.
    """
    module, root = _home_of(objective)
    asked = {
        "objective": f"{module}:{objective.__name__}",
        "code": str(root),
        "metric": {"name": metric, "goal": goal},
        "space": space.to_dict() if isinstance(space, Space) else space,
        "budget": {"trials": trials},
        **more,
    }
    spec = parse({"study": name or _name(objective, asked), **asked}, source="tune")
    settings = Settings.from_env(home=None if home is None else Path(home))
    with attached(settings):
        settings = ensure_service(settings, slots=slots, say=lambda line: print(line, file=sys.stderr))
        client = Client(settings)
        study = client.submit(spec)
        return study.wait(timeout, look=_Lines(client, study) if progress else lambda: None)


class _Lines:
    """Says on stderr what has changed since the last look."""

    def __init__(self, client: Client, study: Study) -> None:
        self._client, self._study, self._said = client, study, ""

    def __call__(self) -> None:
        line = line_of(self._client.progress(self._study))
        if line != self._said:
            print(line, file=sys.stderr, flush=True)
        self._said = line


def _name(objective: Callable[..., Any], asked: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    return f"{objective.__name__}-{digest[:8]}"


def _home_of(objective: Callable[..., Any]) -> tuple[str, Path]:
    """The module that workers import the function from, and the directory that must be on their path."""
    label = getattr(objective, "__qualname__", repr(objective))
    module = getattr(objective, "__module__", None)
    if not inspect.isfunction(objective) or label != objective.__name__ or label == "<lambda>":
        raise SpecInvalid(f"tune: {label} is no module-level function: workers import the objective by module and name")
    file = inspect.getsourcefile(objective)
    if module in (None, "__main__") or file is None or not Path(file).is_file():
        raise SpecInvalid(
            f"tune: {label} lives in {module}, which workers cannot import: write it to a file of its own, such as"
            f" train.py (in a notebook: `%%writefile train.py` as the first line of its cell), with all that it needs,"
            f" and `from train import {label}`"
        )
    path = Path(file).resolve()
    depth = len(str(module).split(".")) - (path.stem != "__init__")
    return str(module), path.parents[depth]
