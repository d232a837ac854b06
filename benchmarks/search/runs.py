"""Runs: one study of one method on one problem, kept as one JSON line, so that hours of comparison can be done in
pieces.

A line is found again by its key; what is there is not run twice. The key holds the versions of the problems and the
method, so a changed sampler is run anew beside its older lines. Several processes may append to one file.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.search.clock import Ask, Ended, Trial, duration, study
from benchmarks.search.failing import failing
from benchmarks.search.methods import installed, method, version_of
from benchmarks.search.problems import VERSION, problem


@dataclass(frozen=True, slots=True)
class Key:
    """What a run is of; `failing` names which of its trials fail (`benchmarks.search.failing`)."""

    method: str
    problem: str
    workers: int
    seed: int
    budget: int
    method_version: str = ""
    problems_version: int = VERSION
    failing: str = "none"

    def versioned(self) -> "Key":
        """The same with the method's version of this moment."""
        return replace(self, method_version=version_of(self.method))


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run.

    `regrets`: the incumbent's true regret after each evaluation (NaN until one did not fail); `cpu_s`: of all its
    suggestions; `failed`: the numbers of the trials that failed.
    """

    key: Key
    regrets: tuple[float, ...]
    repeats: int
    cpu_s: float
    installed: dict[str, str] = field(default_factory=dict)
    failed: tuple[int, ...] = ()


def run(key: Key) -> Run:
    """Do the study of this key."""
    of = problem(key.problem)
    asked = _Timed(method(key.method, of.space, key.seed))
    fails = failing(key.failing, of, key.seed)
    ended = list(
        study(
            asked,
            lambda trial: fails(trial) or of.observe(trial.params, key.seed, trial.number),
            lambda number: duration(of.name, key.seed, number),
            key.workers,
            key.budget,
        )
    )
    points = {of.space.key(end.trial.params) for end in ended}
    return Run(
        key,
        regrets=tuple(incumbent_regrets(of.regret, ended)),
        repeats=len(ended) - len(points),
        cpu_s=round(asked.cpu_s, 4),
        installed=installed(),
        failed=tuple(sorted(end.trial.number for end in ended if end.fault is not None)),
    )


def incumbent_regrets(regret: Callable[[dict[str, Any]], float], ended: Iterable[Ended]) -> Iterable[float]:
    """After each end, the true regret of the point with the best observed value so far (the first of equals)."""
    best, so_far = float("inf"), float("nan")
    for end in ended:
        if end.loss < best:
            best, so_far = end.loss, regret(end.trial.params)
        yield so_far


class _Timed:
    """A method whose CPU time is counted."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.cpu_s = 0.0

    def __call__(self, ended: Sequence[Ended], running: Sequence[Trial]) -> dict[str, Any]:
        began = time.process_time()
        try:
            return self._ask(ended, running)
        finally:
            self.cpu_s += time.process_time() - began


class Runs:
    """The file of runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[Key, Run]:
        """All whole lines; a line cut off by a power cut is run again."""
        if not self.path.exists():
            return {}
        found = {}
        for line in self.path.read_text().splitlines():
            try:
                form = json.loads(line)
            except json.JSONDecodeError:
                continue
            key = Key(**form.pop("key"))
            regrets, failed = tuple(form.pop("regrets")), tuple(form.pop("failed", ()))
            found[key] = Run(key, regrets, **form, failed=failed)
        return found

    def append(self, done: Run) -> None:
        """Add one line, whole, whoever else appends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(done), separators=(",", ":"))
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0, 2)
            if file.tell():
                file.seek(-1, 2)
                if file.read(1) != b"\n":  # after a power cut in the middle of a line
                    file.write(b"\n")
            file.write(line.encode() + b"\n")
