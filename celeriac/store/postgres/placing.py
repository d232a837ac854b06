"""Placed trials, devices that are taken out, and running trials that are asked back. Rule: where a trial goes, and who
gives way, was decided; here it is only kept. A request changes no state; it is the attempt's own end that does.
"""

from collections.abc import Sequence

from celeriac.domain.records import Holding, Holdings, LiveGpu, MemoryFault, RunningAttempt, ShareFigures, ShortTrial
from celeriac.store.postgres.records import placed_of
from celeriac.store.postgres.verbs import Verbs


class PlacedTrials(Verbs):
    """Verbs of placement and pre-emption."""

    def holdings(self) -> Holdings:
        placed = tuple(
            Holding(**{**row, "placed": placed_of(row["placed"])}) for row in map(dict, self._rows("placed_trials"))
        )
        return Holdings(placed, {row["device"]: row["attempts"] for row in self._rows("open_by_device")})

    def peak_memory(self, studies: Sequence[int]) -> dict[int, int]:
        return {row["study_id"]: row["peak"] for row in self._rows("peak_memory", studies=list(studies))}

    def share_figures(self, study_id: int) -> list[ShareFigures]:
        return self._all(ShareFigures, "share_figures", study=study_id)

    def short_trials(self, studies: Sequence[int]) -> list[ShortTrial]:
        found = map(dict, self._rows("short_trials", studies=list(studies)))
        return [ShortTrial(**{**row, "faults": tuple(MemoryFault(*each) for each in row["faults"])}) for row in found]

    def live_gpus(self, least_bytes: int) -> list[LiveGpu]:
        return self._all(LiveGpu, "live_gpus", least_bytes=least_bytes)

    def unplace(self, study_id: int, number: int, attempt: int) -> bool:
        return bool(self._rows("unplace", study=study_id, number=number, attempt=attempt))

    def drain(self, host: str, devices: Sequence[str], who: str) -> None:
        self._rows("drain", host=host, devices=list(devices) or [""], who=who)

    def undrain(self, host: str, devices: Sequence[str]) -> int:
        return len(self._rows("undrain", host=host, devices=list(devices) or None))

    def drained(self, host: str) -> list[str]:
        return [row["device"] for row in self._rows("drained", host=host)]

    def running_attempts(self, studies: Sequence[int]) -> list[RunningAttempt]:
        return self._all(RunningAttempt, "running_attempts", studies=list(studies))

    def preempt(self, tokens: Sequence[str], reason: str) -> int:
        return len(self._rows("preempt", tokens=list(tokens), reason=reason))
