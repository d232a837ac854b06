"""The study that the proofs train: trials that count steadily, so that each has the score of an undisturbed run."""

from pathlib import Path
from typing import Any

CODE = Path(__file__).parent / "code"


def steady(name: str, trials: int, objective: str = "briefly") -> dict[str, Any]:
    """Its file. `objective`: a function of `code/steady.py`."""
    return {
        "study": name,
        "objective": f"steady:{objective}",
        "code": str(CODE),
        "metric": {"name": "steps", "goal": "maximize"},
        "space": {"x": {"float": [0.0, 1.0]}},
        "sampler": "random",
        "budget": {"trials": trials},
    }
