"""Are nights exact while real programs are killed? Two of each of the coordinator's programs (drive, clock, beat) and
their publishers on one embedded stack; every few seconds one of each is killed with -9, for three minutes. Schedules
come due each minute, with hold-out blocks and a model that is kept.

Bars: each minute of each slice is fired exactly once; each firing comes to its end with one verdict; each promotion is
published, and its hook ran for that very version; budgets are exact; a reader that follows `current` sees whole
versions only, and never an older one than before.
"""

import os
import random
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from benchmarks.embedded import Embedded, embedded
from benchmarks.nights.audit import MANY, wrong_budget, wrong_deliveries, wrong_firings, wrong_promotions
from benchmarks.nights.readers import Reader
from celeriac.decide.publication import place_of
from celeriac.domain.records import SliceDue
from celeriac.runtime.process.programs import Child
from celeriac.store import Store

SECONDS, EVERY_S, SLOTS, SEED = 180.0, 4.0, 2, 1
NAME, SLICES = "minutely", ("a", "b", "c")
PROGRAMS = ("drive", "clock", "beat")
#: A publisher that was killed is followed by another within five minutes; then the last nights end.
ENDS_WITHIN_S = 900.0
MINUTE = timedelta(minutes=1)

OBJECTIVE = textwrap.dedent('''
    """Its best point moves from night to night, so that a night has something to find."""

    import json
    import random

    from celeriac import Result


    def objective(trial):
        night = f"{trial.context['s']} {trial.context['due_at']}"
        best, luck = random.Random(night).random(), random.Random(f"{night} {trial.seed} {trial.params}")
        level = (trial.params["x"] - best) ** 2
        holdout = [level + random.Random(f"{night} {k}").gauss(0, 0.01) + luck.gauss(0, 0.01) for k in range(20)]

        def model(path):
            with open(path, "w") as file:
                json.dump({"params": dict(trial.params)}, file)

        return Result(level + luck.gauss(0, 0.01), holdout=holdout, model=model)
''')


def measure(seconds: float = SECONDS, seed: int = SEED, *, back: int = 0) -> dict[str, Any]:
    """Run the stack, kill for `seconds`, let the nights end, and count.

    back: how many minutes before the start the schedule is due first.
    """
    with TemporaryDirectory(prefix="celeriac-killed-") as aside:
        code, told = Path(aside, "code"), Path(aside, "told")
        code.mkdir()
        told.mkdir()
        (code / "train.py").write_text(OBJECTIVE)
        with embedded(SLOTS, environment={"CELERIAC_REAP_S": "1"}) as stack, stack.client() as client:
            first = _put_schedule(client, code, told, back)
            root = Path(stack.settings.artefact_root)
            with _second(stack) as second, Reader(root / "champions" / NAME) as reader:
                began = time.monotonic()
                killer = Killer(stack, second, random.Random(seed))
                while time.monotonic() < began + seconds:
                    killer.go_on()
                client.edit_schedule(NAME, "paused", "the nights end")
                ended = _end(client.store, killer)
                found = _audit(client.store, first, root, told)
            return {
                "seconds": seconds,
                **found,
                "wrong": [*found["wrong"], *ended, *reader.wrong],
                "killed": dict(killer.killed),
                "reads": sum(reader.versions.values()),
                "versions_read": len(reader.versions),
                "took_s": round(time.monotonic() - began),
            }


def _put_schedule(client: Any, code: Path, told: Path, back: int) -> datetime:
    """Put the schedule into force; when it is due first."""
    command = ["sh", "-c", f"cat > {told}/$CELERIAC_PROMOTION.$$"]
    row = client.add_schedule(
        {
            "objective": "train:objective",
            "code": str(code),
            "metric": {"name": "loss", "goal": "minimize"},
            "space": {"x": {"float": [0.0, 1.0]}},
            "default": {"x": 0.5},
            "sampler": "random",
            "budget": {"trials": 4},
            "schedule": {
                "name": NAME,
                "cron": "* * * * *",
                "slices": {"s": list(SLICES)},
                "catch_up": "all",
                "always": True,
                "hook": {"command": command, "timeout": 5},
            },
        }
    )
    dues = client.store.slice_dues(NAME)
    earlier = [SliceDue(NAME, each.slice, each.next_due_at - back * MINUTE) for each in dues]
    client.store.put_schedule(row, earlier)
    return min(each.next_due_at for each in earlier)


