"""The programs of the stack: what is started, with which arguments, and in which order it is stopped. Pure: it starts
nothing.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from celeriac.runtime.settings import PREFIX, Settings


@dataclass(frozen=True, slots=True)
class Program:
    """One program of ours. `announces`: it says when it is ready, and `up` waits for that."""

    name: str
    argv: tuple[str, ...]
    announces: bool


def programs(settings: Settings, *, slots: int | None, flower: bool) -> tuple[Program, ...]:
    """All programs in the order of their start; they are stopped in the reverse order, so the node hands its trials
    back first.

    `slots`: number of CPU slots; None leaves it to the node, which takes one a GPU, or what the host's CPU bears.
    """

    def program(name: str, *words: str, announces: bool = True) -> Program:
        return Program(name, (sys.executable, "-P", "-m", *words), announces)

    node = ("worker",) if slots is None else ("worker", "--slots", str(slots))
    listed = [
        program("drive", "coordinator", "drive"),
        program("clock", "coordinator", "clock"),
        program("beat", "coordinator", "beat", announces=False),
    ]
    if flower:
        listed.append(program("flower", "coordinator", "flower", announces=False))
    return (*listed, program("node", *node))


def environment(
    base: Mapping[str, str], settings: Settings, *, secrets_fd: int, ready_fd: int | None, tag: str
) -> dict[str, str]:
    """The environment of one program: the starter's own, the home, and descriptors instead of addresses and
    passwords.
    """
    kept = {key: value for key, value in base.items() if key not in _SECRET}
    given = {
        PREFIX + "HOME": str(settings.home),
        PREFIX + "SECRETS_FD": str(secrets_fd),
        PREFIX + "STACK": tag,
        "PYTHONUNBUFFERED": "1",
    }
    if ready_fd is not None:
        given[PREFIX + "READY_FD"] = str(ready_fd)
    return {**kept, **given}


_SECRET = frozenset(
    PREFIX + name
    for name in (
        "DATABASE_URL",
        "BROKER_URL",
        "DATABASE_PASSWORD",
        "BROKER_PASSWORD",
        "COORDINATOR_PASSWORD",
        "WORKER_PASSWORD",
        "FLOWER_USER",
        "FLOWER_PASSWORD",
        "READY_FD",
    )
)
