"""A home and a directory for temporary files of each trial's own, gone after it: what one trial leaves there no other
finds.

Layout: <temporary directory>/celeriac-<slot>/<fork server>/<child>/{home,tmp}.
"""

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

HOME, TEMPORARY = "home", "tmp"


def slot_scratch(tag: str) -> Path:
    """The slot's directory, empty and for this user alone: what an earlier process of the slot left there is removed.

    One that is not ours, which another user of the host may have put there, is passed by.
    """
    root = Path(tempfile.gettempdir(), f"celeriac-{hashlib.sha256(tag.encode()).hexdigest()[:16]}")
    remove(root)
    try:
        root.mkdir(mode=0o700)
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"{root.name}-"))
    return root


def make(place: Path) -> Path:
    """Make a trial's directories there, or elsewhere if something is in the way; returns where they are."""
    try:
        place.mkdir(mode=0o700, parents=True)
    except OSError:
        place = Path(tempfile.mkdtemp(prefix="celeriac-"))
    for name in (HOME, TEMPORARY):
        (place / name).mkdir(mode=0o700)
    return place


def removed_quickly(place: Path) -> bool:
    """Remove them if they are empty, as they mostly are; whether they are gone."""
    with suppress(OSError):
        os.rmdir(place / HOME)
        os.rmdir(place / TEMPORARY)
        os.rmdir(place)
    return not os.path.lexists(place)


def remove(place: Path) -> None:
    """Remove what is there, also directories that the trial has closed to itself; never what a link points to."""
    for root, names, _ in os.walk(place):
        for name in names:
            path = os.path.join(root, name)
            with suppress(OSError):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
    shutil.rmtree(place, ignore_errors=True)
