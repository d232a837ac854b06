"""What agents and scripts ask of the command: dry runs, comparisons, points of their own, logs as JSON."""

import json

from celeriac.client import Client
from tests.celeriac.cli.played import SPEC, Celeriac, leased, played
from tests.celeriac.store.scenes import failed


def test_a_dry_run_opens_nothing_and_tells_cost_and_first_points(celeriac: Celeriac, client: Client) -> None:
    ran = celeriac("submit", "study.yaml", "--dry-run")
    assert (ran.code, client.studies()) == (0, [])
    assert "the name is free" in ran.out
    assert "trial 0: lr=0.01" in ran.out
    assert "no trial of train:objective has finished yet" in ran.out
    played(client, client.submit(SPEC), 0.5)
    told = json.loads(celeriac("submit", "study.yaml", "--dry-run", "--json").out)
    assert "attached to" in told["name_is"]
    assert (told["cost"]["trial_s"], len(told["first_points"])) == (2.0, 3)
    assert "2.0s in 1 earlier study" in celeriac("submit", "study.yaml", "--dry-run").out


def test_trials_and_studies_are_compared(celeriac: Celeriac, client: Client) -> None:
    for name in ("digits", "letters"):
        played(client, client.submit({**SPEC, "study": name, "seed": 7}), 0.5, 0.75)
    found = json.loads(celeriac("compare", "digits", "0", "1", "--json").out)
    assert found == {
        "names": ["0", "1"],
        "scores": {"0": 0.5, "1": 0.75},
        "differ": {"lr": [0.01, 0.02]},
        "same": {},
        "best": "1",
    }
    ran = celeriac("compare", "digits", "letters")
    assert "the same in all: objective train:objective" in ran.out
    assert celeriac("compare", "digits", "0").code == 2


def test_points_and_logs_as_json(celeriac: Celeriac, client: Client) -> None:
    study = client.submit({**SPEC, "budget": {"trials": 20}})
    played(client, study, 0.5)
    [added] = json.loads(celeriac("add-points", "digits", "--point", "lr=1e-3", "--reason", "a guess", "--json").out)
    assert (added["number"], added["source"], added["why"]["reason"]) == (1, "proposed", "a guess")
    assert "a point that was proposed from outside" in celeriac("why", "digits", "1").out
    assert ": 1 point taken, 0 more now: it has taken 1 of its 2 trials from outside" in celeriac("why", "digits").out
    [told] = json.loads(celeriac("why", "digits", "--json").out)["proposers"]
    assert (told["given"], told["most"]) == (1, 0)
    refused = celeriac("add-points", "digits", "--point", "lr=1e-2")
    assert (refused.code, "takes 0 points now" in refused.err) == (2, True)
    assert json.loads(celeriac("logs", "digits", "1", "--json").out)["attempt"] is None
    lease = leased(client, study)
    client.store.finish_attempt(lease.token, failed(log_tail="hello\n", traceback="ValueError: no"))
    told = json.loads(celeriac("logs", "digits", str(lease.number), "--json").out)
    assert (told["tail"], told["traceback"], told["attempt"]) == ("hello\n", "ValueError: no", 1)
