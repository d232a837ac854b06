"""The name of a study: what it may be in a file and in the store, and the seed that follows from it."""

import re
from hashlib import sha256

from celeriac.domain.space import show

_IN_A_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_IN_THE_STORE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/=:+,-]{0,254}")


def is_study_name(name: object) -> bool:
    """Whether this can name a study in the store: a file's `study`, or what a firing makes of it with `/ = : + ,` (255
    at most).

    A file itself may use letters, digits, `.`, `_` and `-` only, 100 at most.
    """
    return isinstance(name, str) and _IN_THE_STORE.fullmatch(name) is not None


def study_name_flaw(name: object) -> str:
    """What is wrong with the name of a study, or of a schedule that lends it to its study, in a file; "" when nothing
    is.
    """
    if isinstance(name, str) and _IN_A_FILE.fullmatch(name):
        return ""
    quote = f'; put it in quotes: `"{str(name).lower()}"`' if isinstance(name, (int, float)) else ""
    return f"must be a letter or digit, then letters, digits, '.', '_' or '-', 100 at most, not {show(name)}{quote}"


def seed_of(study: str) -> int:
    """The seed of a study whose file gives none: the same for the same name, on every machine."""
    return int.from_bytes(sha256(study.encode()).digest()[:4], "big")
