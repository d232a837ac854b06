"""`python -m worker.gpu_test.on_card TEST`: one test in a process of its own, on the one GPU that it sees. It prints
its outcome as the last line: `{"verdict": "ok", "told": "…"}`.

The paths are those of trials: the memory cap, the class of the error, the rendezvous of a gang. `pack` and `all-reduce`
also run on a processor, which is how they are tested without a GPU.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from celeriac.domain.records import Fault
from worker.process import gpu_memory, rendezvous
from worker.process.failure import from_exception

Outcome = tuple[str, str]
GIB = 2**30
NETWORKS, STEPS, ROWS, WIDTH = 16, 30, 256, 32


def computes() -> Outcome:
    """Whether torch sees the GPU, this one alone, and computes as a processor does."""
    import torch

    if not torch.cuda.is_available():
        build = f"is a build for CUDA {torch.version.cuda}" if torch.version.cuda else "is a build without CUDA"
        return "fail", f"torch sees no GPU: torch {torch.__version__} {build}; install one that fits the driver"
    if torch.cuda.device_count() != 1:
        return "fail", f"{torch.cuda.device_count()} GPUs are seen where CUDA_VISIBLE_DEVICES names one"
    left, right = torch.randn(512, 512, dtype=torch.float64), torch.randn(512, 512, dtype=torch.float64)
    here = (left.cuda() @ right.cuda()).cpu()
    if not torch.allclose(here, left @ right, rtol=1e-9, atol=1e-9):
        return "fail", f"{torch.cuda.get_device_name(0)} multiplies matrices otherwise than the processor"
    major, minor = torch.cuda.get_device_capability(0)
    return "ok", f"{torch.cuda.get_device_name(0)} alone is seen, capability {major}.{minor}, CUDA {torch.version.cuda}"


def memory_cap() -> Outcome:
    """Whether a trial is held to its memory, and its error is known for what it is."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    most = min(total // 4, 2 * GIB)
    gpu_memory.cap(most)
    try:
        torch.empty(most + most // 4, dtype=torch.uint8, device="cuda:0")
        return "fail", f"{(most + most // 4) / GIB:.2f} GiB were given under a cap of {most / GIB:.2f} GiB"
    except Exception as error:
        failed = from_exception(error, "")
    if failed.fault is not Fault.OUT_OF_MEMORY:
        return "fail", f"what torch raised under the cap counts as {failed.fault}: {failed.detail}"
    within = torch.empty(most // 2, dtype=torch.uint8, device="cuda:0")
    peak, held = gpu_memory.peak_bytes(), within.numel()
    if not held <= peak <= most:
        return "fail", f"a peak of {peak / GIB:.2f} GiB was measured where {held / GIB:.2f} GiB were held"
    return (
        "ok",
        f"more than {most / GIB:.2f} GiB were refused, as out_of_memory; a peak of {peak / GIB:.2f} GiB was measured",
    )


def hold() -> Outcome:
    """Hold some memory until the end of stdin, and say so."""
    import torch

    kept = torch.ones(GIB, dtype=torch.uint8, device="cuda:0")
    torch.cuda.synchronize()
    print("held", flush=True)
    sys.stdin.read()
    return "ok", f"{kept.numel()} bytes were held"


def pack(device: str = "cuda:0") -> Outcome:
    """Whether networks trained as one stack come to what each comes to alone, and how much faster."""
    import torch

    networks, others = [[_network(seed, device) for seed in range(NETWORKS)] for _ in range(2)]
    torch.manual_seed(0)
    x = torch.randn(ROWS, WIDTH, dtype=torch.float64, device=device)
    y = torch.randn(ROWS, 1, dtype=torch.float64, device=device)
    rates = torch.linspace(0.01, 0.1, NETWORKS, dtype=torch.float64, device=device)
    _train_stack(networks, rates, x, y)  # the first time loads what it needs
    _train(_network(0, device), 0.1, x, y)
    stacked, stacked_s = _timed(lambda: _train_stack(networks, rates, x, y), device)
    pairs = list(zip(others, rates.tolist(), strict=True))
    alone, alone_s = _timed(lambda: [_train(network, rate, x, y) for network, rate in pairs], device)
    apart = max(abs(one - other) for one, other in zip(stacked, alone, strict=True))
    if not apart < 1e-9:
        return "fail", f"the losses of {NETWORKS} networks as one stack are up to {apart:.2g} from those of each alone"
    told = f"{NETWORKS} small networks as one stack train {alone_s / stacked_s:.1f} x as fast as one after the other"
    return "ok", f"{told}, to the same losses (within {max(apart, 1e-16):.0e})"


def all_reduce() -> Outcome:
    """Whether two processes meet as a gang's members do, and add up what each has on its device."""
    import torch
    import torch.distributed as dist

    rank, on_gpu = int(os.environ["RANK"]), torch.cuda.is_available()
    device = f"cuda:{rank}" if on_gpu else "cpu"
    job = {"rank": rank, "world": 2, "device": device, "environment": dict(os.environ), "start": 0}
    rendezvous.enter(job, all_reduce)
    told = torch.full((1 << 20,), float(rank + 1), device=device)
    dist.all_reduce(told)
    right = bool((told == 3.0).all())
    dist.destroy_process_group()
    by = "NCCL" if on_gpu else "gloo"
    return ("ok", f"two processes met and added up 4 MiB by {by}") if right else ("fail", f"{by} added up wrongly")


def _network(seed: int, device: str) -> Any:
    import torch

    torch.manual_seed(seed)
    layers = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.Tanh(), torch.nn.Linear(WIDTH, 1))
    return layers.to(device, torch.float64)


def _train(network: Any, rate: float, x: Any, y: Any) -> float:
    """The loss of one network after its steps of gradient descent."""
    import torch

    loss = torch.zeros(())
    for _ in range(STEPS):
        loss = torch.nn.functional.mse_loss(network(x), y)
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        with torch.no_grad():
            for each, gradient in zip(network.parameters(), gradients, strict=True):
                each -= rate * gradient
    return float(loss.detach())


def _train_stack(networks: list[Any], rates: Any, x: Any, y: Any) -> list[float]:
    """The same of all networks at once, on copies of their weights."""
    import torch
    from torch.func import functional_call, grad_and_value, stack_module_state, vmap

    weights, _ = stack_module_state(networks)
    weights = {name: each.detach().clone() for name, each in weights.items()}
    mold = networks[0]

    def loss_of(own: Any) -> Any:
        return torch.nn.functional.mse_loss(functional_call(mold, own, (x,)), y)

    step, losses = vmap(grad_and_value(loss_of)), torch.zeros(len(networks))
    for _ in range(STEPS):
        gradients, losses = step(weights)
        for name, gradient in gradients.items():
            weights[name] -= rates.view(-1, *[1] * (gradient.dim() - 1)) * gradient
    return [float(each) for each in losses.detach()]


def _timed(work: Callable[[], list[float]], device: str) -> tuple[list[float], float]:
    import torch

    began = time.perf_counter()
    found = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return found, time.perf_counter() - began


TESTS: dict[str, Callable[[], Outcome]] = {
    "computes": computes,
    "memory cap": memory_cap,
    "hold": hold,
    "pack": pack,
    "all-reduce": all_reduce,
}


def main() -> int:
    """Run the test that is named; what it raises is its outcome."""
    try:
        verdict, told = TESTS[sys.argv[1]]()
    except BaseException as error:
        failed = getattr(error, "faulted", None) or from_exception(error, "")
        verdict, told = "fail", failed.detail
    print(json.dumps({"verdict": verdict, "told": told}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
