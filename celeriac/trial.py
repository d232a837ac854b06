"""The trial's handle, as the user's script sees it. Promise: standard library only, and the same class with and
without the service.

    def objective(trial):
        for step in range(trial.start, 20):
            ...
            trial.report(accuracy, step=step, checkpoint=lambda path: torch.save(state, path))
        return accuracy

`Trial` speaks through a `Channel`: in the service that is the child's socket, offline it prints and remembers. A
checkpoint is whole before anybody hears of it: written under a temporary name, synced, hashed, renamed, and only then
reported. A disk that cannot take a checkpoint costs the checkpoint, never the trial.
"""

import operator
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from celeriac.batch_plan import AdaptedRate, BatchPlan, Rule, adapted, batch_plan
from celeriac.result import MOST_INT as MOST_INT
from celeriac.result import Result as Result
from celeriac.result import Save as Save
from celeriac.result import described as described
from celeriac.result import flat as flat
from celeriac.result import number_in as number_in
from celeriac.saving import DiskRefused, write_file

if TYPE_CHECKING:
    from celeriac.distributed import Distributed

STOP = "stop"
PREEMPT = "preempt"


_current: "Trial | None" = None


def current_trial() -> "Trial | None":
    """The trial that this process runs, for code that is not handed it, such as a callback; None outside of one."""
    return _current


def enter(trial: "Trial | None") -> None:
    """The service's: this process runs that trial from here on."""
    global _current
    _current = trial


#: What an objective is marked with that makes its own process group.
OWN_PROCESS_GROUP = "celeriac_own_process_group"
F = TypeVar("F", bound=Callable[..., Any])


def own_process_group(objective: F) -> F:
    """Mark an objective that calls `torch.distributed.init_process_group` itself, as under torchrun.

    On several slots its processes find RANK, WORLD_SIZE, MASTER_ADDR and all the rest in their environment, and no
    process group. Rank 0 hears that the trial is to stop; the others are ended with it.
    """
    setattr(objective, OWN_PROCESS_GROUP, True)
    return objective


class TrialStopped(BaseException):
    """`report` raises it when the trial was asked to stop; a BaseException, so that no `except Exception` swallows
    it.
    """


class TrialPreempted(TrialStopped):
    """`report` raises it when the trial is to be handed back and resumed later; its checkpoint is safe by then."""


class Channel(Protocol):
    """Where a trial's messages go, and where the service's wishes come from."""

    def send(self, message: dict[str, Any]) -> None:
        """Hand one message over; it is a JSON object with a `kind`."""

    def poll(self) -> str | None:
        """What was asked of the trial so far: None, "stop" or "preempt". Never waits."""


