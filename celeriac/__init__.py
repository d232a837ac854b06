"""Celeriac: hyperparameter tuning as a service on a Celery queue. This is the front door.

Names are loaded when first used, so that a training script that says `from celeriac import Trial`
loads the standard library and nothing else.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.client import Client, Study, tune
    from celeriac.domain.errors import CeleriacError
    from celeriac.domain.space import Choice, Float, Int, Space
    from celeriac.pack import Pack
    from celeriac.result import Result
    from celeriac.trial import Trial, current_trial, own_process_group

_HOME = {
    "Client": "celeriac.client",
    "Study": "celeriac.client",
    "tune": "celeriac.client",
    "CeleriacError": "celeriac.domain.errors",
    "Choice": "celeriac.domain.space",
    "Float": "celeriac.domain.space",
    "Int": "celeriac.domain.space",
    "Space": "celeriac.domain.space",
    "Pack": "celeriac.pack",
    "Result": "celeriac.result",
    "Trial": "celeriac.trial",
    "current_trial": "celeriac.trial",
    "own_process_group": "celeriac.trial",
}

__all__ = [
    "CeleriacError",
    "Choice",
    "Client",
    "Float",
    "Int",
    "Pack",
    "Result",
    "Space",
    "Study",
    "Trial",
    "current_trial",
    "own_process_group",
    "tune",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'celeriac' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
