"""Fingerprints of code roots: with git and without, changed and unchanged, and bounded."""

import os
import subprocess
from pathlib import Path

import pytest

from celeriac import code
from celeriac.code import FingerprintCache, fingerprint, same_code


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
        cwd=root,
        check=True,
        capture_output=True,
    )


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
    (root / "new.yaml").write_text("a: 1\n")
    seen.add(fingerprint(root))
    assert len(seen) == 4


def test_data_caches_and_environments_do_not_count(root: Path) -> None:
    before = fingerprint(root)
    (root / "data.csv").write_text("other")
    for place in ("__pycache__", ".hidden", "venv"):
        (root / place).mkdir()
        (root / place / "module.py").write_text("z = 3\n")
    (root / "venv" / "pyvenv.cfg").write_text("")
    assert fingerprint(root) == before


def test_a_commit_is_named_and_so_is_a_dirty_tree(root: Path) -> None:
    plain = fingerprint(root)
    assert "git:" not in plain
    _git(root, "init", "-q")
    _git(root, "add", ".")
    _git(root, "commit", "-q", "-m", "first")
    clean = fingerprint(root)
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert clean == f"{plain} git:{commit}"
    (root / "untracked.py").write_text("")
    assert fingerprint(root).endswith(f"git:{commit}+dirty")


def test_only_the_contents_are_compared() -> None:
    assert same_code("abc git:1+dirty", "abc git:2")
    assert same_code("abc", "")
    assert not same_code("abc git:1", "abd git:1")


def test_a_missing_root_is_no_error(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "missing") == fingerprint(tmp_path)


def test_a_huge_root_is_read_in_part_and_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "MAX_FILES", 1)
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
