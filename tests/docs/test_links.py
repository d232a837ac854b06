"""Links lead somewhere: every relative link and anchor of a Markdown page, and every page of `docs/` that is named in
a page, in code or in a settings file.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("benchmarks", "celeriac", "coordinator", "docs", "examples", "migrations", "tests", "worker")
NAMING = {".md", ".py", ".sql", ".yml", ".yaml", ".toml", ".txt"}
FILES = sorted(
    path
    for path in (*ROOT.glob("*"), *(file for room in ROOMS for file in (ROOT / room).rglob("*")))
    if path.is_file() and (path.suffix in NAMING or path.name in ("Makefile", "Dockerfile"))
)
PAGES = [path for path in FILES if path.suffix == ".md"]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
NAMED = re.compile(r"(?<![\w./-])docs/[\w./*-]*[\w*]")


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    words = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", word).replace(" ", "-") for word in words}


def _broken(page: Path) -> list[str]:
    found = []
    for target, anchor in LINK.findall(page.read_text()):
        at = (page.parent / target).resolve() if target else page
        if not at.exists() or (anchor and anchor not in _anchors(at)):
            found.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")
    return found


def test_every_relative_link_and_anchor_of_a_page_resolves() -> None:
    assert len(PAGES) > 20
    assert [broken for page in PAGES for broken in _broken(page)] == []


def test_every_page_that_is_named_anywhere_is_there() -> None:
    assert [
        f"{path.relative_to(ROOT)}: {name}"
        for path in FILES
        for name in NAMED.findall(path.read_text())
        if not any(ROOT.glob(name))
    ] == []


def test_the_index_lists_every_page_once() -> None:
    listed = [target for target, _ in LINK.findall((ROOT / "docs" / "README.md").read_text())]
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES if path.is_relative_to(ROOT / "docs")]
    assert sorted(listed) == sorted(page for page in pages if page != "README.md")


def test_the_page_on_the_tests_names_places_that_are_there() -> None:
    named = re.findall(r"`([\w/]+(?:/|\.py))`", (ROOT / "tests" / "README.md").read_text())
    assert len(named) > 30
    assert [name for name in named if not any((at / name).exists() for at in (ROOT, ROOT / "tests"))] == []
