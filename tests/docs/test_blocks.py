"""Every block of code in the documentation is what it says: study files are read by the study file's own reader,
`celeriac` by its own parser, Python follows our own signatures, settings are settings, services are services.

Nothing is left out in silence: what is no code stands in `PICTURES`, with who looks after it.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.study_file import load, parse
from tests.docs import commands, snippets
from tests.docs.blocks import PAGES, ROOT, Block, blocks, spoken

#: Blocks that are no code: the start of each one's first line, and why that is enough.
PICTURES = {
    "README.md: study.yaml ─▶": "a drawing",
    "README.md: night       slice": "an output; examples/flights writes it anew",
    "README.md: digits is DONE": "an output",
    "docs/explanation/architecture.md: study.yaml ──submit": "a drawing",
    "docs/explanation/life-of-a-night.md: DUE ──▶": "a drawing; tests/test_life_of_a_night.py holds the stops",
    "docs/explanation/life-of-a-trial.md: WAITING ─queue": "a drawing; tests/test_life_of_a_trial.py holds the stops",
    "docs/how-to/fleet.md: max_connections = 2": "a formula; tests/celeriac/store/test_connections.py holds it",
    "docs/how-to/serve-the-champion.md: champions/flights": "paths; tests/docs/test_serving.py holds them",
    "docs/reference/cli.md: study     id": "keys of JSON; tests/celeriac/cli/test_docs.py holds them",
    "docs/reference/cli.md: morning   schedule": "keys of JSON; tests/celeriac/cli/test_docs.py holds them",
    "docs/reference/samplers.md: trial 48 of": "an output",
    "examples/flights/README.md: night       slice": "an output; the demo writes it anew",
    "docs/tutorial/first-night.md: weather is DONE": "an output; tests/docs/test_tutorial.py holds its words",
    "docs/tutorial/first-night.md: schedule         slice": "an output; tests/docs/test_tutorial.py holds its words",
}
#: Pages whose programs a test runs as they stand, beside what is looked at here.
RUN = {
    "docs/tutorial/first-night.md": "tests/docs/test_tutorial.py",
    "docs/how-to/come-from.md": "benchmarks/doors/test_page.py",
    "docs/how-to/serve-the-champion.md": "tests/docs/test_serving.py",
    "docs/how-to/backup.md": "tests/celeriac/store/test_backup.py",
}
STUDY = """\
objective: train:objective
metric: {name: loss, goal: minimize}
space:
  depth: {int: [2, 12]}
