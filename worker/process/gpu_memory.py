"""How much of its GPU's memory a trial's process may hold, and how much it held. Rule: torch only, and only where the
objective has loaded it: who trains without torch is held to its share by nobody here. A trial that asks for nothing
asks the driver for nothing either: that would stand between it and its first line.
"""

import sys
from contextlib import suppress


def cap(most_bytes: int) -> None:
    """Let PyTorch's allocator hold so much of the device at most (0: all): more raises torch's error for memory that
    ran out. It caps PyTorch's allocations, not the CUDA context beside them.
    """
    torch = sys.modules.get("torch") if most_bytes else None
    if torch is None or not torch.cuda.is_available():
        return
    total = torch.cuda.get_device_properties(0).total_memory
    if most_bytes < total:
        torch.cuda.set_per_process_memory_fraction(most_bytes / total, 0)


def peak_bytes() -> int:
    """The most that PyTorch has held of the device's memory; 0 where it was not used."""
    torch = sys.modules.get("torch")
    with suppress(Exception):
        if torch is not None and torch.cuda.is_initialized() and torch.cuda.is_available():
            return int(torch.cuda.max_memory_reserved(0))
    return 0
