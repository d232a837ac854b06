"""How many samples does each device take at once, so that together they see exactly one global batch? And which
learning rate belongs to another global batch? Promise: pure, standard library only.

    256 samples, at most 64 a device, on 3 devices:   2 steps of 43/43/42

A global batch is cut into accumulation steps, as few as fit, and each step into one micro-batch a device; sizes within
a step differ by one sample at most. A micro-batch's weight is its share of the samples. The sum over all micro-batches
of weight x gradient of the micro-batch's mean loss is the gradient of the mean loss over the global batch. That is
exact for any remainder; equal weights would count the samples of a smaller micro-batch more than others.

When the global batch itself must change, the learning rate follows by a named rule: linear for SGD (Goyal et al. 2017,
"Accurate, Large Minibatch SGD"), square root for Adam (Malladi et al. 2022, "On the SDEs and Scaling Rules for Adaptive
Gradient Algorithms").
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt


class Rule(StrEnum):
    """How the learning rate follows the global batch; the factor is the new batch over the one that was asked for."""

    LINEAR = "linear"  # SGD: rate x factor
    SQUARE_ROOT = "square root"  # Adam: rate x sqrt(factor), and its moments follow too


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """How one global batch is cut. `micro_batches[step][rank]`: samples; 0 where there are fewer samples than devices.

    `asked`: the global batch that was asked for; `global_batch` is less only where `most_steps` did not allow it.
    `rank`: whose `sizes`, `weights` and `places` these are.
    """

    asked: int
    global_batch: int
    per_device_max: int
    world: int
    rank: int
    micro_batches: tuple[tuple[int, ...], ...]

    @property
    def steps(self) -> int:
        """Accumulation steps: micro-batches that each device works through before the optimizer's step."""
        return len(self.micro_batches)

    @property
    def largest(self) -> int:
        """The most samples that any device takes at once."""
        return max(map(max, self.micro_batches))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The micro-batches of this rank, one a step."""
        return tuple(step[self.rank] for step in self.micro_batches)

    @property
    def weights(self) -> tuple[float, ...]:
        """What the mean loss of each of this rank's micro-batches counts: over all ranks and steps they sum to one."""
        return tuple(size / self.global_batch for size in self.sizes)

    @property
    def places(self) -> tuple[slice, ...]:
        """Where in the global batch the samples of this rank's micro-batches stand: together the ranks take each once,
        and the same ones on any number of devices.
        """
        return tuple(self._places())

    def _places(self) -> Iterator[slice]:
        before = 0
        for step in self.micro_batches:
            start = before + sum(step[: self.rank])
            yield slice(start, start + step[self.rank])
            before += sum(step)

    def of(self, samples: int) -> "BatchPlan":
        """The plan of a smaller batch on the same devices, as the last one of an epoch is."""
        return batch_plan(samples, self.per_device_max, self.world, rank=self.rank)

    def __str__(self) -> str:
        """`256 = 2 steps of 43/43/42`; steps that differ are told one by one."""
        shapes = ["/".join(map(str, step)) for step in self.micro_batches]
        if self.steps == 1:
            return f"{self.global_batch} = 1 step of {shapes[0]}"
        if len(set(shapes)) == 1:
            return f"{self.global_batch} = {self.steps} steps of {shapes[0]}"
        runs = [f"{shapes.count(each)} of {each}" for each in dict.fromkeys(shapes)]
        return f"{self.global_batch} = {self.steps} steps, {' and '.join(runs)}"


def batch_plan(
    global_batch: int, per_device_max: int, world: int = 1, *, rank: int = 0, most_steps: int | None = None
) -> BatchPlan:
    """Cut `global_batch` samples for `world` devices, of which none takes more than `per_device_max` at once.

    `most_steps`: more accumulation is not wanted; then the global batch is what fits into so many steps, and the
    learning rate should follow (`adapted`). Raises TypeError or ValueError naming the argument.
    """
    asked = _whole("global_batch", global_batch)
    most, devices = _whole("per_device_max", per_device_max), _whole("world", world)
    if not 0 <= rank < devices:
        raise ValueError(f"rank {rank}: ranks of {devices} devices are 0 to {devices - 1}")
    allowed = asked if most_steps is None else _whole("most_steps", most_steps) * most * devices
    taken = min(asked, allowed)
    steps = -(-taken // (most * devices))
    cut = tuple(_spread(samples, devices) for samples in _spread(taken, steps))
    return BatchPlan(asked, taken, most, devices, rank, cut)


def _spread(samples: int, parts: int) -> tuple[int, ...]:
    """Whole parts that sum to `samples` and differ by one at most, larger ones first."""
    least, rest = divmod(samples, parts)
    return (least + 1,) * rest + (least,) * (parts - rest)


def _whole(name: str, value: int) -> int:
    if type(value) is not int:
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, got {value}")
    return value


@dataclass(frozen=True, slots=True)
class AdaptedRate:
    """A learning rate that followed its global batch: `rate` instead of `asked`, by `rule`; `factor`: new batch over
    old. Over `warmup_steps` of the optimizer it grows from `asked` to `rate`, where it grows at all.
    """

    asked: float
    rate: float
    rule: Rule
    factor: float
    warmup_steps: int = 0

    def at(self, step: int) -> float:
        """The rate of the optimizer's step `step`, from 0: a gradual warm-up (Goyal et al. 2017, section 2.2)."""
        if step >= self.warmup_steps or self.rate <= self.asked:
            return self.rate
        return self.asked + (self.rate - self.asked) * step / self.warmup_steps

    def betas(self, first: float, second: float) -> tuple[float, float]:
        """Adam's decay rates: as many samples are remembered as before (Malladi et al. 2022: 1 - factor x (1 - beta)),
        at least none; by the linear rule they stay.
        """
        if self.rule is Rule.LINEAR:
            return first, second
        return max(1.0 - self.factor * (1.0 - first), 0.0), max(1.0 - self.factor * (1.0 - second), 0.0)

    def eps(self, eps: float) -> float:
        """Adam's epsilon: eps / sqrt(factor) (Malladi et al. 2022); by the linear rule it stays."""
        return eps if self.rule is Rule.LINEAR else eps / sqrt(self.factor)

    def __str__(self) -> str:
        source = "Goyal 2017" if self.rule is Rule.LINEAR else "Malladi 2022"
        return f"{self.asked:g} -> {self.rate:g} ({self.rule} rule, {source})"


def adapted(rate: float, plan: BatchPlan, rule: Rule | str, *, warmup_steps: int = 0) -> AdaptedRate:
    """The learning rate for the plan's global batch, where `rate` belongs to the one that was asked for.

    Raises ValueError for a rule of another name, a rate that is not above 0, or a warm-up of less than no steps.
    """
    try:
        named = Rule(rule)
    except ValueError:
        raise ValueError(f"no rule {rule!r} for learning rates: {', '.join(Rule)}") from None
    if not rate > 0:
        raise ValueError(f"a learning rate is above 0, got {rate!r}")
    if warmup_steps < 0:
        raise ValueError(f"warmup_steps must be 0 or more, got {warmup_steps}")
    factor = plan.global_batch / plan.asked
    scaled = rate * (factor if named is Rule.LINEAR else sqrt(factor))
    return AdaptedRate(rate, scaled, named, factor, warmup_steps)
