"""`celeriac.tune`: what it takes, asks for and says."""

from pathlib import Path
from types import FunctionType

import pytest

from celeriac import tune
from celeriac.client import Client, Study
from celeriac.domain.errors import SpecInvalid
from tests.celeriac.cli.played import CODE, SPEC, closed, played


def module_level(trial: object) -> float:
    return 1.0


def test_tune_refuses_what_workers_cannot_import(tmp_path: Path) -> None:
    space = SPEC["space"]

    def local(trial: object) -> float:
        return 1.0

    with pytest.raises(SpecInvalid, match="no module-level function"):
        tune(local, space, goal="maximize", home=tmp_path)
    with pytest.raises(SpecInvalid, match="no module-level function"):
        tune(lambda trial: 1.0, space, goal="maximize", home=tmp_path)
    made = FunctionType(module_level.__code__, {"__name__": "__main__"}, "module_level")
    with pytest.raises(SpecInvalid, match=r"to a file of its own, .*in a notebook: `%%writefile train.py`"):
        tune(made, space, goal="maximize", home=tmp_path)
    with pytest.raises(TypeError, match="'goal'"):
        tune(made, space, home=tmp_path)  # type: ignore[call-arg]
    assert not (tmp_path / "run").exists()


def test_tune_submits_and_waits(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notebook_train.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CELERIAC_DATABASE_URL", client.settings.database_url)
    monkeypatch.setenv("CELERIAC_BROKER_URL", client.settings.broker_url)
    import notebook_train  # type: ignore[import-not-found]  # written just above

    def ask() -> Study:
        home = tmp_path / "home"
        return tune(notebook_train.objective, SPEC["space"], goal="minimize", trials=3, home=home, timeout=0.01)

    with pytest.raises(TimeoutError):
        ask()
    (study,) = client.studies()
    assert study.record.goal == "minimize"
    assert f"{study.name} OPEN: 0/3 finished, the coordinator has not taken it yet" in capsys.readouterr().err
    assert study.record.spec["objective"] == "notebook_train:objective"
    assert study.record.code_root == str(tmp_path)
    played(client, study, 0.5)
    closed(client, study)
    assert ask().id == study.id
    assert capsys.readouterr().err == f"{study.name} DONE: 1/3 finished, best score 0.5 (trial 0)\n"
