"""Signs of life: a file whose time says when a program last did its work. Rule: touched after work that succeeded,
never by a timer.

A container's health check looks at the file (`docker-compose.yml`). So a program that still runs and answers pings,
but whose work never comes through, is shown as unhealthy, and is ended when that lasts. A node, whose trials would end
with it, has a second file: it is ended only when its loop stands still.
"""

import logging
from pathlib import Path

log = logging.getLogger(__name__)


def show_life(path: str) -> None:
    """Renew the time of the file at `path`; "" is no file. A place that cannot be written is logged and harms
    nobody.
    """
    if not path:
        return
    try:
        Path(path).touch()
    except OSError as error:
        log.warning("no sign of life in %s: %s", path, error)


def show_turning(path: str) -> None:
    """Renew the time of `<path>.loop`: the program's loop turns, whether or not its work comes through."""
    show_life(path and f"{path}.loop")