# -- the second coordinator, and what kills ---------------------------------------------------------------------------
@contextmanager
def _second(stack: Embedded) -> Iterator[dict[str, Child]]:
    """A second one of each program beside the stack's own, for the block."""
    environment = {**os.environ, **stack.environment, "CELERIAC_HOST": "second"}
    words = [sys.executable, "-P", "-m", "coordinator", "--home", str(stack.home)]
    logs = stack.home / "logs"
    children = {each: Child(each, [*words, each], environment, log=logs / f"second-{each}.log") for each in PROGRAMS}
    try:
        for child in children.values():
            os.close(child.start())
        yield children
    finally:
        for child in children.values():
            child.kill()


@dataclass
class Killer:
    """Kills one of each kind every few seconds, of those that have lived for a moment; starts the second ones again,
    as the stack does with its own.
    """

    stack: Embedded
    second: dict[str, Child]
    rng: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    _next_at: float = 0.0

    def go_on(self) -> None:
        """One look: start what has ended, kill what is to be killed now, and wait a moment."""
        self.revive()
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + EVERY_S
            for name in PROGRAMS:
                self._kill(name, self._programs(name))
        if self.rng.random() < 0.2:
            self._kill("publisher", self._publishers())
        time.sleep(0.1)

    def revive(self) -> None:
        """Start the second programs that have ended."""
        for child in self.second.values():
            if child.poll() is not None:
                os.close(child.start())

    def _programs(self, name: str) -> list[psutil.Process]:
        own, other = self.stack.programs().get(name), self.second[name].pid
        return [each for each in (own, psutil.Process(other) if other else None) if each is not None and _settled(each)]

    def _publishers(self) -> list[psutil.Process]:
        clocks = [each for each in (self.stack.programs().get("clock"), self.second["clock"].pid) if each]
        found = []
        for clock in clocks:
            try:
                below = (clock if isinstance(clock, psutil.Process) else psutil.Process(clock)).children(recursive=True)
                found += [each for each in below if "coordinator.outbox.program" in each.cmdline()]
            except psutil.NoSuchProcess:
                continue
        return found

    def _kill(self, kind: str, among: list[psutil.Process]) -> None:
        if not among:
            return
        try:
            self.rng.choice(among).kill()
        except psutil.NoSuchProcess:
            return
        self.killed[kind] += 1


def _settled(process: psutil.Process) -> bool:
    """Whether it has lived long enough to have been at work: else nobody would ever be."""
    try:
        return time.time() - process.create_time() > 1.5 * EVERY_S
    except psutil.NoSuchProcess:
        return False


# -- the end ----------------------------------------------------------------------------------------------------------
def _end(store: Store, killer: Killer) -> list[str]:
    """Wait until nothing is left to do; what is left when the time is over."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    while left := _left(store):
        if time.monotonic() > deadline:
            return [f"after {ENDS_WITHIN_S:g} s there is left: {left}"]
        killer.revive()
        time.sleep(0.2)
    return []


def _left(store: Store) -> list[str]:
    delivered = Counter(each.promotion for each in store.deliveries(NAME, limit=MANY) if each.done_at)
    return [
        *(f"firing {each}" for each in store.firings_to_move()),
        *(f"study {each}" for each in store.studies_to_drive()),
        *(
            f"promotion {each.id}"
            for each in store.verdicts(NAME, limit=MANY)
            if each.promoted and delivered[each.id] < 2
        ),
    ]


def _audit(store: Store, first: datetime, root: Path, told: Path) -> dict[str, Any]:
    made, verdicts = store.firings(NAME, limit=MANY), store.verdicts(NAME, limit=MANY)
    studies = store.stage_studies([each.id for each in made])
    wanted = {
        (place_of("", each.slice), first + k * MINUTE)
        for each in store.slice_dues(NAME)
        for k in range((each.next_due_at - first) // MINUTE)
    }
    return {
        "firings": dict(Counter(str(each.state) for each in made)),
        "trials": sum(study.counts.finished for study in studies),
        "promotions": sum(each.promoted for each in verdicts),
        "hooks": len(list(told.iterdir())),
        "wrong": [
            *([] if wanted else ["no slice was ever due"]),
            *wrong_firings(made, studies, wanted),
            *wrong_promotions(made, verdicts),
            *(text for study in studies for text in wrong_budget(store, study)),
            *wrong_deliveries(store, NAME, root, told, verdicts),
        ],
    }


def broken(figures: dict[str, Any]) -> list[str]:
    """The bars that these figures do not meet."""
    quiet = [kind for kind in (*PROGRAMS, "publisher") if not figures["killed"].get(kind)]
    return [*figures["wrong"][:10], *(f"no {kind} was killed" for kind in quiet)]
