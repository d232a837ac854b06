"""Doing runs: in which order, in how many processes, and each at most once.

Seeds are gone through one after the other, all methods and problems of a seed first, so that what is there after a stop
are whole seeds. A failing run does not stop the others.
"""

import os
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.search import problems
from benchmarks.search.runs import Key, Runs, run

#: A method too slow for all seeds gets the first ones only.
FEWER_SEEDS = {"botorch": 3}
# One thread a process: figures of CPU time that mean something, and as many processes as cores side by side.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def keys(
    methods: Sequence[str],
    of: Sequence[str],
    seeds: Sequence[int],
    workers: Sequence[int],
    budget: int,
    failing: str = "none",
) -> list[Key]:
    """The runs of a comparison, in the order in which they are done."""
    return [
        Key(method, problem, count, seed, budget, failing=failing).versioned()
        for place, seed in enumerate(seeds)
        for method in methods
        if place < FEWER_SEEDS.get(method, len(seeds))
        for problem in of
        for count in workers
    ]


def do_all(todo: Sequence[Key], path: Path, jobs: int) -> int:
    """Do these, at most one process a core, each told by a line; how many failed."""
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    failed = 0
    for count, (text, worked) in enumerate(_done(todo, path, min(jobs, os.cpu_count() or 1)), 1):
        failed += not worked
        print(f"[{count}/{len(todo)}] {text}", flush=True)
    return failed


def _done(todo: Sequence[Key], path: Path, jobs: int) -> Iterator[tuple[str, bool]]:
    do_here = partial(do, path=path)
    if jobs == 1:
        yield from map(do_here, todo)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(do_here, todo)


def do(key: Key, path: Path) -> tuple[str, bool]:
    """Run and keep one, unless another process did meanwhile: a text about it, and whether it worked."""
    name = f"{key.method} {key.problem} workers {key.workers} seed {key.seed}"
    name += "" if key.failing == "none" else f" failing {key.failing}"
    kept = Runs(path)
    if key in kept.read():
        return f"{name}: is there", True
    try:
        done = run(key)
    except Exception:  # whatever a method raises, the other runs are worth having
        return f"{name}: FAILED\n{traceback.format_exc()}", False
    kept.append(done)
    regret = done.regrets[-1] / problems.problem(key.problem).yard()
    return f"{name}: {regret:.3f}, CPU {done.cpu_s:.1f} s", True
