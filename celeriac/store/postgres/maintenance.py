"""What keeps the service going: leases that ran out, tickets that got lost, devices, and what may be thrown away."""

from collections.abc import Sequence
from datetime import datetime

from celeriac.domain.records import (
    Checkpoint,
    Device,
    Duty,
    LetGo,
    OpenAttempt,
    PutAside,
    ReaperLook,
    SlotRun,
    TrialRecord,
)
from celeriac.store.api import Pruned
from celeriac.store.postgres.records import values_of
from celeriac.store.postgres.statements import statement
from celeriac.store.postgres.verbs import Verbs


class Maintenance(Verbs):
    """Verbs of the reaper, the node and the housekeeping."""

    def expired(self, limit: int = 1000) -> list[OpenAttempt]:
        return self._all(OpenAttempt, "expired", limit=limit)

    def reaper_look(self) -> tuple[datetime, ReaperLook | None]:
        row = dict(self._rows("reaper_look")[0])
        now = row.pop("now")
        return now, ReaperLook(**row) if row["looked_at"] is not None else None

    def keep_look(self, look: ReaperLook, last: ReaperLook | None) -> bool:
        return bool(self._rows("keep_look", **values_of(look), last=last and last.looked_at))

    def did(self, duty: str, every_s: float) -> None:
        self._rows("did", name=duty, every_s=every_s)

    def duties(self) -> list[Duty]:
        return self._all(Duty, "duties")

    def open_attempts_of(self, worker: str) -> list[OpenAttempt]:
        return self._all(OpenAttempt, "open_attempts_of", worker=worker)

    def own_attempts(self, worker: str) -> list[OpenAttempt]:
        return self._all(OpenAttempt, "own_attempts", worker=worker, key=self._key)

    def unclaimed(self, studies: Sequence[int], older_than_s: float, limit: int = 1000) -> list[TrialRecord]:
        return self._all(TrialRecord, "unclaimed", studies=list(studies), older_than_s=older_than_s, limit=limit)

    def touch_queued(self, trials: Sequence[tuple[int, int]]) -> list[TrialRecord]:
        listed = tuple({"study_id": study_id, "number": number} for study_id, number in sorted(set(trials)))
        return self._all(TrialRecord, "touch_queued", trials=listed)

    def put_devices(self, host: str, devices: Sequence[Device]) -> None:
        listed = tuple({**values_of(each), "heartbeat_at": None} for each in devices)
        self._rows("put_devices", host=host, key=self._key, uuids=[each.uuid for each in devices], devices=listed)

    def devices(self, *, alive: bool = False) -> list[Device]:
        return self._all(Device, "devices", alive=alive)

    def let_go(self, study_id: int, numbers: Sequence[int], older_than_s: float) -> list[LetGo]:
        return self._all(LetGo, "let_go", study=study_id, numbers=list(numbers), older_than_s=older_than_s)

    def put_aside(self, token: str, reason: str, for_s: float, *, study_only: bool) -> None:
        self._rows("put_aside", token=token, reason=reason, for_s=for_s, study_only=study_only)

    def has_other_slots(self, worker: str, gpus: float) -> bool:
        return bool(self._rows("has_other_slots", worker=worker, gpus=gpus)[0]["found"])

    def slot_runs(self, since: datetime) -> list[SlotRun]:
        return self._all(SlotRun, "slot_runs", since=since)

    def wanted_slots(self, *, on_gpus: bool) -> float:
        return float(self._rows("wanted_slots", gpus=int(on_gpus))[0]["wanted"])

    def put_asides(self) -> list[PutAside]:
        return self._all(PutAside, "put_asides")

    def prune(self, study_id: int, before: datetime, *, reports: bool, logs: bool, limit: int = 5000) -> Pruned:
        if logs:
            self._rows("note_pruned", study=study_id, before=before)

        def pruned(table: str) -> int:
            rows = self._db.rows(statement("prune", table=table), study=study_id, before=before, limit=limit)
            return int(rows[0]["gone"])

        return Pruned(pruned("report") if reports else 0, pruned("attempt_log") if logs else 0)

    def old_checkpoints(
        self, study_id: int, before: datetime, *, after: tuple[int, int, int] = (-1, -1, -1), limit: int = 500
    ) -> list[Checkpoint]:
        place = dict(zip(("trial", "step", "attempt"), after, strict=True))
        return self._all(Checkpoint, "old_checkpoints", study=study_id, before=before, limit=limit, **place)

    def forget_models(self, study_id: int, kept: Sequence[str]) -> int:
        return len(self._rows("forget_models", study=study_id, kept=list(kept)))

    def prune_checkpoints(self, study_id: int, before: datetime, checkpoints: Sequence[Checkpoint]) -> int:
        paths = [each.path for each in checkpoints]
        return int(self._rows("prune_checkpoints", study=study_id, before=before, paths=paths)[0]["gone"])
