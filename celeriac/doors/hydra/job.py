"""One trial of a sweep, in its own process on a worker: a job of Hydra's, with a directory of its own."""

import os
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import configure_log, run_job, setup_globals
from omegaconf import open_dict

from celeriac.doors.hydra.sweep import PICKLED
from celeriac.trial import Trial


@dataclass(frozen=True, slots=True)
class Job:
    """What a sweep's trials have in common."""

    state: dict[str, Any]
    directory: str

    @classmethod
    def load(cls, module: str) -> "Job":
        """What the sweeper wrote beside this module. The sweeper's import path comes after this program's own."""
        with Path(module).with_name(PICKLED).open("rb") as file:
            places, directory = pickle.load(file)  # noqa: S301 (written by the user's own program)
            sys.path += [each for each in places if each not in sys.path]
            return cls(pickle.load(file), directory)  # noqa: S301

    def run(self, trial: Trial) -> Any:
        """The task function's answer for the trial's parameters. Raises what it raises."""
        state = self.state
        setup_globals()
        Singleton.set_state(state["singletons"])
        os.chdir(self.directory)
        config = state["config"]
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        job = state["hydra"].config_loader.load_sweep_config(config, state["swept"].overrides(trial.params))
        with open_dict(job):
            job.hydra.job.id, job.hydra.job.num = f"{trial.study}-{trial.number}", trial.number
        done = run_job(
            hydra_context=state["hydra"],
            task_function=state["task"],
            config=job,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        return done.return_value
