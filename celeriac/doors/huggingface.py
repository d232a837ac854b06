"""A callback for Hugging Face's Trainer: each evaluation becomes a report, with the Trainer's checkpoint where it saves
one just then.

    callback = CeleriacCallback("eval_loss")
    trainer = Trainer(model, arguments, train_dataset=..., eval_dataset=..., callbacks=[callback])
    trainer.train(resume_from_checkpoint=callback.resume)

The Trainer's checkpoint is a directory and ours one file: it travels as a zip archive, which every Python unpacks
below the place that it is given and nowhere else (tar archives need 3.11.4 for that).
"""

import math
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celeriac.doors.extras import extra
from celeriac.trial import Trial, current_trial

with extra("huggingface"):
    from transformers import TrainerCallback


class CeleriacCallback(TrainerCallback):  # type: ignore[misc] # transformers is not read by mypy
    """Reports `metric` of each evaluation to the trial, at the Trainer's global step."""

    def __init__(self, metric: str = "eval_loss", *, trial: Trial | None = None) -> None:
        """`trial` None: the one that this process runs; outside of one it does nothing."""
        self.metric = metric
        self.trial = trial or current_trial()
        self._evaluated: Mapping[str, Any] | None = None

    @property
    def resume(self) -> str | None:
        """For `Trainer.train(resume_from_checkpoint=…)`: the checkpoint of an earlier attempt, unpacked; None without
        one.
        """
        if self.trial is None or self.trial.checkpoint is None:
            return None
        place = Path(tempfile.mkdtemp(prefix="celeriac-resume-"), f"checkpoint-{self.trial.start - 1}")
        with zipfile.ZipFile(self.trial.checkpoint) as archive:
            archive.extractall(place)
        return str(place)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any], **more: Any) -> None:
        """Report it, unless a checkpoint of this very step comes in a moment. Raises what `trial.report` raises."""
        self._evaluated = metrics
        if not control.should_save:
            self._report(state, None)

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Report the evaluation of this step with what was saved. Raises what `trial.report` raises."""
        self._report(state, os.path.join(args.output_dir, f"checkpoint-{state.global_step}"))

    def _report(self, state: Any, saved: str | None) -> None:
        metrics, self._evaluated = self._evaluated, None
        if self.trial is None or metrics is None:
            return
        if self.trial.last_step is not None and state.global_step <= self.trial.last_step:
            return  # evaluated once more, as after the training: it is told already
        if self.metric not in metrics:
            raise KeyError(f"{self.metric!r} is none of the evaluation's metrics: {', '.join(metrics)}")
        others = {name: value for name, value in metrics.items() if name != self.metric and _is_finite(value)}
        save = None if saved is None else lambda path: _packed(saved, path)
        self.trial.report(metrics[self.metric], step=state.global_step, metrics=others, checkpoint=save)


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _packed(directory: str, path: str) -> None:
    with zipfile.ZipFile(path, "w", strict_timestamps=False) as archive:  # as it is: weights hardly get smaller
        for each in sorted(Path(directory).rglob("*")):
            archive.write(each, each.relative_to(directory))
