"""Is a device sick, so that its trials are to go on elsewhere? By what its driver says of it.

A device that does not answer is lost. Memory errors that could not be corrected, since the driver was loaded, make
results wrong: such a device is well again when its driver was reset. One that is hotter than the temperature at which
it slows itself down has no cooling: it is well again when it is HEADROOM_C cooler, so that it does not come and go.
"""

from dataclasses import dataclass

HEADROOM_C = 10


@dataclass(frozen=True, slots=True)
class Condition:
    """What a device says of itself: free memory in bytes, its temperature and the one at which it slows down (degrees
    Celsius), and memory errors that could not be corrected. None: its kind does not tell.
    """

    free_bytes: int
    temperature_c: int | None = None
    limit_c: int | None = None
    ecc_errors: int | None = None


@dataclass(frozen=True, slots=True)
class HealthDecision:
    """`reason`: why the device takes no trials, or "" while it is well."""

    reason: str = ""

    @property
    def is_sick(self) -> bool:
        """Whether its trials go on elsewhere."""
        return bool(self.reason)


def health(condition: Condition | None, before: HealthDecision) -> HealthDecision:
    """Decide on what a device says now (None: it does not answer), after what was decided `before`."""
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
