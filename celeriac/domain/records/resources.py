"""What one trial of a study asks of the fleet: devices or a share of one, memory, and labels of the host.

A member is what a trial has of one device: a trial has one, and as a gang several, each of them on a device of its own
(or a CPU slot of its own). A share is a part of one GPU, and has one member.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The least share of a GPU, and the most members of a gang.
LEAST_SHARE, MOST_MEMBERS = 0.01, 256

_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(B|[KMGT]i?B)")
_UNIT = {"B": 1, **{f"{each}iB": 1024 ** (i + 1) for i, each in enumerate("KMGT")}}
_UNIT |= {f"{each}B": 1000 ** (i + 1) for i, each in enumerate("KMGT")}


@dataclass(frozen=True, slots=True)
class Resources:
    """What one trial asks for.

    `gpus`: 0 runs on any slot; below 1 is a share of one GPU; else so many whole GPUs at most. `slots`: without GPUs,
    so many slots at most. `least`: the members with which it may start. `gpu_memory_bytes`: of each GPU that it is on
    (0: not told). `labels`: those that the host must have.
    """

    gpus: float = 0
    slots: int = 1
    least: int = 1
    gpu_memory_bytes: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on GPUs alone."""
        return self.gpus > 0

    @property
    def members(self) -> int:
        """How many devices, or slots, it has at most at once."""
        return max(int(self.gpus), 1) if self.on_gpu else self.slots

    @property
    def share(self) -> float:
        """What each member has of its device (of a CPU: of a slot): 1 is all of it."""
        return min(float(self.gpus), 1.0) if self.on_gpu else 1.0

    @property
    def width(self) -> float:
        """Devices, or CPU slots, that one trial holds: 0.25, 1, 4."""
        return self.share * self.members

    @property
    def is_gang(self) -> bool:
        """Whether it may have several members."""
        return self.members > 1

    @property
    def is_plain(self) -> bool:
        """Whether any slot of its class will do: a CPU slot, or one whole GPU, without a wish."""
        return self.width == 1 and not self.gpu_memory_bytes and not self.labels

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: `resources` of a study file; `Resources.read` reads it."""
        form: dict[str, Any] = {"gpus": _counted(self.gpus, self.least)}
        if not self.on_gpu and self.is_gang:
            form["slots"] = _counted(self.slots, self.least)
        if self.gpu_memory_bytes:
            form["gpu_memory"] = bytes_text(self.gpu_memory_bytes)
        if self.labels:
            form["labels"] = dict(self.labels)
        return form

    @classmethod
    def read(cls, form: Mapping[str, Any] | None) -> "Resources":
        """From the canonical form, which is sound; None is a study of a time when there was none."""
        form = form or {}
        gpus, slots = form.get("gpus", 0), form.get("slots", 1)
        given = gpus if _most(gpus) else slots
        return cls(
            gpus=_most(gpus),
            slots=int(_most(slots)),
            least=int(given["min"]) if isinstance(given, Mapping) else max(int(given), 1),
            gpu_memory_bytes=bytes_of(form.get("gpu_memory", 0)) or 0,
            labels=dict(form.get("labels") or {}),
        )


def bytes_of(value: object) -> int | None:
    """A size in bytes: of a whole number of them, or of text such as `6GiB` or `500 MB`; None for what is none."""
    if isinstance(value, str):
        found = _BYTES.fullmatch(value.strip())
        return round(float(found[1]) * _UNIT[found[2]]) if found else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        return None
    return int(value)


def bytes_text(size: int) -> str:
    """A size as `bytes_of` reads it, in the largest unit of which it is a whole number: `6GiB`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _UNIT[unit] == 0:
            return f"{size // _UNIT[unit]}{unit}"
    return f"{size}B"


def _counted(most: float, least: int) -> Any:
    whole = int(most) if most == int(most) else most
    return {"min": least, "max": whole} if whole > 1 and least != whole else whole


def _most(given: Any) -> float:
    most: float = given["max"] if isinstance(given, Mapping) else given
    return most
