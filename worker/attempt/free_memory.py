"""Is the memory that a trial is to hold of its GPU really free? What rows say is free may still be held: by a process
that has just ended, or by somebody else on the host. The driver knows.
"""

import time

from celeriac.domain.records import Lease
from worker.attempt.control import Control
from worker.devices.probe import Probe

#: So long a process that has ended may still hold memory, and so often it is looked.
WITHIN_S, EVERY_S = 30.0, 0.25


def not_free(lease: Lease, device: str, probe: Probe, control: Control, *, within_s: float = WITHIN_S) -> str:
    """Wait until what the trial is to hold of the device is free; why it is not, or "". A trial that has a whole device
    without counting its memory, or none, waits for nothing. An order to stop ends the wait.
    """
    needed = lease.placed.memory_bytes if lease.placed is not None and lease.plan.resources.on_gpu else 0
    # One that has its device to itself need not find every byte free: the driver keeps some.
    if not needed or lease.placed is None or lease.placed.share >= 1:
        return ""
    deadline = time.monotonic() + within_s
    while True:
        condition = probe.condition(device)
        if condition is None:
            return f"the driver does not answer for {device}"
        if condition.free_bytes >= needed or control.stopped():
            return ""
        if time.monotonic() >= deadline:
            break
        control.pause(EVERY_S)
    gib = 2**30
    return (
        f"{condition.free_bytes / gib:.1f} GiB of {device} are free, and the trial is to have {needed / gib:.1f} GiB:"
        " somebody else holds the rest"
    )
