"""A pack: several trials of equal shape that one process trains together. Promise: standard library only, and the same
class with and without the service.

    def objective(pack):
        stack = build([trial.params for trial in pack.active])     # one model with a row for each trial
        for step in range(pack.start, 20):
            ...
            kept = pack.report(losses, step=step, checkpoint=lambda place, path: torch.save(row(stack, place), path))
            stack = rows(stack, kept)                               # those that go on
        return losses

Whatever is a list here has one entry for each trial of `pack.active`, in its order: values, scores, places. A trial
that ends leaves `pack.active`, and the others go on: one that was stopped early at a report, one that `finish` or
`fail` ended. Only the end of the whole pack raises.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from celeriac.result import Result, described, number_in
from celeriac.trial import PREEMPT, Channel, Trial, TrialPreempted, TrialStopped

#: Writes the checkpoint of the trial at this place of `pack.active` to this path.
SaveAt = Callable[[int, str], object]


class PackChannel(Channel, Protocol):
    """Where the messages of one trial of a pack go."""

    def ended(self, trial: "PackTrial", returned: Any) -> None:
        """It has its score: what an objective would return."""

    def failed(self, trial: "PackTrial", error: BaseException) -> None:
        """It has failed by itself."""

    def stopped(self, trial: "PackTrial", word: str) -> None:
        """It ends because it was asked to: "stop" or "preempt"."""

    def settle(self, trials: "Sequence[PackTrial]") -> None:
        """Wait a moment for what these are told of what they just reported."""


class PackTrial(Trial):
    """One trial of a pack: as a `Trial`, but for its end, which is not the end of the script."""

    _channel: PackChannel
    _active = True
    _pack: "Pack"

    @property
    def active(self) -> bool:
        """Whether it goes on: it was not stopped, and has neither finished nor failed."""
        return self._active

    def finish(self, returned: Any) -> None:
        """End this trial with its score, or a `Result`: at once, while the others go on. None if it has ended."""
        if self._active:
            self._active = False
            self._channel.ended(self, returned)

    def fail(self, error: BaseException) -> None:
        """End this trial by a fault of its own, told with its traceback; the others go on. None if it has ended."""
        if self._active:
            self._active = False
            self._channel.failed(self, error)

    def leave(self, word: str) -> None:
        """The pack's: it ends as it was asked to."""
        self._active, self._heeded = False, word
        self._channel.stopped(self, word)

    def word(self) -> str | None:
        """The pack's: what was asked of it so far."""
        return self._channel.poll()

    def _obey(self) -> None:
        """A report of this trial alone stops no other one. All are handed back together: at the step that the last of
        them has come to.
        """
        word = self.word()
        if word == PREEMPT:
            self._pack.hand_back_level()
        elif word is not None:
            self.leave(word)

    def record(self, value: Any, step: int, metrics: Mapping[str, Any], save: Callable[[str], object] | None) -> None:
        """The pack's: a report that looks at no answer."""
        self._report(value, step, metrics, save)


