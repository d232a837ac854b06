"""A trial ran out of memory: may the same parameters be tried again, where, and with how many samples at once?

The same work needs the same memory. So it is tried again only if something differs: once with half of the samples at
once, where the script cuts its batch by the plan (`trial.batch_plan`), and then, or without a plan, on another kind of
device. Never again as it was on the kind where it did not fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from celeriac.domain.records import MemoryFault


@dataclass(frozen=True, slots=True)
class MemoryDecision:
    """What the attempts that ran out of memory mean for the next one.

    `most_samples`: it takes no more than so many at once (None: as many as it likes). `smaller`: that is less than
    the last one took. `barred`: kinds of devices on which it must not run. `reason`: why it goes on, or does not.
    """

    reason: str
    most_samples: int | None = None
    smaller: bool = False
    barred: tuple[str, ...] = ()


def after_memory(faults: Sequence[MemoryFault]) -> MemoryDecision:
    """Decide for a trial's attempts that ran out of memory, in order; of none, all is allowed."""
    if not faults:
        return MemoryDecision("it did not run out of memory")
    planned = [each.micro_batch for each in faults if each.micro_batch is not None]
    most = max(min(planned) // 2, 1) if planned else None
    last = faults[-1]
    smaller = last.micro_batch is not None and last.micro_batch > 1 and len(planned) == 1
    barred = tuple(sorted({each.device_kind for each in (faults[:-1] if smaller else faults)}))
    if smaller:
        return MemoryDecision(
            f"with at most {most} samples at once instead of {last.micro_batch}, and more accumulation",
            most,
            smaller=True,
            barred=barred,
        )
    where = " and ".join(each or "a device of unknown kind" for each in barred)
    return MemoryDecision(f"not again on {where}", most, barred=barred)
