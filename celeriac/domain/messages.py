"""Tickets: the only things that travel on Redis. Rule: ids and a version, never science.

Any ticket may be lost, doubled or late without harm; rows decide. A message once sent in any version stays readable
for ever: `tests/celeriac/domain/golden/` holds one file for each (kind, version).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from celeriac.domain.errors import MessageInvalid


@dataclass(frozen=True, slots=True)
class DriveStudy:
    """Look at this study now."""

    kind: ClassVar[str] = "drive_study"
    version: ClassVar[int] = 1
    study: int


@dataclass(frozen=True, slots=True)
class TrialEnded:
    """An attempt of this trial ended; its study may have something to decide.

    `ended_no`: the trial's place in the study's order of ends; 0: it has not ended, or (version 1) nobody says. A turn
    that has seen so many ends has nothing to learn of it.
    """

    kind: ClassVar[str] = "trial_ended"
    version: ClassVar[int] = 2
    study: int
    trial: int
    attempt: int
    ended_no: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. Carries no meaning of its own: what is due is read from rows."""

    kind: ClassVar[str] = "tick"
    version: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class RunTrial:
    """Run this trial if its next attempt is still number `attempt`; a stale ticket is a no-op."""

    kind: ClassVar[str] = "run_trial"
    version: ClassVar[int] = 1
    study: int
    trial: int
    attempt: int


@dataclass(frozen=True, slots=True)
class JoinGang:
    """Come to the gang of this trial if its next attempt is still number `attempt`: a ticket for each member."""

    kind: ClassVar[str] = "join_gang"
    version: ClassVar[int] = 1
    study: int
    trial: int
    attempt: int


#: Rows have no larger number of a trial or an attempt, and no service ever has more studies.
LARGEST_ID = 2**31 - 1

Message = DriveStudy | TrialEnded | Tick | RunTrial | JoinGang
KINDS: Mapping[str, type[Message]] = {m.kind: m for m in (DriveStudy, TrialEnded, Tick, RunTrial, JoinGang)}


def encode(message: Message) -> dict[str, Any]:
    """The JSON form: kind, version and the ids."""
    return {"kind": message.kind, "v": message.version, **asdict(message)}


def decode(data: Any) -> Message:
    """The message of a JSON form, of any version ever sent.

    Raises MessageInvalid for a kind or version this program does not know, or for missing or extra ids.
    """
    if not isinstance(data, Mapping):
        raise MessageInvalid(f"a ticket must be a JSON object, not {type(data).__name__}; it is dropped")
    kind = KINDS.get(str(data.get("kind")))
    if kind is None:
        raise MessageInvalid(f"ticket of unknown kind {data.get('kind')!r} (known: {', '.join(KINDS)}); it is dropped")
    # Version 1 of an end said no place, which is what the default says.
    if data.get("v") != kind.version and (kind, data.get("v")) != (TrialEnded, 1):
        raise MessageInvalid(
            f"ticket {kind.kind} has version {data.get('v')!r}, this program reads {kind.version}; "
            "upgrade the older of the two programs"
        )
    ids = {key: value for key, value in data.items() if key not in ("kind", "v")}
    if not all(type(value) is int and 0 <= value <= LARGEST_ID for value in ids.values()):
        raise MessageInvalid(f"ticket {kind.kind} carries something that is no id: {ids}; it is dropped")
    try:
        return kind(**ids)
    except TypeError:
        raise MessageInvalid(f"ticket {kind.kind} has other ids than expected: {sorted(ids)}; it is dropped") from None
