"""One trial of a sweep, in its own process on a worker: a job of Hydra's, with a directory of its own."""

import os
import pickle
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import configure_log, run_job, setup_globals
from omegaconf import OmegaConf, open_dict

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
            job = cls(pickle.load(file), directory)  # noqa: S301
        job._warm()
        return job

    def _warm(self) -> None:
        """Compose a job and write it down to nowhere, once: what Hydra builds at its first composition (its parser's
        tables, its schema's classes) is then there in each trial's process, which is forked off this one.
        """
        space = self.state["swept"].space
        with suppress(Exception):  # what is wrong with the configuration, a trial says
            OmegaConf.to_yaml(self._composed(space.from_unit([0.5] * len(space.names))))

    def _composed(self, params: Mapping[str, Any]) -> Any:
        """The configuration of the job with these parameters."""
        setup_globals()
        Singleton.set_state(self.state["singletons"])
        config, wanted = self.state["config"], self.state["swept"].overrides(params)
        return self.state["hydra"].config_loader.load_sweep_config(config, wanted)

    def run(self, trial: Trial) -> Any:
        """The task function's answer for the trial's parameters. Raises what it raises."""
        os.chdir(self.directory)
        config = self.state["config"]
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)
        job = self._composed(trial.params)
        with open_dict(job):
            job.hydra.job.id, job.hydra.job.num = f"{trial.study}-{trial.number}", trial.number
        done = run_job(
            hydra_context=self.state["hydra"],
            task_function=self.state["task"],
            config=job,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        return done.return_value
