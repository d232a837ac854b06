"""Points from outside, by the Python API and the command."""

import json
import time
from types import SimpleNamespace

import pytest

from celeriac.client import Client, proposing
from celeriac.domain.errors import CallerError, IllegalTransition, SpaceInvalid
from celeriac.domain.records import Source
from tests.celeriac.cli.played import SPEC, closed, played, started


def test_points_are_added_as_trials_that_say_who_and_why(client: Client) -> None:
    study = client.submit({**SPEC, "budget": {"trials": 20}})
    played(client, study, 0.5)
    [trial] = study.add_points([{"lr": 1e-3}], reason="worked last year", by="ada")
    assert (trial.number, trial.source, dict(trial.params)) == (1, Source.PROPOSED, {"lr": 1e-3})
    assert dict(trial.why) == {"by": "a proposer", "reason": "worked last year", "who": "ada"}
    with pytest.raises(CallerError, match="takes 0 points now, not 1: it has taken 1 of its 2 trials from outside"):
        study.add_points([{"lr": 1e-2}])
    with pytest.raises(SpaceInvalid, match="lr"):
        study.add_points([{"lr": 7.0}])
    with pytest.raises(CallerError, match="no point is given"):
        study.add_points([])
    [ada] = study.proposers()
    assert (ada.who, ada.given, ada.ended, ada.most) == ("ada", 1, 0, 0)
    assert "the next one when 26 have begun" in ada.reason
    study.pause()
    with pytest.raises(IllegalTransition, match="celeriac resume"):
        study.add_points([{"lr": 1e-2}])


def test_a_study_that_was_just_opened_is_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first turn is over between two looks at it; in one thread, so that nothing here hangs on a machine's speed,
    and no point is added in the middle of that turn, which a coordinator would then begin anew.
    """
    study = client.submit({**SPEC, "budget": {"trials": 20}})
    looks: list[float] = []

    def turn(pause_s: float) -> None:
        looks.append(pause_s)
        played(client, study, 0.5)

    monkeypatch.setattr(proposing, "time", SimpleNamespace(monotonic=time.monotonic, sleep=turn))
    assert study.add_points([{"lr": 1e-3}])[0].number == 1
    assert len(looks) == 1


def test_a_study_that_nobody_drives_is_not_waited_for_any_longer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = client.submit({**SPEC, "budget": {"trials": 20}})
    monkeypatch.setattr(proposing, "START_S", 0.0)
    with pytest.raises(IllegalTransition, match="is OPEN and has no trial yet: is a coordinator running"):
        study.add_points([{"lr": 1e-3}])


def test_studies_that_take_none_say_so(client: Client) -> None:
    strict = client.submit({**SPEC, "study": "strict", "reproducible": True, "sampler": "random"})
    played(client, strict, 0.5)
    with pytest.raises(CallerError, match="second run; submit its file without that key"):
        strict.add_points([{"lr": 1e-3}])
    none = client.submit({**SPEC, "study": "none", "proposers": {"share": 0}})
    played(client, none, 0.5)
    with pytest.raises(CallerError, match="share: 0"):
        none.add_points([{"lr": 1e-3}])
    over = client.submit({**SPEC, "study": "over"})
    started(client, over)
    closed(client, over)
    with pytest.raises(CallerError, match=r"extend over --trials \+1"):
        over.add_points([{"lr": 1e-3}])
    assert json.dumps(none.spec.to_dict()["proposers"]) == '{"share": 0.0}'
