"""Is a device sick, so that its trials are to go on elsewhere? By what its driver says of it.

A device that does not answer is lost. Memory errors that could not be corrected, since the driver was loaded, make
results wrong: such a device is well again when its driver was reset. One that is hotter than the temperature at which
it slows itself down has no cooling: it is well again when it is HEADROOM_C cooler, so that it does not come and go.

An Xid fault of its own, and not of a program's, leaves it broken until it is reset: nothing tells that it was, so it
stays out until its node starts again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

HEADROOM_C = 10
#: The Xid faults that call for a reset of the GPU or its host (NVIDIA's catalogue,
#: https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html). Others are a program's, such as 13, 31 and 43,
#: or tell what was mended, such as 63 and 94: the trial that they strike fails by itself.
SICK_XIDS = {
    48: "a memory error that ECC could not correct",
    62: "its microcontroller has halted",
    64: "a bad row of its memory could not be replaced",
    74: "an NVLink error",
    79: "it has fallen off the bus",
    95: "a memory error that could not be contained",
    119: "its system processor does not answer",
    120: "its system processor has failed",
    140: "a memory error that was not recovered from",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What a device says of itself: free memory in bytes, its temperature and the one at which it slows down (degrees
    Celsius), memory errors that could not be corrected, and the share of the last moment in which it computed (0 to
    1). None: its kind does not tell.
    """

    free_bytes: int
    temperature_c: int | None = None
    limit_c: int | None = None
    ecc_errors: int | None = None
    utilisation: float | None = None


@dataclass(frozen=True, slots=True)
class HealthDecision:
    """`reason`: why the device takes no trials, or "" while it is well; `xid`: the fault that stays."""

    reason: str = ""
    xid: int = 0

    @property
    def is_sick(self) -> bool:
        """Whether its trials go on elsewhere."""
        return bool(self.reason)


def health(condition: Condition | None, before: HealthDecision, xids: Sequence[int] = ()) -> HealthDecision:
    """Decide on what a device says now (None: it does not answer), after what was decided `before`; `xids`: the faults
    that its driver has told since.
    """
    xid = before.xid or next((each for each in xids if each in SICK_XIDS), 0)
    if xid:
        return HealthDecision(f"sick: Xid {xid}, {SICK_XIDS[xid]}; reset it, and start its node again", xid)
    if condition is None:
        return HealthDecision("lost: its driver does not answer for it")
    if condition.ecc_errors:
        return HealthDecision(f"sick: {condition.ecc_errors} memory errors that ECC could not correct")
    if condition.temperature_c is None or condition.limit_c is None:
        return HealthDecision()
    limit = condition.limit_c - (HEADROOM_C if before.is_sick else 0)
    if condition.temperature_c >= limit:
        return HealthDecision(f"sick: {condition.temperature_c} °C, and it slows down at {condition.limit_c} °C")
    return HealthDecision()
