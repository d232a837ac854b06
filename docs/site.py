"""The site's order, for MkDocs: the headings and lists of docs/README.md, so that a page is listed in one place."""

import re
from pathlib import Path
from typing import Any

INDEX = Path(__file__).parent / "README.md"
_LISTED = re.compile(r"^## (?P<section>.+)$|^\* \[(?P<title>[^\]]+)\]\((?P<page>[^)]+)\)", re.MULTILINE)


def on_config(config: Any) -> Any:
    """Give MkDocs the navigation; decisions stand in a section of their own, behind the explanations."""
    sections: dict[str, list[dict[str, str]]] = {}
    section = ""
    for found in _LISTED.finditer(INDEX.read_text()):
        if found["section"]:
            section = found["section"]
        else:
            decision = "/decisions/" in found["page"]
            sections.setdefault("Decisions" if decision else section, []).append({found["title"]: found["page"]})
    config.nav = [{"Overview": "README.md"}, *({name: pages} for name, pages in sections.items())]
    return config
