"""The sweeper: a sweep is one study of the service, in which no slot waits for a batch.

What a job needs (the task function, the configuration, Hydra's own state) is pickled into the sweep's directory, as
Hydra's launchers do; each trial is one Hydra job with a directory of its own.
"""

import hashlib
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.singleton import Singleton
from hydra.errors import CompactHydraException
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

from celeriac.domain.errors import CeleriacError, SpecInvalid
from celeriac.doors.hydra.overrides import Swept, swept

log = logging.getLogger(__name__)

#: Beside the jobs' directories: what the workers load.
JOB, PICKLED = "celeriac_hydra_job", "sweep.pkl"
_MODULE = '''"""Written by Celeriac's sweeper: what a worker loads for a trial of this sweep."""

from celeriac.doors.hydra.job import Job

objective = Job.load(__file__).run
'''


@dataclass
class CeleriacSweeperConf:
    """`hydra.sweeper`: `study` holds further keys of a study file (`stop_early`, `resources`, `sampler`, …), `params`
    is swept beside the command line's. `slots` is for a service that is started here, when none answers.
    """

    _target_: str = "hydra_plugins.celeriac_sweeper.CeleriacSweeper"
    direction: str = "minimize"
    metric: str = "score"
    n_trials: int = 20
    n_jobs: int | None = None
    study_name: str | None = None
    slots: int = 0
    home: str | None = None
    params: dict[str, str] | None = None
    study: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a sweep was started: its own directory, the current one, and Python's import path."""

    sweep: str
    directory: str
    path: tuple[str, ...]

    def here(self, path: str, sweep: Path) -> str:
        """A path of that machine on a host that has the sweep's directory at `sweep`.

        The code root may lie elsewhere there. What the two names of the sweep's directory end in alike is below it, and
        all that lay below the one lies below the other.
        """
        before, now = list(Path(self.sweep).parts), list(sweep.parts)
        while before and now and before[-1] == now[-1]:
            del before[-1], now[-1]
        parts = list(Path(path).parts)
        return str(Path(*now, *parts[len(before) :])) if before and parts[: len(before)] == before else path


class Sweep(Sweeper):  # type: ignore[misc] # Hydra is not read by mypy
    """Submits a sweep as a study, waits for its end, and writes `optimization_results.yaml`."""

    def __init__(self, **conf: Any) -> None:
        """The keys of `CeleriacSweeperConf`."""
        self._conf = conf

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Called by Hydra before `sweep`."""
        self._hydra, self._task, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        """Run it. What is refused, and a sweep without a result, is said by Hydra in a few lines, without a trace."""
        try:
            self._run(arguments)
        except (CeleriacError, ValueError) as error:
            raise CompactHydraException(str(error)) from error

    def _run(self, arguments: list[str]) -> None:
        conf = self._conf
        parser = OverridesParser.create(config_loader=self._hydra.config_loader)
        given = [f"{key}={value}" for key, value in (conf["params"] or {}).items()]
        wanted = swept(parser.parse_overrides([*given, *arguments]))
        place = Path(str(self.config.hydra.sweep.dir)).resolve()
        self._write(place, wanted)
        study = self._studied(self._spec(place, wanted), place)
        best = study.best
        results = {
            "name": "celeriac",
            "study": study.name,
            "best_trial": None if best is None else best.number,
            "best_params": {} if best is None else {wanted.keys[key]: value for key, value in best.params.items()},
            "best_value": None if best is None else best.score,
        }
        OmegaConf.save(OmegaConf.create(results), place / "optimization_results.yaml")
        if best is None:
            raise ValueError(f"no job of the sweep has a score: `celeriac trials {study.name}` says why")
        log.info("best: %s", json.dumps(results))

    def _studied(self, spec: dict[str, Any], place: Path) -> Any:
        """The study of the sweep, closed. Raises what `celeriac.Client.submit` and `celeriac.Study.wait` raise."""
        from celeriac.client.run import ran  # a third of a second, and every Hydra program loads this module

        name = spec["study"]
        try:
            return ran(spec, slots=self._conf["slots"], home=self._conf["home"], say=log.info, changed=_logged)
        except SpecInvalid as error:
            if not any("code:" in each for each in error.problems):
                raise
            raise SpecInvalid([*error.problems, f"the sweep lies in {place}: hydra.sweep.dir says where"]) from None
        except KeyboardInterrupt:
            log.warning(
                "left: the sweep goes on as study %s. `celeriac stop %s` ends it; hydra.sweeper.study_name=%s"
                " hydra.sweep.dir=%s goes on with it here",
                *(name, name, name, place),
            )
            raise

    def _spec(self, place: Path, wanted: Swept) -> dict[str, Any]:
        """The study file of the sweep."""
        conf = self._conf
        more = OmegaConf.to_container(conf["study"]) if OmegaConf.is_config(conf["study"]) else dict(conf["study"])
        name = conf["study_name"] or _name(str(self.config.hydra.job.name), place)
        spec = {
            "study": name,
            "objective": f"{JOB}:objective",
            "code": str(place / ".celeriac"),
            "metric": {"name": conf["metric"], "goal": str(conf["direction"])},
            "space": wanted.space.to_dict(),
            "budget": {"trials": conf["n_trials"]},
            "parallel": conf["n_jobs"],
        }
        if not isinstance(more, Mapping):
            raise ValueError(f"hydra.sweeper.study must map keys of a study file to values, not {more!r}")
        return {key: value for key, value in spec.items() if value is not None} | {str(k): v for k, v in more.items()}

    def _write(self, place: Path, wanted: Swept) -> None:
        """Write what the workers load."""
        from celeriac.doors.pickled import dumped

        (place / ".celeriac").mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, place / "multirun.yaml")
        state = {
            "hydra": self._hydra,
            "task": self._task,
            "config": self.config,
            "singletons": Singleton.get_state(),
            "swept": wanted,
        }
        path = tuple(os.path.realpath(each or ".") for each in sys.path)
        dumped(place / ".celeriac" / PICKLED, Origin(str(place), os.getcwd(), path), state)
        (place / ".celeriac" / f"{JOB}.py").write_text(_MODULE)


def _logged(study: Any, line: str) -> None:
    log.info("%s", line)


def _name(job: str, place: Path) -> str:
    """A name of the sweep's own."""
    return f"{job}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"
