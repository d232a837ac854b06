"""A store that notes what the worker's threads write, and is away, refuses or hangs when told to."""

import threading
from collections.abc import Sequence

from celeriac.domain.records import Crossing, Report, RungRecord
from celeriac.store.api import ReportAck
from tests.celeriac.store.scenes import NOON


class Written:
    """`errors` are raised by the calls to come, one each; while `go_on` is not set, calls of the verb `hangs` wait for
    it.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.errors: list[Exception] = []
        self.hangs = ""
        self.asked_back = ""
        self.go_on = threading.Event()
        self.seen = threading.Condition()

    def begin(self, token: str, **more: object) -> None:
        self._note("begin", more["fingerprint"])

    def renew(self, token: str, lease_s: float, *, log_tail: str | None = None) -> str:
        self._note("renew", token if log_tail is None else log_tail)
        return self.asked_back

    def report(self, token: str, reports: Sequence[Report], crossings: Sequence[Crossing] = ()) -> ReportAck:
        self._note("report", [each.step for each in reports])
        rungs = (RungRecord(1, 0, each.rung, 1, 0, 1, 0, 0.0, 0.5, 0.5, NOON) for each in crossings)
        return ReportAck(tuple(each.checkpoint for each in reports if each.checkpoint), tuple(rungs))

    def _note(self, verb: str, what: object) -> None:
        with self.seen:
            self.calls.append((verb, what))
            self.seen.notify_all()
            error = self.errors.pop(0) if self.errors else None
        if verb == self.hangs:
            assert self.go_on.wait(30)
        if error is not None:
            raise error

    def wait_for(self, verb: str, times: int = 1) -> None:
        """Until the verb was called so many times."""
        with self.seen:
            assert self.seen.wait_for(lambda: self.count(verb) >= times, 5), self.calls

    def count(self, verb: str) -> int:
        """How many times the verb was called."""
        return sum(name == verb for name, _ in self.calls)
