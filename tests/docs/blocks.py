"""The blocks of code in the documentation: fenced ones and indented ones, and what each is."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
#: What people read.
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
_SHELL = re.compile(
    r"(\$ |# |[A-Z_]+=|\w+=\$\(|(caddy|celeriac|curl|docker|export|git|install|kubectl|make|pip|python3?|set|ssh|for)\b"
    r"|\.venv/bin/|\"\$bin/)"
)
_PYTHON = re.compile(r"(from |import |def |@|return |study\.|loader = |plan = )")
_YAML = re.compile(r"(# )?[a-z_]+:( |$)", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block: where it stands, what its fence says it is ("": nothing), and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def title(self) -> str:
        """Its page and first line, which name it."""
        return f"{self.page}: {self.text.splitlines()[0].strip()}"

    @property
    def kind(self) -> str:
        """`shell`, `python`, `yaml`, `json`, `dockerfile`, or "" for what is none of them."""
        if self.language:
            return {"console": "shell", "bash": "shell", "sh": "shell"}.get(self.language, self.language)
        if self.text.startswith(("{", "[{")):
            return "json" if _is_json(self.text) else ""
        if re.search(r"^FROM ", self.text, re.MULTILINE):
            return "dockerfile"
        if _SHELL.match(self.text):
            return "shell"
        if _PYTHON.match(self.text):
            return "python"
        return "yaml" if _YAML.match(self.text) else ""


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def blocks(page: Path) -> Iterator[Block]:
    """All blocks of a page, in their order."""
    name, lines, at = page.relative_to(ROOT).as_posix(), page.read_text().splitlines(), 0
    while at < len(lines):
        begin = at
        if fence := re.match(r" *```(\w*)$", lines[at]):
            at = next(i for i in range(begin + 1, len(lines)) if lines[i].strip() == "```")
            yield Block(name, begin + 1, fence[1], dedent("\n".join(lines[begin + 1 : at])))
        elif lines[at].startswith("    ") and not lines[at - 1].strip():
            while at + 1 < len(lines) and (lines[at + 1].startswith("    ") or _goes_on(lines, at + 1)):
                at += 1
            yield Block(name, begin + 1, "", dedent("\n".join(lines[begin : at + 1])))
        at += 1


def _goes_on(lines: list[str], at: int) -> bool:
    """Whether a block goes on after an empty line."""
    return not lines[at].strip() and at + 1 < len(lines) and lines[at + 1].startswith("    ")


def spoken(page: Path) -> Iterator[str]:
    """The commands of ours that a page names between backticks, on one line each."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    for found in re.findall(r"`((?:celeriac|make|docker compose) [^`]+)`", text):
        yield " ".join(found.split())
