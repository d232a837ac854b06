"""What a command line of the documentation must be: each program known, and its words such as that program takes.

`celeriac` is parsed by its own parser and not run.
"""

import ast
import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import typer
from ruamel.yaml import YAML

from celeriac.cli.app import app
from celeriac.domain.errors import CeleriacError
from celeriac.runtime.settings import Settings
from tests.docs.blocks import ROOT

#: Programs of others; what they do is theirs. Those that touch our files are run by a test, which is named.
FOREIGN = {
    *("caddy", "cat", "cd", "curl", "echo", "git", "grep", "mkdir", "set", "ssh", "umask", "uname", "."),
    *("createdb", "dropdb", "pg_dump", "pg_restore", "psql"),  # tests/celeriac/store/test_backup.py
    *("torchrun",),  # tests/examples
    *("sbatch", "useradd", "systemctl", "install"),  # benchmarks/deploy
}
_COMMAND = typer.main.get_command(app)
_REFUSED: Any = typer.BadParameter.__mro__[1]  # what the parser raises for any words that it does not take
_COMPOSE = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
_TEXTS = "\n".join(
    path.read_text()
    for path in (*ROOT.glob("docker-compose*.yml"), *(ROOT / "deploy").rglob("*.*"), ROOT / "celeriac/cli/admin.py")
    if path.is_file()
)
_MAKEFILE = (ROOT / "Makefile").read_text()
_PROJECT = (ROOT / "pyproject.toml").read_text()
_SETTINGS = {f"CELERIAC_{each.name.upper()}" for each in fields(Settings)}
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_WITH_VALUE = {"-v", "--user", "-u", "-e", "--env", "--name", "-p", "-w", "--scale", "--entrypoint"}


def flaws(text: str) -> Iterator[str]:
    """What is wrong with the lines of a shell, one sentence each."""
    text = re.sub(r"^\$ ", "", text, flags=re.MULTILINE)
    text = re.sub(r"<[A-Za-z][^>\n]*>", "PLACE", text)  # `<the repository's address>`: for the reader to fill in
    text = re.sub(r"=…(?=\s|$)|(?<= )…(?= )", "=secret", text)
    read = subprocess.run(["bash", "-n"], input=re.sub(r" =secret ", " ADDRESS ", text), capture_output=True, text=True)
    if read.returncode:
        yield f"no shell reads it: {read.stderr.strip()}"
        return
    for line in text.replace("\\\n", " ").splitlines():
        for words in _segments(line):
            yield from _checked(words)


def _segments(line: str) -> Iterator[list[str]]:
    """The simple commands of one line, without what is redirected."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[str] = []
    words = iter(lexer)
    for word in words:
        if re.fullmatch(r"[<>]+&?|>\|", word):
            next(words, None)
        elif re.fullmatch(r"[();|&]+", word):
            yield found
            found = []
        else:
            found.append(word)
    yield found


def _checked(words: list[str]) -> Iterator[str]:
    words = list(words)
    while words and (words[0] in ("do", "done", "then", "export", "$") or _ASSIGNED.fullmatch(words[0])):
        if given := _ASSIGNED.fullmatch(words[0]):
            yield from _setting_flaws(given[1], given[2])
        words.pop(0)
    if not words or words[0] == "for":
        return
    program = words[0].rpartition("/")[2]
    check = {
        "celeriac": celeriac_flaws,
        "docker": _docker_flaws,
        "make": _make_flaws,
        "python": _python_flaws,
        "python3": _python_flaws,
        "pip": _pip_flaws,
        "kubectl": _kubectl_flaws,
        "cp": _copied_flaws,
    }.get(program)
    if check is not None:
        yield from check(words[1:])
    elif program not in FOREIGN:
        yield f"{program} is no program that the documentation's commands are known to use"


def _setting_flaws(name: str, value: str) -> Iterator[str]:
    if not name.startswith(("CELERIAC_", "REDIS_")):
        return
    if name in _SETTINGS:
        if not re.search(r"[$…]|secret|\(", value):
            try:
                Settings.from_env({name: value.partition(" ")[0]}, running_stack=False)
            except CeleriacError as error:
                yield str(error)
    elif not re.search(rf"\b{name}\b", _TEXTS):
        yield f"{name} is no setting, and no variable of the compose files"


def celeriac_flaws(words: Sequence[str]) -> Iterator[str]:
    """What the command's own parser says against these words; `[--option X]` counts as given."""
    words = [word.strip("[]") for word in words]
    words = ["1" if word == "N" else word for word in words]
    try:
        _parse(["celeriac", *words])
    except typer.Exit:
        pass
    except _REFUSED as error:
        yield f"celeriac {' '.join(words)}: {error.format_message()}"


