"""Sweeps by Hydra itself: groups and quoted options, a code root that lies elsewhere on the workers, and what is said
where a sweep cannot be.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from benchmarks.doors.conftest import Laptop
from benchmarks.embedded import Embedded

APP = """import celeriac
import hydra
from penalties import PENALTIES

@hydra.main(config_path='conf', config_name='config', version_base='1.3')
def main(cfg):
    trial = celeriac.current_trial()
    if trial:
        trial.report(cfg.x, step=0)
    return cfg.x + PENALTIES[cfg.db.name] + float(cfg.more)

if __name__ == '__main__':
    main()
"""
AGAIN = """import json, sys
from celeriac.trial import Trial
from celeriac_hydra_job import objective
print(json.dumps(objective(Trial.offline(json.loads(sys.argv[1])))))
"""


def program(place: Path) -> None:
    """A Hydra program with a module and a group of its own."""
    (place / "conf" / "db").mkdir(parents=True)
    (place / "conf" / "config.yaml").write_text("defaults: [_self_, {db: fast}]\nx: 0.5\nmore: ${oc.env:PROOF}\n")
    for name in ("fast", "slow"):
        (place / "conf" / "db" / f"{name}.yaml").write_text(f"name: {name}\ntext: 'a, b'\n")
    (place / "penalties.py").write_text("PENALTIES = {'fast': 0.0, 'slow': 1.0}\n")
    (place / "app.py").write_text(APP)


def swept(place: Path, environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the program as a sweep."""
    command = [sys.executable, "app.py", "-m", "hydra/sweeper=celeriac", "+hydra.job.env_set.PROOF='0.0'", *words]
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=200)


def once_more(sweep: Path, params: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    """Run one job of a sweep as a worker would, from where the sweep's directory lies now."""
    command = [sys.executable, "-c", AGAIN, json.dumps(params)]
    return subprocess.run(command, cwd=sweep / ".celeriac", capture_output=True, text=True, timeout=100)


def config(sweep: Path, job: int, name: str = "config") -> dict[str, Any]:
    """What Hydra wrote down of a job."""
    found: dict[str, Any] = yaml.safe_load((sweep / str(job) / ".hydra" / f"{name}.yaml").read_text())
    return found


def test_groups_are_swept_and_a_job_runs_where_the_code_root_lies_elsewhere(stack: Embedded, tmp_path: Path) -> None:
    here = tmp_path / "here"
    program(here)
    words = ["hydra.sweeper.n_trials=6", "hydra.sweep.dir=swept", "x=interval(0.0,1.0)"]
    words += ["db=glob(*)", "db.text=choice('p, q',r)", "+hydra.sweeper.study.labels={team: vision}"]
    done = swept(here, {**os.environ, "CELERIAC_HOME": str(stack.home)}, *words)
    assert done.returncode == 0, done.stderr[-4000:]
    results = yaml.safe_load((here / "swept" / "optimization_results.yaml").read_text())
    assert results["best_params"]["db"] == "fast"
    assert results["best_params"]["db.text"] in {"p, q", "r"}
    written = [config(here / "swept", k) for k in range(6)]
    assert {each["db"]["text"] for each in written} <= {"p, q", "r"}
    with stack.client() as client:
        study = client.study(results["study"])
        assert study.best is not None
        assert written[study.best.number]["x"] == study.best.params["x"]
        assert study.spec.labels == {"team": "vision"}
        assert len(list(study.each_report())) == 6
        params = {**study.best.params, "x": 0.25, "db": "slow"}
    there = here.rename(tmp_path / "there")  # as hosts that have the code root at another place
    again = once_more(there / "swept", params)
    assert again.returncode == 0, again.stderr[-4000:]
    assert json.loads(again.stdout.splitlines()[-1]) == 1.25
    assert not here.exists()
    assert config(there / "swept", 0)["x"] == 0.25
    assert config(there / "swept", 0, "hydra")["hydra"]["runtime"]["cwd"] == str(there)


def test_a_sweep_over_the_api_runs_below_the_code_root_and_nowhere_else(
    stack: Embedded, laptop: Laptop, tmp_path: Path
) -> None:
    place = laptop.share / "swept"
    program(place)
    done = swept(place, dict(laptop.environment), "hydra.sweeper.n_trials=4", "hydra.sweep.dir=one", "x=interval(0,1)")
    assert done.returncode == 0, done.stderr[-4000:]
    results = yaml.safe_load((place / "one" / "optimization_results.yaml").read_text())
    with stack.client() as client:
        study = client.study(results["study"])
        assert study.best is not None
        assert (results["best_value"], results["best_params"]) == (study.best.score, study.best.params)
        assert study.record.code_root == str(place / "one" / ".celeriac")
        count = len(client.studies())
    outside = swept(place, dict(laptop.environment), f"hydra.sweep.dir={tmp_path}/one", "x=interval(0,1)")
    assert outside.returncode == 1
    assert f"the sweep lies in {tmp_path}/one: hydra.sweep.dir says where" in outside.stderr
    assert "Traceback" not in outside.stderr
    with stack.client() as client:
        assert len(client.studies()) == count


def test_a_sweep_without_a_result_says_why(stack: Embedded, tmp_path: Path) -> None:
    program(tmp_path / "project")
    (tmp_path / "project" / "penalties.py").write_text("PENALTIES = {}\n")
    environment = {**os.environ, "CELERIAC_HOME": str(stack.home)}
    sweep = tmp_path / "sweeps" / "one"
    done = swept(tmp_path / "project", environment, f"hydra.sweep.dir={sweep}", "x=interval(0.0,1.0)")
    assert done.returncode == 1
    assert "KeyError: 'fast'" in done.stderr
    assert "Traceback" not in done.stderr
    nothing = swept(tmp_path / "project", environment, "x=0.5")
    assert (nothing.returncode, "nothing is swept: write a parameter as" in nothing.stderr) == (1, True)
    moved = shutil.copytree(sweep, tmp_path / "moved" / "one")
    (tmp_path / "project").rename(tmp_path / "elsewhere")
    alone = once_more(moved, {"x": 0.5})
    assert f"FileNotFoundError: the sweep was started in {tmp_path}/project" in alone.stderr
