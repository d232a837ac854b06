"""A plain torch loop on any number of devices: the same training, whatever the batch plan. Imports torch; nothing else
of Celeriac's SDK does.

    training = trial.distributed(model, optimizer, loader)       # the loader's batch_size is the global batch
    for epoch in range(trial.start, 20):
        for x, y in training:                                    # this rank's micro-batches
            training.backward(loss_of(training.model(x), y))     # a mean over the samples that it sees
            training.step()                                      # once the global batch is whole

Promises: a global batch is the same samples in the same order on 1, 2, 3 or more devices, and each is seen once an
epoch; the gradient of an optimizer's step is that of the mean loss over the global batch, also where its size does not
divide, and in the last, smaller batch. Gradients are exchanged once a global batch (DDP's `no_sync` before). What mixes
the samples of a micro-batch, as BatchNorm does, is not covered, and is warned of.
"""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import distributed as group
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, IterableDataset

from celeriac.batch_plan import AdaptedRate, BatchPlan, Rule


class PlansBatches(Protocol):
    """What is needed of a `celeriac.Trial`, where it is said what each of these is."""

    @property
    def seed(self) -> int:
        """Decides the order of the samples."""

    @property
    def start(self) -> int:
        """The epoch to begin with."""

    @property
    def device(self) -> str:
        """As torch spells it."""

    @property
    def rank(self) -> int:
        """From 0."""

    @property
    def world(self) -> int:
        """How many processes there are."""

    def batch_plan(
        self, global_batch: int, per_device_max: int, world: int | None = None, *, most_steps: int | None = None
    ) -> BatchPlan:
        """See `celeriac.Trial.batch_plan`."""

    def adapted_rate(self, rate: float, plan: BatchPlan, rule: Rule | str, *, warmup_steps: int = 0) -> AdaptedRate:
        """See `celeriac.Trial.adapted_rate`."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One micro-batch of this rank: which samples, what its mean loss counts, and whether it ends a global batch."""

    samples: list[int]
    weight: float
    is_last: bool