budget: {trials: 12}
"""
BLOCKS = [block for page in PAGES for block in blocks(page)]
KEYS = {"objective", "study", "resources", "stop_early", "stop_study", "schedule", "pack", "sampler", "command"}


def is_picture(block: Block) -> bool:
    return any(block.title.startswith(name) for name in PICTURES)


def test_each_picture_is_there_once_and_each_test_that_is_named_too() -> None:
    for name in PICTURES:
        assert len([block for block in BLOCKS if block.title.startswith(name)]) == 1, name
    for page, test in RUN.items():
        assert page.rpartition("/")[2] in (ROOT / test).read_text(), f"{test} does not name {page}"
    for reason in PICTURES.values():
        assert all((ROOT / name).exists() for name in re.findall(r"\S+\.py", reason)), reason


@pytest.mark.parametrize("block", [each for each in BLOCKS if not is_picture(each)], ids=lambda block: block.title[:70])
def test_a_block_is_what_it_says(block: Block) -> None:
    if block.kind in ("json", "mermaid"):  # read when its kind was found; drawn from the tables by docs/draw.py
        return
    assert block.kind in CHECKS, "is it shell, Python, YAML or JSON? Then say so by a fence; else it is for PICTURES"
    assert list(CHECKS[block.kind](block.text)) == [], f"{block.page}, line {block.line}"


def test_there_are_many_of_each() -> None:
    kinds = [block.kind for block in BLOCKS if not is_picture(block)]
    assert kinds.count("shell") > 40
    assert kinds.count("python") > 18
    assert kinds.count("yaml") > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_a_sentence_names_is_there(page: Path) -> None:
    assert [flaw for text in spoken(page) for flaw in commands.spoken_flaws(text)] == []


def python_flaws(text: str) -> list[str]:
    given = {"trial": None} if "suggest_" in text else {}  # Optuna's trial
    return snippets.flaws(snippets.readable(text), given)


def yaml_flaws(text: str) -> list[str]:
    """As a compose file, or as a study file; keys that come twice are alternatives, each a study of its own."""
    if re.search(r"^services:", text, re.MULTILINE):
        return compose_flaws(text)
    found = []
    for part in alternatives(text):
        document = YAML(typ="safe").load(part)
        if not KEYS & document.keys():
            document = {"space": document}
        whole = {**YAML(typ="safe").load(STUDY), **document}
        if "name" not in document.get("schedule", {}):
            whole.setdefault("study", "digits")
        if "command" in document:
            whole.pop("objective")
        if document.get("api") == "optuna":
            whole.pop("space", None)
        try:
            parse(whole, is_new=True)
        except SpecInvalid as error:
            found.append(str(error))
    return found


def alternatives(text: str) -> list[str]:
    """The text, or each of its lines where they all set the same key."""
    keys = re.findall(r"^([a-z_]+):", text, re.MULTILINE)
    return [text] if len(set(keys)) == len(keys) else text.splitlines()


def compose_flaws(text: str) -> list[str]:
    known = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]
    document = YAML(typ="safe").load(text)
    return [f"{name} is no service of docker-compose.yml" for name in document["services"] if name not in known]


def dockerfile_flaws(text: str) -> list[str]:
    words = {"FROM", "USER", "RUN", "COPY", "WORKDIR", "ENV", "ARG"}
    found = [line for line in text.splitlines() if line and line.split()[0] not in words and line[0] != "#"]
    images = re.findall(r"image: ([\w-]+):", (ROOT / "docker-compose.yml").read_text())
    return found + [base for base in re.findall(r"^FROM ([\w-]+)", text, re.MULTILINE) if base not in images]


#: What each kind of block is looked at by.
CHECKS: dict[str, Callable[[str], Iterable[str]]] = {
    "shell": commands.flaws,
    "python": python_flaws,
    "yaml": yaml_flaws,
    "dockerfile": dockerfile_flaws,
}


def test_what_is_wrong_is_seen() -> None:
    """The checks themselves: each mistake is told."""
    assert list(commands.flaws("celeriac submit study.yaml --nmae x"))
    assert list(commands.flaws("celeriac schedule fier flights"))
    assert list(commands.flaws("docker compose run --rm cli wach digits"))
    assert list(commands.flaws("docker compose stop postgre"))
    assert list(commands.flaws("make demmo"))
    assert list(commands.flaws("CELERIAC_LEASE_SECONDS=3 celeriac up"))
    assert list(commands.flaws("CELERIAC_LEASE_S=0 celeriac up"))
    assert list(commands.flaws("pip install 'celeriac[metricks]'"))
    assert list(commands.flaws("frobnicate"))
    assert list(commands.flaws("echo 'open"))
    assert list(commands.spoken_flaws("celeriac best --modle"))
    assert snippets.flaws("from celeriac import Clint")
    assert snippets.flaws("from celeriac import Client\nClient().submit('x').wait().bset") == ["Study has no bset"]
    assert snippets.flaws("def objective(trial):\n    trial.report(1.0, stpe=3)")
    assert snippets.flaws("for trial in pack.trials:\n    trial.parms")
    assert snippets.flaws("def f(:")
    assert yaml_flaws("resources: {gpu: 1}")
    assert yaml_flaws("stop_early: {rule: asha}\nstop_early: {rule: ashaa}")
    assert compose_flaws("services: {wroker: {}}")


def test_the_study_files_of_the_examples_are_read() -> None:
    found = sorted((ROOT / "examples").rglob("*.yaml"))
    assert len(found) > 5
    for path in found:
        load(path)
