"""Which code is this? Fingerprints of a code root, alike on every host that sees the same files.

A fingerprint reads `9f86d081884c7d65 git:1a2b3c4d5e6f`: first a hash of all Python files below the root, then, where
the root is in a git work tree, the commit that is checked out. Only the first word is compared (`same_code`). The
commit is read from git's own files: no program runs here, for a repository's configuration can name filters and hooks,
and those would run with our rights.

Python files only: YAML and TOML files are written by trials, by trackers and by `celeriac best --yaml`, also in the
middle of a study, and the study file itself is no code. Only regular files are opened, without waiting and not read
further than they were long: a pipe, a socket or a device has no contents to compare, and must not stall a slot. Beyond
the bounds a fingerprint says `partial`.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

#: How often a host looks whether the code below its root is another; so old may be what it says.
CODE_LOOK_S = 30.0

CODE_SUFFIXES = frozenset({".py", ".pyi"})
MAX_FILES = 2_000
MAX_ENTRIES = 20_000
MAX_FILE_BYTES = 1 << 20
MAX_BYTES = 64 << 20
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
#: Digits of the hash. Another version's hash, of other files, has another length, so that it is never taken for a
#: change.
_DIGITS = 16
#: What the fingerprint of a directory without any code begins with.
NO_CODE = hashlib.sha256().hexdigest()[:_DIGITS]

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"ref: (refs/(?!.*\.\.)[!-~]+)")
_MAX_REFS_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _CodeFile:
    path: str
    size_bytes: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class _Listing:
    files: tuple[_CodeFile, ...]
    whole: bool


def fingerprint(root: Path) -> str:
    """The fingerprint of the code below `root`; an unreadable or missing root is the fingerprint of no files at all."""
    return _fingerprint(root, _listing(root))


def same_code(one: str, other: str) -> bool:
    """Whether two fingerprints name the same contents. One that is empty, or of another version, is unknown and
    differs from nothing.
    """
    if not one or not other:
        return True
    ours, theirs = one.split()[0], other.split()[0]
    return len(ours) != len(theirs) or ours == theirs


@dataclass(slots=True)
class FingerprintCache:
    """Fingerprints that are computed anew only when a file's size or time has changed.

    A look costs one `stat` a code file; within `trust_s` of the last look even that is saved. Not thread-safe.
    """

    trust_s: float = 1.0
    _known: dict[Path, tuple[float, _Listing, str]] = field(default_factory=dict)

    def of(self, root: Path, now: float, *, afresh: bool = False) -> str:
        """The fingerprint of `root`; `now` is any monotonic clock, `afresh` looks at the files whatever the time."""
        known = self._known.get(root)
        if known and not afresh and now - known[0] < self.trust_s:
            return known[2]
        listing = _listing(root)
        value = known[2] if known and known[1] == listing else _fingerprint(root, listing)
        self._known[root] = (now, listing, value)
        return value


def _fingerprint(root: Path, listing: _Listing) -> str:
    words = [_content_hash(root, listing)]
    if not listing.whole:
        words.append("partial")
    if commit := _commit(root):
        words.append(f"git:{commit[:12]}")
    return " ".join(words)


def _listing(root: Path) -> _Listing:
    """The code files below `root` in a stable order, bounded in entries, files and bytes."""
    files: list[_CodeFile] = []
    seen = size = 0
    for entry in _walk(root):
        seen += 1
        if seen > MAX_ENTRIES or len(files) >= MAX_FILES or size > MAX_BYTES:
            return _Listing(tuple(files), whole=False)
        if os.path.splitext(entry.name)[1] not in CODE_SUFFIXES:
            continue
        try:
            found = entry.stat()
        except OSError:  # gone since it was listed, or a dangling link
            continue
        if stat.S_ISREG(found.st_mode):
            files.append(_CodeFile(os.path.relpath(entry.path, root), found.st_size, found.st_mtime_ns))
            size += min(found.st_size, MAX_FILE_BYTES)
    return _Listing(tuple(files), whole=True)


def _walk(root: Path) -> Iterator["os.DirEntry[str]"]:
    """What lies below `root`, directory by directory in name order; hidden, installed and cached directories are left
    out.

    Links to directories are not followed. Of a directory with more entries than MAX_ENTRIES any may be missing: the
    listing is cut anyway.
    """
    todo = [str(root)]
    while todo:
        try:
            with os.scandir(todo.pop()) as found:
                entries = sorted(islice(found, MAX_ENTRIES + 1), key=lambda entry: entry.name)
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        below = []
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry
            elif not entry.name.startswith(".") and entry.name not in _SKIPPED:
                below.append(entry.path)
                yield entry
        todo += reversed(below)


def _content_hash(root: Path, listing: _Listing) -> str:
    """Hex digits over the names and contents; of a file above MAX_FILE_BYTES, over its name and size."""
    digest = hashlib.sha256()
    for file in listing.files:
        digest.update(f"{file.path}\0{file.size_bytes}\0".encode("utf-8", "surrogateescape"))
        if file.size_bytes <= MAX_FILE_BYTES:
            contents = read_regular(root / file.path, file.size_bytes)
            digest.update(b"unreadable" if contents is None else contents)
    return digest.hexdigest()[:_DIGITS]


def read_regular(path: Path, at_most: int) -> bytes | None:
    """The first bytes of a regular file; None for anything else, and for a file that cannot be read. Never waits for a
    writer.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            return file.read(at_most) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None


def _commit(root: Path) -> str:
    """The commit checked out in the work tree that `root` lies in; empty where there is none, or its refs are kept in
    another way.
    """
    git = _git_directory(root)
    if git is None:
        return ""
    head = _line(git / "HEAD")
    if _COMMIT.fullmatch(head):
        return head
    ref = _REF.fullmatch(head)
    if ref is None:
        return ""
    shared = git / (_line(git / "commondir") or ".")  # a linked work tree keeps its branches in the main one
    for place in (git, shared):
        commit = _line(place / ref[1])
        if _COMMIT.fullmatch(commit):
            return commit
    packed = read_regular(shared / "packed-refs", _MAX_REFS_BYTES) or b""
    for line in packed.decode(errors="replace").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref[1] and _COMMIT.fullmatch(commit):
            return commit
    return ""


def _git_directory(root: Path) -> Path | None:
    """Where git keeps the nearest work tree around `root`; `.git` is a file there in a linked work tree and in a
    submodule.
    """
    for place in (root, *root.parents):
        git = place / ".git"
        if git.is_dir():
            return git
        if named := _line(git).removeprefix("gitdir: "):
            return place / named
    return None


def _line(path: Path) -> str:
    """The first line of a short file; empty where there is none."""
    found = (read_regular(path, 4096) or b"").decode(errors="replace").splitlines()
    return found[0].strip() if found else ""
