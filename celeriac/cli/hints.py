"""The commands that the command suggests, as they must be typed here: with its `--home`, quoted for the shell."""

import shlex
from pathlib import Path

_given: dict[str, Path | None] = {"home": None}


def remember(home: Path | None) -> None:
    """Which home this command was given: what it suggests needs the same."""
    _given["home"] = home


def command(*words: object) -> str:
    """`celeriac best digits --yaml`, ready to be pasted."""
    home = _given["home"]
    where = [] if home is None else ["--home", str(home)]
    return shlex.join(["celeriac", *map(str, words), *where])
