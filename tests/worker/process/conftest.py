"""A pool of fork servers for a file of tests, and a job for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.process.trials import made_pool
from worker.process.frames import Job
from worker.process.pool import ServerPool


@pytest.fixture(scope="module")
def pool() -> Iterator[ServerPool]:
    with made_pool() as pool:
        yield pool


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        study="digits",
        number=7,
        attempt=1,
        params={},
        seed=11,
        device="cpu",
        checkpoint_root=str(tmp_path),
        checkpoint_dir="3/7",
        context={"pids": str(tmp_path / "pids")},
    )