class Pack:
    """The trials that one process trains together: what `objective(pack)` receives where a study file has `pack`."""

    def __init__(self, trials: Sequence[PackTrial]) -> None:
        """Made by the service (or by `Pack.offline`): trials of equal shape that begin at the same step."""
        self._trials = tuple(trials)
        for trial in self._trials:
            trial._pack = self

    @classmethod
    def offline(
        cls,
        params: Sequence[Mapping[str, Any]],
        *,
        context: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str | None = None,
        directory: str | os.PathLike[str] | None = None,
    ) -> "Pack":
        """A pack without any service, one trial for each of `params`: reports are printed and kept in `trial.reports`,
        scores in `trial.result`. Trial number n has the seed `seed` + n. Raises ValueError without params.
        """
        from celeriac.trial import _first_device

        if not params:
            raise ValueError("a pack needs the params of at least one trial")
        place = Path(tempfile.mkdtemp(prefix="celeriac-offline-") if directory is None else directory)
        trials = [
            OfflinePackTrial(
                each,
                channel=_PrintedTrial(number),
                root=place,
                directory=place / str(number),
                context=context,
                seed=seed + number,
                device=device or _first_device(),
                study="offline",
                number=number,
            )
            for number, each in enumerate(params)
        ]
        pack = cls(trials)
        if directory is None:
            weakref.finalize(pack, shutil.rmtree, place, ignore_errors=True)
        return pack

    @property
    def trials(self) -> tuple[PackTrial, ...]:
        """All its trials, ended ones too."""
        return self._trials

    @property
    def active(self) -> tuple[PackTrial, ...]:
        """The trials that go on, in the order of `trials`."""
        return tuple(trial for trial in self._trials if trial.active)

    @property
    def start(self) -> int:
        """The step to begin with, the same for all: the last checkpointed step + 1, or 0."""
        return self._trials[0].start

    @property
    def device(self) -> str:
        """The device to train on, as torch spells it: "cpu" or "cuda:0"."""
        return self._trials[0].device

    @property
    def context(self) -> Mapping[str, Any]:
        """The slice's values, when a schedule made the study."""
        return self._trials[0].context

    @property
    def study(self) -> str:
        """The study's name."""
        return self._trials[0].study

    def __len__(self) -> int:
        return len(self._trials)

    def __iter__(self) -> Iterator[PackTrial]:
        return iter(self._trials)

    def report(
        self,
        values: Any,
        *,
        step: int,
        metrics: Sequence[Mapping[str, Any]] | None = None,
        checkpoint: SaveAt | None = None,
    ) -> list[int]:
        """Record a value of each active trial (a list, a tuple or a 1-d array), and say at which places of it are those
        that go on: with these a stack of models goes on too.

        `metrics`: a mapping for each. `checkpoint(place, path)` writes one file, that of the trial at that place, from
        which it goes on by itself. A trial that is to stop is told so here, and is active no more. Raises TrialStopped
        when none is active any more, TrialPreempted when the pack is handed back, TypeError or ValueError for a bad
        report.
        """
        going = self.active
        each_value = _one_each(values, going, "values")
        each_metrics = [{} for _ in going] if metrics is None else _one_each(metrics, going, "metrics")
        for place, trial in enumerate(going):
            trial.record(each_value[place], step, each_metrics[place], _saver(checkpoint, place))
        if going:
            going[0]._channel.settle(going)
        self.obey(going)
        return [place for place, trial in enumerate(going) if trial.active]

    def obey(self, going: Sequence[PackTrial]) -> None:
        """What was asked of these: all of them are handed back where one is to be."""
        asked = {trial: trial.word() for trial in going if trial.active}
        for trial, word in asked.items():
            if word not in (None, PREEMPT):
                trial.leave(word)
        if PREEMPT in asked.values():
            self.hand_back_level()
        if not self.active:
            raise TrialStopped("no trial of the pack goes on")

    def hand_back_level(self) -> None:
        """The service's: have every trial that goes on resumed later, once all of them have come to one step. Raises
        TrialPreempted then.
        """
        going = self.active
        if len({trial.last_step for trial in going}) > 1:
            return
        for trial in going:
            trial.leave(PREEMPT)
        raise TrialPreempted("the pack is handed back")

    def conclude(self, returned: Any) -> None:
        """The service's, and for a script that runs without it: what the objective returned is a score, or a `Result`,
        for each active trial. Raises TypeError or ValueError when it is not one for each.
        """
        going = self.active
        if not going and returned is None:
            return
        for trial, score in zip(going, _one_each(returned, going, "scores that the objective returns"), strict=True):
            trial.finish(score)

    def __repr__(self) -> str:
        return f"Pack({self.study!r}, trials={[trial.number for trial in self._trials]})"


def _one_each(values: Any, going: Sequence[PackTrial], what: str) -> list[Any]:
    """The entries of a list, a tuple or a 1-d array, one for each of these trials."""
    found = values.tolist() if hasattr(values, "tolist") else values
    if not isinstance(found, (list, tuple)):
        raise TypeError(f"the {what} must be a list with one for each of pack.active, got {described(values)}")
    if len(found) != len(going):
        raise ValueError(f"{len(found)} {what} for {len(going)} trials: give one for each of pack.active, in its order")
    return list(found)


def _saver(save: SaveAt | None, place: int) -> Callable[[str], object] | None:
    return None if save is None else lambda path: save(place, path)


class OfflinePackTrial(PackTrial):
    """A trial of `Pack.offline`."""

    _channel: "_PrintedTrial"

    @property
    def reports(self) -> tuple[Mapping[str, Any], ...]:
        """Every report so far."""
        return tuple(self._channel.messages)

    @property
    def result(self) -> Any:
        """Its score or `Result`; the error that it failed by; None while it goes on."""
        return self._channel.result


class _PrintedTrial:
    """The channel of one trial offline: one line a report, and all of them kept. Nobody asks it to stop."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.messages: list[dict[str, Any]] = []
        self.result: Any = None

    def send(self, message: dict[str, Any]) -> None:
        """Keep and print a report."""
        if message["kind"] == "report":
            self.messages.append(message)
            print(f"trial {self._number} step {message['step']}: {message['value']:.6g}")

    def poll(self) -> None:
        """Never asks for anything."""

    def ended(self, trial: PackTrial, returned: Any) -> None:
        """Keep and print the score."""
        self.result = returned
        score = returned.score if isinstance(returned, Result) else returned
        print(f"trial {self._number}: {number_in(score, 'score'):.6g}")

    def failed(self, trial: PackTrial, error: BaseException) -> None:
        """Keep and print the error."""
        self.result = error
        print(f"trial {self._number} failed: {type(error).__name__}: {error}")

    def stopped(self, trial: PackTrial, word: str) -> None:
        """Never happens offline."""

    def settle(self, trials: Sequence[PackTrial]) -> None:
        """There is nobody to wait for."""