class _Parts:
    """The batch sampler: an epoch's micro-batches, laid out before its loader is iterated."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter([each.samples for each in self.parts])

    def __len__(self) -> int:
        return len(self.parts)


class Distributed:
    """What `trial.distributed` returns. `model` is the one to call, wrapped for several devices; `plan` says how a
    global batch is cut; `epoch`, from `trial.start`, chooses the order of the samples; `rates`: the learning rate of
    each of the optimizer's groups, where it followed another global batch.
    """

    def __init__(
        self, model: Any, optimizer: Any, loader: Any, plan: BatchPlan, *, seed: int, epoch: int, unused: bool
    ) -> None:
        self.plan, self.optimizer, self.epoch = plan, optimizer, epoch
        self.rates: list[AdaptedRate] = []
        self.model = model if plan.world == 1 else DistributedDataParallel(model, find_unused_parameters=unused)
        self._seed, self._sampler, self._drops_last = seed, loader.sampler, loader.drop_last
        self._parts = _Parts()
        self._loader = _with_batches(loader, self._parts)
        self._device = next(iter(model.parameters())).device
        self._part: _Part | None = None
        self._called = False
        self._sum: Any = 0.0
        self._loss: Any = None
        self._steps = epoch * self.batches
        self.model.register_forward_pre_hook(self._note_call)

    @property
    def batches(self) -> int:
        """Global batches an epoch, which is the optimizer's steps."""
        whole, rest = divmod(len(self._sampler), self.plan.global_batch)
        return whole + (rest > 0 and not self._drops_last)

    @property
    def loss(self) -> float:
        """The mean loss over the last whole global batch, alike on every rank; it waits for the device."""
        if self._loss is None:
            raise RuntimeError("training.loss: no global batch is whole yet")
        return float(self._loss)

    def __iter__(self) -> Iterator[Any]:
        """The micro-batches of this rank, one epoch of them, as the loader collates them. A rank without samples in a
        step gets one of another rank's, which counts nothing: it must take part in the exchange.
        """
        self._parts.parts = list(self._laid_out())
        self.optimizer.zero_grad(set_to_none=True)
        self._sum = 0.0
        for batch, part in zip(self._loader, self._parts.parts, strict=True):
            self._part = part
            with self._exchange(part):
                yield batch
        self._part = None
        self.epoch += 1

    def __len__(self) -> int:
        """Micro-batches an epoch."""
        rest = len(self._sampler) % self.plan.global_batch
        last = self.plan.of(rest).steps if rest and not self._drops_last else 0
        return len(self._sampler) // self.plan.global_batch * self.plan.steps + last

    def scaled(self, loss: Any) -> Any:
        """The micro-batch's mean loss as it counts: for those who call `.backward()` themselves, as with a GradScaler.

        DDP divides by the number of devices, which is undone here.
        """
        part = self._current("backward")
        if self.plan.world > 1 and not self._called:
            raise RuntimeError("the loss is not of training.model: call that one, not the model that you made")
        self._called = False
        self._sum = self._sum + part.weight * loss.detach()
        if part.is_last:
            if self.plan.world > 1:
                group.all_reduce(self._sum)
            self._loss, self._sum = self._sum, 0.0
        return loss * (part.weight * self.plan.world)

    def backward(self, loss: Any) -> None:
        """Add the gradient of the micro-batch's mean loss, by its weight; `loss` is a mean over its samples."""
        self.scaled(loss).backward()

    def step(self, *, max_norm: float | None = None) -> bool:
        """Let the optimizer step if the global batch is whole, and say whether it did. `max_norm` clips the gradient of
        the whole batch before.
        """
        if not self._current("step").is_last:
            return False
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_norm)
        for each, rate in zip(self.optimizer.param_groups, self.rates, strict=False):
            if self._steps <= rate.warmup_steps:
                each["lr"] = rate.at(self._steps)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._steps += 1
        return True

    def _current(self, what: str) -> _Part:
        if self._part is None:
            raise RuntimeError(f"training.{what} outside of `for batch in training:`")
        return self._part

    def _note_call(self, *_: object) -> None:
        self._called = True

    def _exchange(self, part: _Part) -> AbstractContextManager[None]:
        """Gradients are exchanged with the last micro-batch of a global batch; the ones before only add up."""
        if self.plan.world == 1 or part.is_last:
            return nullcontext()
        held: AbstractContextManager[None] = self.model.no_sync()
        return held

    def _laid_out(self) -> Iterator[_Part]:
        """The micro-batches of the coming epoch. Raises RuntimeError where the ranks would not see the same order."""
        order, size = self._order(), self.plan.global_batch
        self._agree_on(order)
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            if len(batch) < size and self._drops_last:
                return
            plan = self.plan if len(batch) == size else self.plan.of(len(batch))
            for step, (place, weight) in enumerate(zip(plan.places, plan.weights, strict=True), 1):
                yield _Part(batch[place] or batch[:1], weight, step == plan.steps)

    def _order(self) -> list[int]:
        """What the loader's own sampler draws, by the trial's seed and the epoch: alike on every rank and on a
        resume. torch's random state is left as it was.
        """
        seed = _hashed(f"{self._seed}/{self.epoch}/order".encode())
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            if getattr(self._sampler, "generator", None) is not None:
                self._sampler.generator.manual_seed(seed)
            return [int(index) for index in self._sampler]

    def _agree_on(self, order: list[int]) -> None:
        if self.plan.world == 1:
            return
        mark = _hashed(",".join(map(str, order)).encode())
        both = torch.tensor([mark, -mark], device=self._device)
        group.all_reduce(both, op=group.ReduceOp.MAX)
        if both[0] != -both[1]:
            raise RuntimeError(
                f"the loader's {type(self._sampler).__name__} draws another order on each rank: let it draw from torch,"
                " or from a generator that is seeded alike"
            )


