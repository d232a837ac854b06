"""One trial of a sweep, in its own process on a worker: a job of Hydra's, with a directory of its own."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeriac.doors.extras import extra

with extra("hydra"):
    from hydra.core.singleton import Singleton
    from hydra.core.utils import configure_log, run_job, setup_globals
    from omegaconf import OmegaConf, open_dict

    from celeriac.doors.hydra.sweep import PICKLED, Origin
    from celeriac.doors.pickled import loaded
from celeriac.trial import Trial


@dataclass(frozen=True, slots=True)
class Job:
    """What a sweep's trials have in common. `sweep`: its directory on this host; `directory`: where it was started."""

    state: dict[str, Any]
    sweep: str
    directory: str

    @classmethod
    def load(cls, module: str) -> "Job":
        """What the sweeper wrote beside this module, with its paths as they are on this host. The sweeper's import path
        comes after this program's own.

        Raises FileNotFoundError where the sweep was started in a directory that is not here, PermissionError where its
        jobs cannot write, RuntimeError for another version of Python.
        """
        place = Path(module).resolve().parent
        parts = loaded(place / PICKLED)
        origin: Origin = next(parts)
        sweep, directory = str(place.parent), origin.here(origin.directory, place.parent)
        if not os.path.isdir(directory):
            raise FileNotFoundError(
                f"the sweep was started in {origin.directory}, and this host has no {directory}: start it in a"
                " directory below the code root, which all hosts see"
            )
        if not os.access(sweep, os.W_OK):
            raise PermissionError(
                f"the sweep's directory {sweep} cannot be written to by this worker, and Hydra's jobs write there: let"
                " hydra.sweep.dir name one below the code root that workers may write to"
            )
        here = [origin.here(each, place.parent) for each in origin.path]
        sys.path += [each for each in here if each not in sys.path]
        job = cls(next(parts), sweep, directory)
        job._moved(origin)
        job._warm()
        return job

    def _moved(self, origin: "Origin") -> None:
        """Let Hydra look for its configuration where that is on this host."""
        Singleton.set_state(self.state["singletons"])
        loader = self.state["hydra"].config_loader
        for each in loader.get_search_path().get_path():
            scheme, _, path = each.path.rpartition("://")
            if scheme in ("", "file"):
                each.path = f"file://{origin.here(path, Path(self.sweep))}"
        loader.repository.initialize_sources(loader.get_search_path())

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
        job = self.state["hydra"].config_loader.load_sweep_config(config, wanted)
        with open_dict(job):
            job.hydra.sweep.dir, job.hydra.runtime.cwd = self.sweep, self.directory
        return job

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
