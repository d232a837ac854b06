"""The house as a test: what an import loads, where the environment is read, and that every module states its rule."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("celeriac", "coordinator", "worker", "migrations")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def _loaded_by(statement: str, *suspects: str) -> str:
    code = f"{statement}\nimport sys\nprint(' '.join(m for m in {suspects!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "statement",
    [
        "import celeriac",
        "from celeriac import Trial, Result",
        "from celeriac import Space, Float",
        "import celeriac.cli.main",
    ],
)
def test_the_front_door_is_light(statement: str) -> None:
    assert _loaded_by(statement, "sqlalchemy", "celery", "kombu", "psycopg", "numpy", "torch", "rich", "alembic") == ""


def test_the_worker_loads_no_search_and_no_torch() -> None:
    everything = "; ".join(
        f"import {'.'.join(path.relative_to(ROOT).with_suffix('').parts)}"
        for path in sorted((ROOT / "worker").glob("*.py"))
        if path.stem not in ("__init__", "__main__")
    )
    assert _loaded_by(everything, "torch", "skopt", "sklearn", "scipy", "numpy", "alembic") == ""


def test_the_clock_loads_no_search() -> None:
    assert _loaded_by("import coordinator.tasks", "torch", "skopt", "sklearn", "scipy", "numpy") == ""


def test_only_settings_reads_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and _is_os(node.value)
    }
    # Programs that start programs hand their own environment on, and a trial's has its place in its gang; they read no
    # setting from it.
    assert readers <= {"celeriac/runtime/settings.py", *STARTERS}


STARTERS = frozenset(
    {
        "worker/node/node.py",
        "worker/slot/celery_worker.py",
        "worker/gpu_test/__main__.py",
        "worker/gpu_test/on_card.py",
        "worker/process/child.py",
        "worker/process/command.py",
        "celeriac/local/up.py",
        "celeriac/runtime/process/programs.py",
    }
)


def test_our_programs_start_without_the_current_directory_on_their_path() -> None:
    """-P, wherever we start Python: a trial may write a `worker/__init__.py` where a node starts."""
    texts = [path.read_text() for path in MODULES] + [
        (ROOT / name).read_text() for name in ("Dockerfile", "docker-compose.yml", "docker-compose.worker.yml")
    ]
    starts = [found for text in texts for found in re.findall(r"(\S+,?) +\(?\[?\*?\(?\"?-m\"?,", text)]
    assert len(starts) >= 10
    assert {start.strip('"[(,*') for start in starts} == {"-P"}


def _is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_states_its_rule_at_its_head(path: Path) -> None:
    tree = ast.parse(path.read_text())
    head = ast.get_docstring(tree)
    assert head, f"{path.relative_to(ROOT)} has no docstring as its first statement"
    assert path.stem not in ("utils", "util", "common", "helpers", "misc", "scheduler", "manager")


def test_the_lifecycle_page_is_what_the_tables_say() -> None:
    from docs.draw import PAGE, page

    assert PAGE.read_text() == page(), "run `make docs`"


def test_nothing_large_and_no_package_is_kept_in_the_repository() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    kept = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert kept
    assert [path.name for path in kept if path.suffix in (".whl", ".gz", ".so") and path.parent == ROOT] == []
    assert [path.name for path in kept if path.stat().st_size > 1_000_000] == []
