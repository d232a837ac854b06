"""Retention by policy: once a day the clock has `celeriac prune` run for each age that the policy names.

It is the very command that a person would run, in a process of its own, one after the other: it may take as long as it
likes, hold up nobody, and be killed at any moment, since it goes on where it was the next time. That it was begun is
noted before, so that of two clocks only one begins.
"""

import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from celeriac.decide.retention import retention_due
from celeriac.runtime.process.secrets import inherited_secrets
from celeriac.runtime.settings import Settings, retention_of, time_of_day
from celeriac.store import Store

log = logging.getLogger(__name__)

DUTY, DAY_S = "retain", 86_400.0
_LEAST_TOLD = 300


def commands_of(settings: Settings) -> list[list[str]]:
    """The words of each `celeriac prune`, one for each age in the policy."""
    kinds_of: dict[str, list[str]] = {}
    for kind, age in retention_of(settings.retention).items():
        kinds_of.setdefault(age, []).append(kind)
    return [["prune", "--older-than", age, *(f"--{kind}" for kind in kinds)] for age, kinds in kinds_of.items()]


@dataclass(slots=True)
class Retention:
    """Has what is old thrown away, where there is a policy."""

    settings: Settings
    program: Sequence[str] = (sys.executable, "-P", "-m", "celeriac.cli")
    _left: list[list[str]] = field(default_factory=list)
    _process: "subprocess.Popen[str] | None" = None

    def tick(self, store: Store) -> None:
        """Begin if it is due, or go on with the next command once the one before has ended. Raises StoreUnavailable."""
        if not self.settings.retention:
            return
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._tell(self._process)
            self._process = None
        elif not self._left:
            last = next((each.ago_s for each in store.duties() if each.name == DUTY), None)
            decision = retention_due(store.now(), last, time_of_day(self.settings.retention_at))
            if decision.due:
                store.did(DUTY, DAY_S)
                self._left = commands_of(self.settings)
                log.info("retention begins: %s", decision.reason)
        if self._left:
            self._process = self._begun(self._left.pop(0))

    def close(self) -> None:
        """End the command that runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None

    def _begun(self, words: Sequence[str]) -> "subprocess.Popen[str]":
        with inherited_secrets(self.settings) as secrets:
            return subprocess.Popen(
                [*self.program, *words, "--home", str(self.settings.home)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                **secrets,
            )

    def _tell(self, process: "subprocess.Popen[str]") -> None:
        said = process.communicate()[0].strip()[-_LEAST_TOLD:]
        level = logging.ERROR if process.returncode else logging.INFO
        log.log(level, "retention ended with %d: %s", process.returncode, said)
