"""Lists for the API and the board, answered requests, and announcements of changes."""

from collections.abc import Iterator, Sequence
from typing import Any

from celeriac.domain.records import Attempt, Champion, Firing, Goal, Report, TrialRecord
from celeriac.store.api_web import Answered, TrialFilter
from celeriac.store.postgres.records import record_of
from celeriac.store.postgres.statements import statement
from celeriac.store.postgres.verbs import Verbs

_MOST = 2**31 - 1


class Web(Verbs):
    """Verbs that the web alone needs."""

    def trials_page(
        self, study_id: int, wanted: TrialFilter, *, after: int | None = None, down: bool = False, limit: int = 100
    ) -> list[TrialRecord]:
        edge = {"before": _MOST if after is None else after, "after": -1} if down else {"after": -1, "before": _MOST}
        if not down and after is not None:
            edge["after"] = after
        page = statement("trials_page", down="DESC" if down else "ASC")
        rows = self._db.rows(page, study=study_id, limit=limit, **edge, **_filter(wanted))
        return [record_of(TrialRecord, row) for row in rows]

    def trials_by_score(
        self,
        study_id: int,
        wanted: TrialFilter,
        *,
        goal: Goal,
        after: tuple[float, int] | None = None,
        limit: int = 100,
    ) -> list[TrialRecord]:
        score, number = after or (None, None)
        page = statement("trials_by_score", sign="-1" if goal == "maximize" else "1")
        place = {"score": score, "number": number, "limit": limit}
        return [record_of(TrialRecord, row) for row in self._db.rows(page, study=study_id, **place, **_filter(wanted))]

    def sampled_reports(
        self, study_id: int, numbers: Sequence[int], *, points: int, attempt: int | None = None
    ) -> dict[int, list[Report]]:
        found: dict[int, list[Report]] = {number: [] for number in numbers}
        given = {"study": study_id, "numbers": list(found), "attempt": attempt, "points": points}
        for row in self._rows("sampled_reports", **given):
            found[row["trial"]].append(Report(row["step"], row["value"], row["metrics"], None, row["at"]))
        return found

    def firings_by_id(self, ids: Sequence[int]) -> list[Firing]:
        return self._all(Firing, "firings_by_id", ids=list(ids))

    def champions_page(
        self, schedule: str | None = None, *, after_id: int | None = None, limit: int = 100
    ) -> list[Champion]:
        return self._all(Champion, "champions", schedule=schedule, after_id=after_id, limit=limit)

    def attempts_page(
        self, study_id: int, numbers: Sequence[int] | None, *, after: tuple[int, int] | None = None, limit: int = 500
    ) -> list[Attempt]:
        trial, number = after or (-1, 0)
        wanted = None if numbers is None else list(numbers)
        given = {"study": study_id, "numbers": wanted, "trial": trial, "number": number, "limit": limit}
        return self._all(Attempt, "attempts_page", **given)

    def reports_page(
        self, study_id: int, numbers: Sequence[int] | None, *, after: tuple[int, int] | None = None, limit: int = 500
    ) -> list[tuple[int, Report]]:
        trial, step = after or (-1, -1)
        wanted = None if numbers is None else list(numbers)
        given = {"study": study_id, "numbers": wanted, "trial": trial, "step": step, "limit": limit}
        rows = self._rows("reports_page", **given)
        return [(row["trial"], Report(row["step"], row["value"], row["metrics"], None, row["at"])) for row in rows]

    def begin_request(self, token: str, key: str, asked: str) -> Answered | None:
        self._rows("forget_old_requests")
        given = {"token": token, "key": key}
        if self._db.once(statement("begin_request"), **given, asked=asked):
            return None
        found = self._rows("request", **given)
        return Answered(asked, None, b"") if not found else Answered(**found[0])

    def end_request(self, token: str, key: str, status: int, answer: bytes) -> None:
        self._rows("end_request", token=token, key=key, status=status, answer=answer)

    def forget_request(self, token: str, key: str) -> None:
        self._rows("forget_request", token=token, key=key)

    def look_on(self, viewer: str, for_s: float) -> None:
        self._rows("look_on", viewer=viewer, for_s=for_s)

    def look_away(self, viewer: str) -> None:
        self._rows("look_away", viewer=viewer)

    def changes(self, every_s: float) -> Iterator[set[int]]:
        with self._db.dedicated(statement("listen")) as (connection, _):
            try:
                while True:
                    yield {int(each.payload) for each in connection.notifies(timeout=every_s) if each.payload.isdigit()}
            finally:
                if not connection.closed:
                    connection.execute("UNLISTEN *")


def _words(given: Sequence[Any] | None) -> list[str] | None:
    return None if not given else [str(each) for each in given]


def _filter(wanted: TrialFilter) -> dict[str, Any]:
    return {
        "states": _words(wanted.states),
        "sources": _words(wanted.sources),
        "faults": _words(wanted.faults),
        "min_score": wanted.min_score,
        "max_score": wanted.max_score,
    }
