"""GPUs that stand in a file alone: for trying shares, gangs, drains and sick devices on a host without any.

    [{"uuid": "SIM-0", "kind": "H100", "memory": "80GiB", "utilisation": 0.93, "temperature_c": 61},
     {"uuid": "SIM-1", "memory": "80GiB", "free": "20GiB", "xids": [79]}]

`CELERIAC_SIMULATED_GPUS` names it. It is read anew at each look, so who edits it makes a device sick, hot, full or lost
(by leaving it out). Trials there run on the processor: `trial.device` is `cpu`, and gangs use gloo.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celeriac.decide.health import Condition
from celeriac.domain.records.resources import bytes_of
from worker.devices.probe import SIMULATED, DeviceInfo, NvmlProbe, Probe


class SimulatedProbe:
    """What the file says now; one that cannot be read has no devices, as a lost driver has none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def devices(self) -> list[DeviceInfo]:
        """As `Probe.devices`."""
        return [
            DeviceInfo(index, str(each["uuid"]), f"{SIMULATED}{each.get('kind', 'GPU')}", bytes_of(each["memory"]) or 0)
            for index, each in enumerate(self._read())
        ]

    def condition(self, uuid: str) -> Condition | None:
        """As `Probe.condition`."""
        found = self._of(uuid)
        if found is None:
            return None
        free = bytes_of(found.get("free", found["memory"])) or 0
        temperature, limit, errors = (_number(found.get(name)) for name in ("temperature_c", "limit_c", "ecc_errors"))
        return Condition(free, _whole(temperature), _whole(limit), _whole(errors), _number(found.get("utilisation")))

    def xids(self) -> Mapping[str, tuple[int, ...]]:
        """As `Probe.xids`, but again at each look as long as the file names them."""
        return {str(each["uuid"]): tuple(each["xids"]) for each in self._read() if each.get("xids")}

    def _of(self, uuid: str) -> dict[str, Any] | None:
        return next((each for each in self._read() if each["uuid"] == uuid), None)

    def _read(self) -> list[dict[str, Any]]:
        try:
            found = json.loads(self._path.read_text())
            return [each for each in found if each["uuid"] and each["memory"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []


def _number(told: Any) -> float | None:
    """What a file says, where that is a number."""
    return float(told) if isinstance(told, int | float) else None


def _whole(told: float | None) -> int | None:
    return None if told is None else round(told)


def probe_of(simulated: str, visible: str | None = None) -> Probe:
    """The host's GPUs: those of this file, or where it is "", what the driver has and `visible` leaves to us."""
    return SimulatedProbe(Path(simulated)) if simulated else NvmlProbe(visible)
