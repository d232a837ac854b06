"""`celeriac.tune`: a function at hand, tuned on this machine or on the service that the environment names.

The function must be importable by the workers: a module-level one, in a file of its own. Over the API (`CELERIAC_URL`)
that file must lie on the service's hosts, below their code root.
"""

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from celeriac.client.run import ran
from celeriac.client.study import Study
from celeriac.domain.errors import SpecInvalid
from celeriac.domain.space import Space
from celeriac.domain.study_file import parse


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

    `goal` is "maximize" or "minimize". `progress` says whenever something changes: in a notebook by a table that stays
    up to date, else by a line on stderr.
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
    return ran(spec, home=home, slots=slots, timeout=timeout, say=_said, changed=_shown_live() if progress else None)


def _said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _shown_live() -> Callable[[Study, str], None]:
    """How a change is shown: in a notebook the study's table, always the newest; else a line on stderr."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or not hasattr(shell, "kernel"):
        return lambda study, line: _said(line)
    from IPython.display import display

    shown: list[Any] = []

    def show(study: Study, line: str) -> None:
        if shown:
            shown[0].update(study)
        else:
            shown.append(display(study, display_id=True))

    return show


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
