"""A Lightning callback: each validation becomes a report with a checkpoint, and the study may stop or move the trial.

    trainer = Trainer(max_epochs=20, callbacks=[CeleriacCallback("val_loss")])
    trainer.fit(model, ckpt_path=trial.checkpoint)

What `trial.report` raises goes through `fit`, which tears the trainer down and lets it pass.
"""

import math
from typing import Any, Literal

from celeriac.doors.extras import extra
from celeriac.trial import Trial, current_trial

with extra("lightning"):
    from lightning.pytorch import Callback


class CeleriacCallback(Callback):  # type: ignore[misc] # Lightning is not read by mypy
    """Reports `monitor` to the trial: at the end of each epoch that validated, or at each validation by
    `step="global_step"`, for validations within an epoch.
    """

    def __init__(
        self,
        monitor: str,
        *,
        trial: Trial | None = None,
        step: Literal["epoch", "global_step"] = "epoch",
        checkpoint: bool = True,
    ) -> None:
        """`trial` None: the one that this process runs; outside of one it does nothing. `checkpoint`: each report
        carries the trainer's, from which another attempt goes on. One process a trial: Lightning must not start others.
        """
        super().__init__()
        self.monitor, self.step, self.checkpoint = monitor, step, checkpoint
        self.trial = trial or current_trial()
        self._is_new = False

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        """There is something to report; the check before the training is no validation."""
        self._is_new = not trainer.sanity_checking
        if self.step == "global_step":
            self._report(trainer, trainer.global_step)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """The epoch is whole: what is saved now begins with the next one."""
        if self.step == "epoch":
            self._report(trainer, trainer.current_epoch)

    def _report(self, trainer: Any, step: int) -> None:
        """Raises KeyError naming what was logged when `monitor` was not, and what `trial.report` raises."""
        if self.trial is None or not self._is_new:
            return
        self._is_new = False
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self.monitor not in logged:
            raise KeyError(
                f"{self.monitor!r} was not logged by the validation; logged: {', '.join(logged) or 'nothing'}"
            )
        others = {name: value for name, value in logged.items() if name != self.monitor and math.isfinite(value)}
        save = trainer.save_checkpoint if self.checkpoint else None
        self.trial.report(logged[self.monitor], step=step, metrics=others, checkpoint=save)
