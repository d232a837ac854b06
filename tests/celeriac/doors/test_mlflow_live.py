"""Trials follow each other to MLflow as they end; `make test-doors` has the real one at the other end."""

from celeriac.client import Client
from celeriac.doors.mlflow_live import Follower
from celeriac.report.export import Exported
from tests.celeriac.cli.played import SPEC, leased, played
from tests.celeriac.store.scenes import scored


def test_each_trial_is_written_once_and_trouble_is_made_up_for(client: Client) -> None:
    study, other = client.open(SPEC).study, client.open({**SPEC, "study": "other"}).study
    written: list[tuple[str, int]] = []
    away = {"other"}

    def write(found: Exported) -> int:
        if found.record.name in away:
            raise OSError("the tracking server is away")
        rows = [(found.record.name, trial.number) for trial, _ in found.trials]
        written.extend(rows)
        return len(rows)

    follower = Follower(client, write)
    played(client, study, 0.5)
    played(client, other, 0.25)
    assert follower.look() == 1
    assert written == [(study.name, 0)]
    client.store.finish_attempt(leased(client, study).token, scored(0.75))
    away.clear()
    assert follower.look() == 2
    assert sorted(written) == sorted([(study.name, 0), (study.name, 1), ("other", 0)])
    assert follower.look() == 0
