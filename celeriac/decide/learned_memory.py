"""How much memory of its GPU does a trial of this study need? As much as the file says, or as trials before it took.

A trial with a whole GPU has all of its memory. For a share of one, the largest peak among the study's newest attempts
is taken, and a margin: allocators keep more than they use, and the next configuration may need more than the last.
While none has been measured nobody knows, and a trial has its device to itself.
"""

from celeriac.domain.records import Resources

#: To what trials took: a part of it, and what a CUDA context takes beside PyTorch's own count.
MARGIN, CONTEXT_BYTES = 0.15, 512 * 2**20


def needed_bytes(resources: Resources, peak_bytes: int | None) -> int | None:
    """Bytes of each GPU that a trial is on; 0: it does not matter; None: nobody knows. `peak_bytes`: the largest peak
    that was measured, or None.
    """
    if not resources.on_gpu or resources.gpu_memory_bytes:
        return resources.gpu_memory_bytes
    if resources.share >= 1:
        return 0
    return None if not peak_bytes else round(peak_bytes * (1 + MARGIN)) + CONTEXT_BYTES
