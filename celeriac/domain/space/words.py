"""Words of messages and names: how a value is shown, which known word was meant, what can be a name.

Rule: nothing here knows what a parameter is; so whatever tells a user of a mistake may say it in these words.
"""

import reprlib
from collections.abc import Iterable

#: So long a name may be.
MOST_NAME = 100
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 60


def show(value: object) -> str:
    """A value for a message: its repr, cut short."""
    return _repr.repr(value)


def nearest(word: object, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, else all of them."""
    import difflib  # only who made a mistake pays for it

    known = sorted(known)
    close = difflib.get_close_matches(str(word)[:MOST_NAME], known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known) or 'none'}"


def is_name(value: object) -> bool:
    """Whether this can name a parameter or a slice: a letter or `_`, then letters, digits, `_`, `.`, `-`; `MOST_NAME`
    at most.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_NAME:
        return False
    return (value[0].isalpha() or value[0] == "_") and all(c.isalnum() or c in "_.-" for c in value)


def same(a: object, b: object) -> bool:
    """Whether two options are one: 1 and 1.0 are (a database may return either for the other), 1 and True are not."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b
