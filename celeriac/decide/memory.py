"""A trial ran out of memory: may the same parameters be tried again, where, and with how many samples at once?

The same work needs the same memory. So it is tried again only if something differs: once with half of the samples at
once, where the script cuts its batch by the plan (`trial.batch_plan`), and then, or without a plan, on another kind of
device. Never again as it was on the kind where it did not fit.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from celeriac.domain.records import LiveGpu, MemoryFault, Resources


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


@dataclass(frozen=True, slots=True)
class KindsDecision:
    """The live kinds of GPU on which a trial must not run; empty where any will do: it fits on all that live, or
    nowhere, and whoever takes it then ends it. `is_left`: whether GPUs of another kind suit it. `reason`: "" where it
    never ran out of memory.
    """

    barred: frozenset[str] = frozenset()
    is_left: bool = True
    reason: str = ""


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


def other_kinds(short: Collection[str], asked: Resources, gpus: Sequence[LiveGpu]) -> KindsDecision:
    """Where a trial may run that ran out of memory on the kinds `short`, of the GPUs that live: on other kinds, with as
    much memory as those; as many of them as it asks for.
    """
    if not short:
        return KindsDecision()
    roomiest: dict[str, int] = {}
    for gpu in gpus:
        roomiest[gpu.kind] = max(roomiest.get(gpu.kind, 0), gpu.memory_bytes)
    least = max((size for kind, size in roomiest.items() if kind in short), default=0)
    barred = frozenset(kind for kind, size in roomiest.items() if kind in short or size < least)
    suiting = [gpu for gpu in gpus if gpu.kind not in barred and _has(gpu, asked)]
    said = f"it ran out of memory on {' and '.join(sorted(each or 'a device of unknown kind' for each in short))}"
    if not asked.on_gpu or len(suiting) < asked.least:
        return KindsDecision(is_left=False, reason=f"{said}, and no GPU of another kind that suits it is there")
    waits = f", and waits for a GPU other than {' or '.join(sorted(barred))}" if barred else ""
    return KindsDecision(barred, reason=said + waits)


def _has(gpu: LiveGpu, asked: Resources) -> bool:
    is_labelled = all(gpu.labels.get(key) == value for key, value in asked.labels.items())
    return is_labelled and gpu.memory_bytes >= asked.gpu_memory_bytes
