"""Fingerprints of code roots: with git and without, changed and unchanged, and bounded."""

import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from celeriac.runtime import fingerprint as code
from celeriac.runtime.fingerprint import FingerprintCache, fingerprint, same_code


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
        cwd=root,
        check=True,
        capture_output=True,
    )


def _head(root: Path) -> str:
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    (root / "package").mkdir(parents=True)
    (root / "train.py").write_text("x = 1\n")
    (root / "package" / "net.py").write_text("y = 2\n")
    (root / "data.csv").write_text("1,2\n")
    return root


def test_the_same_files_have_the_same_fingerprint_wherever_they_lie(root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(root), str(copy)], check=True)
    assert fingerprint(copy) == fingerprint(root)


def test_a_changed_renamed_or_added_code_file_changes_it(root: Path) -> None:
    seen = {fingerprint(root)}
    (root / "train.py").write_text("x = 2\n")
    seen.add(fingerprint(root))
    (root / "train.py").rename(root / "train2.py")
    seen.add(fingerprint(root))
    (root / "new.py").write_text("a = 1\n")
    seen.add(fingerprint(root))
    assert len(seen) == 4


def test_data_caches_and_environments_do_not_count(root: Path) -> None:
    before = fingerprint(root)
    for name in ("data.csv", "study.yaml", "best.yaml", "settings.toml"):
        (root / name).write_text("other: 1")
    for place in ("__pycache__", ".hidden", "venv"):
        (root / place).mkdir()
        (root / place / "module.py").write_text("z = 3\n")
    (root / "venv" / "pyvenv.cfg").write_text("")
    assert fingerprint(root) == before


def test_the_commit_is_named_from_every_layout_that_git_has(root: Path, tmp_path: Path) -> None:
    plain = fingerprint(root)
    assert "git:" not in plain
    _git(root, "init", "-q")
    _git(root, "add", ".")
    _git(root, "commit", "-q", "-m", "first")
    commit = _head(root)
    assert fingerprint(root) == f"{plain} git:{commit}"
    assert fingerprint(root / "package").endswith(f"git:{commit}")
    linked = tmp_path / "linked"
    _git(root, "worktree", "add", "-q", str(linked))
    assert fingerprint(linked) == fingerprint(root)
    _git(root, "pack-refs", "--all")
    assert fingerprint(linked) == fingerprint(root) == f"{plain} git:{commit}"
    _git(root, "checkout", "-q", "--detach")
    assert fingerprint(root) == f"{plain} git:{commit}"


def test_a_repository_s_own_programs_never_run(root: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    _git(root, "init", "-q")
    _git(root, "add", ".")
    _git(root, "commit", "-q", "-m", "first")
    (root / ".gitattributes").write_text("*.py filter=evil\n")
    program = root / ".git" / "evil"
    program.write_text(f"#!/bin/sh\necho x >> {ran}\ncat\n")
    program.chmod(0o755)
    (root / ".git" / "hooks" / "post-index-change").symlink_to(program)
    for key in ("filter.evil.clean", "filter.evil.process", "core.fsmonitor", "core.pager", "diff.external"):
        _git(root, "config", key, str(program))
    (root / "train.py").write_text("x = 5\n")
    ran.unlink(missing_ok=True)
    assert "git:" in fingerprint(root)
    assert not ran.exists()
    subprocess.run(["git", "status"], cwd=root, capture_output=True, check=False)
    assert ran.exists()  # the trap is one: git itself falls into it


def test_a_repository_cannot_point_at_other_files(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    plain = fingerprint(root)
    (root / ".git").write_text(f"gitdir: {tmp_path}\n")
    for head in ("ref: refs/../secret", "ref: refs/heads/\0", "hunter2", "ref: /etc/passwd", ""):
        (tmp_path / "HEAD").write_text(f"{head}\n")
        assert fingerprint(root) == plain


@pytest.mark.parametrize("kind", ["fifo", "socket", "zero", "link to fifo", "loop", "git", "directory"])
def test_what_blocks_or_never_ends_is_no_code(root: Path, tmp_path: Path, kind: str) -> None:
    before, trap = fingerprint(root), root / "trap.py"
    match kind:
        case "fifo":
            os.mkfifo(trap)
        case "socket":
            os.mknod(trap, 0o600 | stat.S_IFSOCK)
        case "zero":
            trap.symlink_to("/dev/zero")
        case "link to fifo":
            os.mkfifo(tmp_path / "pipe")
            trap.symlink_to(tmp_path / "pipe")
        case "loop":
            trap.symlink_to(root)
        case "git":
            os.mkfifo(root / ".git")
        case "directory":
            trap.mkdir()
    found: list[str] = []
    looking = threading.Thread(target=lambda: found.append(fingerprint(root)), daemon=True)
    looking.start()
    looking.join(20.0)
    assert found == [before]


def test_a_file_is_read_no_further_than_it_was_listed(root: Path) -> None:
    endless = root / "train.py"
    assert code.read_regular(endless, 3) == b"x ="
    assert code.read_regular(Path("/dev/zero"), 3) is None


def test_only_the_contents_are_compared() -> None:
    assert same_code("abc git:1+dirty", "abc git:2")
    assert same_code("abc", "")
    assert not same_code("abc git:1", "abd git:1")


def test_another_version_s_hash_is_unknown() -> None:
    assert same_code("9f86d081884c git:1", "abcabcabcabcabca git:1")


def test_a_missing_root_is_no_error(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "missing") == fingerprint(tmp_path)


def test_a_huge_root_is_read_in_part_and_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "MAX_FILES", 1)
    assert fingerprint(root).endswith("partial")
    monkeypatch.undo()
    assert not fingerprint(root).endswith("partial")
    monkeypatch.setattr(code, "MAX_BYTES", 4)
    assert fingerprint(root).endswith("partial")
    monkeypatch.undo()
    monkeypatch.setattr(code, "MAX_ENTRIES", 2)
    assert fingerprint(root).endswith("partial")


def test_the_cache_looks_again_only_when_its_trust_is_over_or_it_is_told_to(root: Path) -> None:
    cache = FingerprintCache(trust_s=10.0)
    first = cache.of(root, now=0.0)
    (root / "train.py").write_text("x = 3 # longer\n")
    assert cache.of(root, now=5.0) == first
    second = cache.of(root, now=5.0, afresh=True)
    assert second == fingerprint(root) != first
    os.utime(root / "train.py")
    assert cache.of(root, now=50.0) == second
