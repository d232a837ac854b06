"""NVIDIA's Multi-Process Service, where the host offers it: trials that share a GPU compute at once instead of in
turns, and the driver itself holds each to its part.

The control daemon is the host's (`nvidia-cuda-mps-control -d`), never ours. A CUDA program finds it by its pipe
directory, and reads its own limits from its environment when it first uses the GPU
(https://docs.nvidia.com/deploy/mps/appendix-tools-and-interface-reference.html).
"""

from collections.abc import Mapping
from pathlib import Path

PIPE_DIRECTORY, DEFAULT = "CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"  # noqa: S108 - NVIDIA's own, looked at alone


def is_offered(environ: Mapping[str, str]) -> bool:
    """Whether a control daemon has its pipe where programs with this environment look for it."""
    return Path(environ.get(PIPE_DIRECTORY) or DEFAULT, "control").exists()


def limits(share: float, memory_bytes: int) -> dict[str, str]:
    """What a process that has so much of its GPU must see: the part of the multiprocessors in per cent, and the most
    memory of its one device (0: no limit), which counts all that CUDA takes and not PyTorch's alone.
    """
    told = {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(max(round(100 * share), 1))}
    if memory_bytes:
        told["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = f"0={max(memory_bytes // 2**20, 1)}M"
    return told
