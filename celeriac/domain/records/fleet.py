"""The fleet: its devices, the slots that take no trials for a while, and what the coordinator last did."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

#: A device whose node has been silent for more of its heartbeats than this is gone.
ALIVE_BEATS = 4


@dataclass(frozen=True, slots=True)
class Device:
    """One device of one host and its slots, as the host's node last said. `kind` is "cpu" or the GPU's name.

    `heartbeat_s`: how often its node speaks. `used_bytes`: memory that anybody uses there; `utilisation`: the share of
    the last moment in which it computed (0 to 1); `temperature_c`. None: nobody knows.
    """

    uuid: str
    host: str
    kind: str
    memory_bytes: int
    labels: Mapping[str, str]
    slots: tuple[str, ...]
    fingerprint: str
    health: str
    heartbeat_at: datetime
    heartbeat_s: float = 5.0
    used_bytes: int | None = None
    utilisation: float | None = None
    temperature_c: int | None = None

    def is_alive(self, now: datetime) -> bool:
        """Whether its node spoke within ALIVE_BEATS of its own heartbeats: the one rule of this."""
        return (now - self.heartbeat_at).total_seconds() <= ALIVE_BEATS * self.heartbeat_s

    @property
    def is_gpu(self) -> bool:
        """Whether this is a GPU (anything that is not "cpu")."""
        return self.kind != "cpu"


@dataclass(frozen=True, slots=True)
class LiveGpu:
    """A GPU that is alive, also one that is taken out for a while, as far as it matters to a trial that looks for
    another kind.
    """

    kind: str
    memory_bytes: int
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PutAside:
    """A slot that takes no trials until then, or none of one study (`study_id`; 0: of any), and why."""

    worker: str
    study_id: int
    reason: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class SlotRun:
    """One attempt as its slot's time: when it was leased and ended (None: it runs), and how long its objective ran.

    `opened_at`: from when on its study could use a slot; `ready_at`: when its trial was there to be run, suggested or
    handed back. `device`: where it ran; `share` and `memory_bytes`: what it held of it, of one that was placed there.
    """

    worker: str
    leased_at: datetime
    ended_at: datetime | None
    ran_s: float
    opened_at: datetime
    ready_at: datetime
    device: str = ""
    share: float = 0.0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that the coordinator does again and again, every `every_s`, and how long ago it last came through."""

    name: str
    every_s: float
    ago_s: float


@dataclass(frozen=True, slots=True)
class ReaperLook:
    """When the reaper looked last, and the time before that; `seen_since`: from when on it looked without a gap.

    By the store's clock, and kept in the store: so it holds for a reaper that was restarted, for two of them, and for
    a Postgres that took over from another.
    """

    looked_at: datetime
    before_at: datetime
    seen_since: datetime
