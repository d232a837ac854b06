"""How a trial's code is called: what its objective is written for (`api`), or the command line that is run instead.

Rule: a command is split into words once, here, as a shell would; a value takes the place of `{name}` within its word,
and never makes a second word of it, nor a shell's program.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from celeriac.domain.space import nearest

OPTUNA = "optuna"
APIS = (OPTUNA,)
#: What a command may name beside its parameters.
TOLD = ("celeriac.study", "celeriac.trial", "celeriac.attempt", "celeriac.seed", "celeriac.device", "celeriac.start")

_PLACE = re.compile(r"\{\{|\}\}|\{([^\W\d][\w.-]*)\}")
_OF_A_SHELL = frozenset({"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"})
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish"})


def words_of(command: str) -> list[str]:
    """The words of a command line, quotes removed. Raises ValueError for a quote that is not closed."""
    return shlex.split(command)


def named_in(word: str) -> list[str]:
    """The names that a word wants values of."""
    return [found[1] for found in _PLACE.finditer(word) if found[1]]


def command_flaws(command: str, parameters: Iterable[str] | None) -> list[str]:
    """What is wrong with a command line; `parameters` are those of the study's space, None while that is unsound."""
    try:
        words = words_of(command)
    except ValueError as error:
        return [f"cannot be split into words: {str(error)[:1].lower()}{str(error)[1:]}"]
    found = [
        f"is not run by a shell, so {word!r} would be a word like any other: put that into a script and run the script"
        for word in words
        if word in _OF_A_SHELL
    ]
    if named_in(words[0]):
        found.append("begins with a value: its first word is the program, and stays the same for all trials")
    if words[0].rpartition("/")[2] in _SHELLS and any(named_in(word) for word in _programs(words)):
        found.append(
            "puts a value into a shell's program, which would run what the value says: give it as a word after"
        )
    known = None if parameters is None else [*parameters, *TOLD]
    for name in dict.fromkeys(name for word in words for name in named_in(word)):
        if known is not None and name not in known:
            found.append(f"names {{{name}}}, which is no parameter of the space; {nearest(name, known)}")
    return found


def _programs(words: list[str]) -> list[str]:
    """The words that a shell takes for its program: those after an option with a `c` in it."""
    return [word for option, word in pairwise(words[1:]) if re.fullmatch(r"-[a-zA-Z]*c[a-zA-Z]*", option)]


def filled(command: str, values: Mapping[str, Any]) -> list[str]:
    """The words to run, each value in its place. A word whose parameter is not active is left out, and so is the
    option before it where the word is nothing but that value: `--momentum {momentum}`.
    """
    made: list[str] = []
    for word in words_of(command):
        if any(name not in values for name in named_in(word)):
            if _PLACE.fullmatch(word) and made and made[-1].startswith("-"):
                made.pop()
            continue
        made.append(_PLACE.sub(lambda found: _written(found, values), word))
    return made


def _written(found: re.Match[str], values: Mapping[str, Any]) -> str:
    if not found[1]:
        return found[0][0]
    value = values[found[1]]
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