class Trial:
    """One attempt at one set of parameters: what `objective(trial)` receives. All attributes are read-only."""

    def __getattr__(self, name: str) -> Any:
        """Only what is not there comes here: who writes as for Optuna is told how it is written for Celeriac."""
        hint = ""
        if name.startswith("suggest_"):
            hint = (
                ': the space stands in the study file, and the values are there already: `trial.params["lr"]`'
                " (`api: optuna` in the study file calls an objective as Optuna does)"
            )
        elif name == "should_prune":
            hint = (
                ": `trial.report(value, step=step)` stops the trial by itself where the study has a `stop_early` rule"
            )
        raise AttributeError(f"a Celeriac trial has no {name!r}{hint}")

    def __init__(
        self,
        params: Mapping[str, Any],
        *,
        channel: Channel,
        root: Path,
        directory: Path,
        context: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str = "cpu",
        study: str = "",
        number: int = 0,
        attempt: int = 1,
        checkpoint: str | None = None,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        most_samples: int | None = None,
        learns_space: bool = False,
    ) -> None:
        """Made by the service (or by `Trial.offline`): checkpoints go to `directory`, which lies below `root`."""
        self._params = MappingProxyType(dict(params))
        self._context = MappingProxyType(dict(context or {}))
        self._seed, self._device, self._study = seed, device, study
        self._number, self._attempt = number, attempt
        self._checkpoint, self._start = checkpoint, start
        self._rank, self._world, self._most_samples = rank, world, most_samples
        self._learns_space = learns_space
        self._recorded: dict[str, Any] = {}
        self._channel, self._root, self._directory = channel, root, directory
        self._last_step = -1
        self._heeded: str | None = None
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @classmethod
    def offline(
        cls,
        params: Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str | None = None,
        directory: str | os.PathLike[str] | None = None,
        checkpoint: str | None = None,
        start: int = 0,
    ) -> "Trial":
        """A trial without any service: reports are printed and kept in `trial.reports`.

        Checkpoints stay in `directory`; without one they are written to a temporary place that is gone when the trial
        is. `checkpoint` and `start` try out a resume. `device` None: the first GPU if torch is loaded and sees one.
        """
        place = Path(tempfile.mkdtemp(prefix="celeriac-offline-") if directory is None else directory)
        trial = cls(
            params,
            channel=_Printed(),
            root=place,
            directory=place,
            context=context,
            seed=seed,
            device=device or _first_device(),
            study="offline",
            checkpoint=checkpoint,
            start=start,
        )
        if directory is None:
            weakref.finalize(trial, shutil.rmtree, place, ignore_errors=True)
        return trial

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters to try, by name."""
        return self._params

    @property
    def context(self) -> Mapping[str, Any]:
        """The slice's values, when a schedule made the study."""
        return self._context

    @property
    def seed(self) -> int:
        """The trial's seed; `random`, numpy and torch are seeded with it already (not offline)."""
        return self._seed

    @property
    def device(self) -> str:
        """The device to train on, as torch spells it: "cpu" or "cuda:0"."""
        return self._device

    @property
    def study(self) -> str:
        """The study's name."""
        return self._study

    @property
    def number(self) -> int:
        """The trial's number in its study, from 0."""
        return self._number

    @property
    def attempt(self) -> int:
        """Which try at this trial this is, from 1."""
        return self._attempt

    @property
    def checkpoint(self) -> str | None:
        """The path of the newest sound checkpoint of an earlier attempt, or None."""
        return self._checkpoint

    @property
    def start(self) -> int:
        """The step to begin with: the last checkpointed step + 1, or 0."""
        return self._start

    @property
    def rank(self) -> int:
        """Which of the trial's processes this is, from 0; rank 0's reports and score count."""
        return self._rank

    @property
    def world(self) -> int:
        """How many processes train this trial together, each on a device of its own."""
        return self._world

    @property
    def learns_space(self) -> bool:
        """Whether the study's space takes in what the objective asks for (`learn_space`)."""
        return self._learns_space

    def asked(self, name: str, value: Any, form: Mapping[str, Any]) -> None:
        """The service's: the objective asks for a parameter of this form (as in a study file), and got this value."""
        if os.getpid() == self._pid and not self._rank:
            with self._lock:
                self._channel.send({"kind": "asked", "name": name, "value": value, "form": dict(form)})

    @property
    def recorded(self) -> Mapping[str, Any]:
        """What was decided of batches and learning rates so far; it stands among the metrics of the trial's score."""
        return MappingProxyType(self._recorded)

    def batch_plan(
        self, global_batch: int, per_device_max: int, world: int | None = None, *, most_steps: int | None = None
    ) -> BatchPlan:
        """How `global_batch` samples are cut for `world` devices (None: the trial's own), none of which takes more than
        `per_device_max` at once, nor more than half of what an earlier attempt ran out of memory with; see
        `celeriac.batch_plan`.

        Raises TypeError or ValueError naming the argument.
        """
        devices = self._world if world is None else world
        most = per_device_max if self._most_samples is None else min(per_device_max, self._most_samples)
        plan = batch_plan(global_batch, most, devices, rank=self._rank, most_steps=most_steps)
        self._recorded |= {"batch_plan": str(plan), "micro_batch": plan.largest, "accumulation_steps": plan.steps}
        if os.getpid() == self._pid:
            with self._lock:
                self._channel.send({"kind": "plan", "micro_batch": plan.largest})
        return plan

    def adapted_rate(self, rate: float, plan: BatchPlan, rule: Rule | str, *, warmup_steps: int = 0) -> AdaptedRate:
        """The learning rate for the plan's global batch, where `rate` belongs to the one that was asked for: "linear"
        for SGD, "square root" for Adam; see `celeriac.batch_plan.adapted`.
        """
        found = adapted(rate, plan, rule, warmup_steps=warmup_steps)
        self._recorded |= {
            "learning_rate": found.rate,
            "learning_rate_asked": rate,
            "learning_rate_rule": found.rule.value,
        }
        self._recorded |= {"global_batch": plan.global_batch, "global_batch_asked": plan.asked}
        return found

    def distributed(
        self,
        model: Any,
        optimizer: Any,
        loader: Any,
        *,
        per_device_max: int | None = None,
        most_steps: int | None = None,
        rule: Rule | str | None = None,
        warmup_steps: int = 0,
        find_unused_parameters: bool = False,
    ) -> "Distributed":
        """A plain torch loop on all the trial's devices: iterate what is returned, call its `model`, `backward` and
        `step`; see `celeriac.distributed`. The loader's `batch_size` is the global batch.

        `per_device_max`: samples that fit on one device (None: tried out, and halved when memory runs out).
        `most_steps`: more accumulation is not wanted; the batch shrinks then, and the learning rate follows by `rule`
        (None: the optimizer's) with `warmup_steps`. Raises TypeError or ValueError saying what does not go together.
        """
        found: Distributed = import_module("celeriac.distributed").distribute(
            self,
            model,
            optimizer,
            loader,
            per_device_max=per_device_max,
            most_steps=most_steps,
            rule=rule,
            warmup_steps=warmup_steps,
            find_unused_parameters=find_unused_parameters,
        )
        return found

    @property
    def reports(self) -> tuple[Mapping[str, Any], ...]:
        """Offline only: every report so far. In the service they are rows, and this is empty."""
        return tuple(self._channel.messages) if isinstance(self._channel, _Printed) else ()

    @property
    def should_stop(self) -> bool:
        """Whether the trial was asked to stop or to hand back: for scripts that would rather ask than have `report`
        raise.

        Once it said True to a pre-emption, a returned score counts as partial: the trial is handed back, not scored.
        """
        self._heeded = self._channel.poll() or self._heeded
        return self._heeded is not None

    @property
    def heeded(self) -> str | None:
        """What the script was told: "stop", "preempt", or None while it knows of nothing."""
        return self._heeded

    @property
    def last_step(self) -> int | None:
        """The step of the last report, or None before the first."""
        return self._last_step if self._last_step >= 0 else None

    def report(
        self, value: Any, *, step: int, metrics: Mapping[str, Any] | None = None, checkpoint: Save | None = None
    ) -> None:
        """Record `value` (a number; NaN is recorded as such) at `step`, and stop here if that was asked for.

        Steps are whole numbers, 0 or more, and grow within an attempt. `metrics` maps names to finite numbers or
        strings. `checkpoint(path)` writes one file; what it raises comes through, except that a disk's refusal only
        warns. On several slots rank 0's report counts and saves; another rank's waits for rank 0's of the same step,
        and stops where that stops. Raises TypeError or ValueError for a bad report, TrialStopped, TrialPreempted.
        """
        self._report(value, step, metrics or {}, checkpoint)
        self._obey()

    def _report(self, value: Any, step: int, metrics: Mapping[str, Any], checkpoint: Save | None) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError(
                "trial.report was called in a process that the objective started: report from its own process"
            )
        with self._lock:
            number = _growing(step, self._last_step)
            message: dict[str, Any] = {
                "kind": "report",
                "step": number,
                "value": number_in(value, "report's value"),
                "metrics": flat(metrics),
            }
            if checkpoint is not None and self._rank == 0:
                message |= self._saved(checkpoint, number)
            self._channel.send(message)
            self._last_step = number

    def _saved(self, save: Save, step: int) -> dict[str, Any]:
        """What the report says of its checkpoint: where it is, or why there is none."""
        name = f"attempt{self._attempt}-step{step}.ckpt"
        try:
            return {"checkpoint": write_file(save, self._root, self._directory, name)}
        except DiskRefused as refused:
            print(f"celeriac: checkpoint of step {step} not written, going on: {refused}", file=sys.stderr)
            return {"checkpoint_error": str(refused)}

    def keep_model(self, save: Save, most_bytes: int) -> dict[str, Any]:
        """The service's: what the last frame says of the model, written beside the checkpoints, or why there is none.

        Whatever `save` raises is told and costs the model only: the score is there already.
        """
        name = f"attempt{self._attempt}.model"
        try:
            return {"model": write_file(save, self._root, self._directory, name, "model", most_bytes=most_bytes)}
        except Exception as error:
            return {"model_error": f"{type(error).__name__}: {error}"}

    def _obey(self) -> None:
        word = self._channel.poll()
        if word is None:
            return
        self._heeded = word
        if word == PREEMPT:
            raise TrialPreempted(f"trial {self._number} is handed back after step {self._last_step}")
        raise TrialStopped(f"trial {self._number} was asked to stop after step {self._last_step}")

    def __repr__(self) -> str:
        return f"Trial({self._study!r}, number={self._number}, attempt={self._attempt}, params={dict(self._params)})"