def distribute(
    trial: PlansBatches,
    model: Any,
    optimizer: Any,
    loader: Any,
    *,
    per_device_max: int | None = None,
    most_steps: int | None = None,
    rule: Rule | str | None = None,
    warmup_steps: int = 0,
    find_unused_parameters: bool = False,
) -> Distributed:
    """See `celeriac.Trial.distributed`. A script that torchrun started, without the service, counts its processes."""
    size = _global_batch(loader)
    rank, world = _members(trial)
    plan = replace(trial.batch_plan(size, per_device_max or size, world, most_steps=most_steps), rank=rank)
    _warn_of_batch_norm(model, plan)
    training = Distributed(
        model, optimizer, loader, plan, seed=trial.seed, epoch=trial.start, unused=find_unused_parameters
    )
    if plan.global_batch != plan.asked or any("batch_factor" in each for each in optimizer.param_groups):
        training.rates = _adapt(trial, optimizer, plan, rule or _rule_of(optimizer), warmup_steps)
    return training


def _global_batch(loader: Any) -> int:
    """The loader's batch size. Raises TypeError for a loader whose samples cannot be dealt out by their indices."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        raise TypeError(
            f"trial.distributed needs a torch DataLoader of a dataset with indices, got {type(loader).__name__}: deal"
            " out other data yourself, by trial.batch_plan"
        )
    if loader.batch_size is None or type(loader.batch_sampler) is not BatchSampler:
        raise TypeError("trial.distributed: give the loader batch_size=, the global batch, and no batch_sampler")
    if isinstance(loader.sampler, DistributedSampler):
        raise TypeError("trial.distributed deals out the samples itself: give the loader no DistributedSampler")
    return int(loader.batch_size)


def _members(trial: PlansBatches) -> tuple[int, int]:
    """The rank of this process, and how many there are; joins the others where nobody has yet, by MASTER_ADDR and
    MASTER_PORT.
    """
    if trial.world > 1 and not group.is_initialized():
        backend = "nccl" if trial.device.startswith("cuda") else "gloo"
        group.init_process_group(backend, rank=trial.rank, world_size=trial.world)
    if group.is_available() and group.is_initialized():
        return group.get_rank(), group.get_world_size()
    return trial.rank, trial.world


def _with_batches(loader: Any, parts: _Parts) -> Any:
    """The same loader with other batches."""
    kept = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context")
    more = ("prefetch_factor", "persistent_workers", "pin_memory_device")
    return DataLoader(loader.dataset, batch_sampler=parts, **{name: getattr(loader, name) for name in (*kept, *more)})


def _adapt(
    trial: PlansBatches, optimizer: Any, plan: BatchPlan, rule: Rule | str, warmup_steps: int
) -> list[AdaptedRate]:
    """Have every group's rate follow the batch. A state that was loaded with another batch's rate follows from that
    one: `batch_factor` in the group says by how much it has followed.
    """
    rates = []
    for each in reversed(optimizer.param_groups):  # the first group's stays recorded
        rate = trial.adapted_rate(each["lr"] / each.get("batch_factor", 1.0), plan, rule, warmup_steps=warmup_steps)
        each["lr"], each["batch_factor"] = rate.rate, rate.rate / rate.asked
        if "betas" in each:
            each.setdefault("asked_betas", each["betas"])
            each.setdefault("asked_eps", each["eps"])
            each["betas"], each["eps"] = rate.betas(*each["asked_betas"]), rate.eps(each["asked_eps"])
        rates.append(rate)
    return rates[::-1]


def _rule_of(optimizer: Any) -> Rule:
    """SGD follows linearly, Adam and its kin by the square root. Raises ValueError for others."""
    if isinstance(optimizer, torch.optim.SGD):
        return Rule.LINEAR
    if all("betas" in each for each in optimizer.param_groups):
        return Rule.SQUARE_ROOT
    raise ValueError(
        f"the global batch changes, and no rule is known for the learning rate of {type(optimizer).__name__}:"
        f" say rule=, one of {', '.join(Rule)}"
    )


def _warn_of_batch_norm(model: Any, plan: BatchPlan) -> None:
    found = next((name for name, each in model.named_modules() if isinstance(each, _BatchNorm)), None)
    if found is not None and plan.largest < plan.global_batch:
        warnings.warn(
            f"{found or 'the model'} is a BatchNorm: it sees micro-batches of {plan.largest}, not the global batch of"
            f" {plan.global_batch}, so the training depends on the number of devices. GroupNorm or LayerNorm does not",
            stacklevel=4,
        )


def _hashed(data: bytes) -> int:
    """62 bits that are the same on every host, so that their negative fits as well."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> 2
