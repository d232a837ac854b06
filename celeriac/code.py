"""Which code is this? Fingerprints of a code root, alike on every host that sees the same files.

A fingerprint reads `9f86d081884c git:1a2b3c4d5e6f+dirty`: first a hash of the contents of all code files below the root,
then, where the root is in a git work tree and git is installed, its commit and whether the tree differs from it. Only the first
word is compared (`same_code`): a host without git, or one with an unpacked image, still knows the same code when it sees it.

Bounded on purpose: a root of `/` or a data lake must not stall a submit. Beyond the bounds a fingerprint says `partial`.
"""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

#: How often a host looks whether the code below its root is another; so old may be what it says.
CODE_LOOK_S = 30.0

CODE_SUFFIXES = frozenset({".py", ".pyi", ".yaml", ".yml", ".toml"})
MAX_FILES = 2_000
MAX_ENTRIES = 20_000
MAX_FILE_BYTES = 1 << 20
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})
_GIT_TIMEOUT_S = 10.0


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
    """Whether two fingerprints name the same contents; an empty one is unknown and differs from nothing."""
    return not one or not other or one.split()[0] == other.split()[0]


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
    if revision := _git_revision(root):
        words.append(revision)
    return " ".join(words)


def _listing(root: Path) -> _Listing:
    """The code files below `root` in a stable order, bounded by MAX_FILES and MAX_ENTRIES."""
    files: list[_CodeFile] = []
    seen = 0
    for entry in _walk(root):
        seen += 1
        if seen > MAX_ENTRIES or len(files) >= MAX_FILES:
            return _Listing(tuple(files), whole=False)
        if os.path.splitext(entry.name)[1] in CODE_SUFFIXES:
            try:
                found = entry.stat()
            except OSError:  # gone since it was listed, or a dangling link
                continue
            files.append(_CodeFile(os.path.relpath(entry.path, root), found.st_size, found.st_mtime_ns))
    return _Listing(tuple(files), whole=True)


def _walk(root: Path) -> Iterator["os.DirEntry[str]"]:
    """Files below `root`, directory by directory in name order; hidden, installed and cached directories are left out."""
    todo = [str(root)]
    while todo:
        try:
            with os.scandir(todo.pop()) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            continue
        if any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        below = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                    below.append(entry.path)
            else:
                yield entry
        todo += reversed(below)


def _content_hash(root: Path, listing: _Listing) -> str:
    """Twelve hex digits over the names and contents; of a file above MAX_FILE_BYTES, over its name and size."""
    digest = hashlib.sha256()
    for file in listing.files:
        digest.update(f"{file.path}\0{file.size_bytes}\0".encode("utf-8", "surrogateescape"))
        if file.size_bytes <= MAX_FILE_BYTES:
            try:
                digest.update((root / file.path).read_bytes())
            except OSError:
                digest.update(b"unreadable")
    return digest.hexdigest()[:12]


def _git_revision(root: Path) -> str:
    """`git:<commit>` with `+dirty` when tracked files differ or untracked ones lie about; empty without git."""
    commit = _git(root, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return ""
    dirty = _git(root, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return f"git:{commit}" + ("+dirty" if dirty else "")


def _git(root: Path, *arguments: str) -> str:
    # A mounted directory belongs to another user than the container's, which git refuses unless told; a repository's own
    # fsmonitor would be a program of somebody else's choice.
    command = ["git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