def _parse(words: list[str]) -> None:
    command: Any = _COMMAND
    parent = None
    while True:
        context = command.make_context(words[0], words[1:], parent=parent)
        if not hasattr(command, "resolve_command"):
            return
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, inner, words = command.resolve_command(context, rest)
        command, parent, words = inner, context, [str(name), *words]


def spoken_flaws(text: str) -> Iterator[str]:
    """What is wrong with a command that is named in a sentence: its name, and each option, must be there."""
    if not text.startswith("celeriac "):
        yield from flaws(text)
        return
    words = text.replace("[", " ").replace("]", " ").split()[1:]
    command: Any = _COMMAND
    while words and not words[0].startswith("-") and hasattr(command, "commands"):
        if words[0] in ("…", "COMMAND"):
            return
        name = words.pop(0).rstrip(",")
        if name not in command.commands:
            yield f"`{text}`: there is no {name!r}"
            return
        command = command.commands[name]
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    for word in words:
        option = word.partition("=")[0].rstrip(",")
        if option.startswith("-") and option not in known:
            yield f"`{text}`: {option} is no option of it"


def _docker_flaws(words: list[str]) -> Iterator[str]:
    if words[0] != "compose":
        if words[0] not in ("build", "ps", "info", "load", "save", "pull"):
            yield f"docker {words[0]} is not known here"
        return
    rest, services = words[1:], _COMPOSE["services"]
    while rest[0] == "-f":
        if not (ROOT / rest[1]).exists():
            yield f"there is no {rest[1]}"
            return
        services = YAML(typ="safe").load((ROOT / rest[1]).read_text())["services"]
        rest = rest[2:]
    verb, *rest = rest
    named = list(_positional(rest))
    several = verb not in ("run", "exec")
    for name in named if several else named[:1]:
        if name not in services:
            yield f"{name} is no service of the compose file"
    if not several:
        inner = rest[rest.index(named[0]) + 1 :]
        yield from _checked([*(services.get(named[0], {}).get("entrypoint") or []), *inner])


def _positional(words: list[str]) -> Iterator[str]:
    given = iter(words)
    for word in given:
        if word in _WITH_VALUE:
            next(given, None)
        elif not word.startswith("-"):
            yield word


def _make_flaws(words: list[str]) -> Iterator[str]:
    for word in words:
        if given := _ASSIGNED.fullmatch(word):
            if not re.search(rf"^{given[1]} *\??=", _MAKEFILE, re.MULTILINE):
                yield f"the Makefile has no variable {given[1]}"
        elif not word.startswith("-") and not re.search(rf"^{word}:", _MAKEFILE, re.MULTILINE):
            yield f"the Makefile has no target {word}"


def _python_flaws(words: list[str]) -> Iterator[str]:
    words = [word for word in words if word != "-P"]
    if words and words[0] == "-c":
        yield from _compiled(words[1])
    elif words and words[0] == "-m":
        try:
            found = importlib.util.find_spec(words[1])
        except ModuleNotFoundError:
            found = None
        if found is None and words[1] != "venv":
            yield f"there is no module {words[1]}"
        if words[1:2] == ["pip"]:
            yield from _pip_flaws(words[2:])


def _compiled(code: str) -> Iterator[str]:
    try:
        ast.parse(code)
    except SyntaxError as error:
        yield f"{code!r}: {error}"


def _pip_flaws(words: list[str]) -> Iterator[str]:
    for extras in re.findall(r"(?:\.|celeriac)\[([\w,-]+)\]", " ".join(words)):
        for extra in extras.split(","):
            if not re.search(rf"^{re.escape(extra)} *= *\[", _PROJECT, re.MULTILINE):
                yield f"there is no extra {extra}"
    if "-c" in words and not (ROOT / words[words.index("-c") + 1].removeprefix("celeriac/")).exists():
        yield "there is no such file of constraints"


def _kubectl_flaws(words: list[str]) -> Iterator[str]:
    for flag in ("-k", "-f"):
        if flag in words and not (ROOT / words[words.index(flag) + 1]).exists():
            yield f"there is no {words[words.index(flag) + 1]}"
    if "--" in words:
        yield from _checked(words[words.index("--") + 1 :])


def _copied_flaws(words: list[str]) -> Iterator[str]:
    for word in words[:-1]:
        if not word.startswith("-") and not any(ROOT.glob(word)):
            yield f"there is no {word}"