def _growing(step: Any, last: int) -> int:
    """`step` as an int. Raises TypeError or ValueError."""
    if isinstance(step, bool):
        raise TypeError(f"step must be a whole number, got {described(step)}")
    try:
        number = operator.index(step)
    except TypeError:
        raise TypeError(f"step must be a whole number, got {described(step)}") from None
    if number < 0:
        raise ValueError(f"step {number}: steps are 0 or more")
    if number > MOST_INT:
        raise ValueError(f"step {described(number)}: steps are at most {MOST_INT} (64 bits)")
    if number <= last:
        raise ValueError(f"step {number} after step {last}: steps grow within an attempt")
    return number


class _Printed:
    """The channel of `Trial.offline`: one line a report, and all of them kept. Nobody asks it to stop."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        """Keep and print a report; a batch plan is neither."""
        if message["kind"] != "report":
            return
        self.messages.append(message)
        metrics = "".join(f"  {name} {value}" for name, value in message["metrics"].items())
        print(f"step {message['step']}: {message['value']:.6g}{metrics}")

    def poll(self) -> None:
        """Never asks for anything."""


def _first_device() -> str:
    """The first GPU if the script has loaded torch and torch sees one, else "cpu"; we load nothing ourselves."""
    torch = sys.modules.get("torch")
    return "cuda:0" if torch is not None and torch.cuda.is_available() else "cpu"
