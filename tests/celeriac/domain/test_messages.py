"""Tickets: every version ever sent stays readable, carries ids only, and what is no ticket is refused with its
reason.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from celeriac.domain.errors import MessageInvalid
from celeriac.domain.messages import KINDS, DriveStudy, JoinGang, Message, RunTrial, Tick, TrialEnded, decode, encode

GOLDEN = Path(__file__).parent / "golden"
#: What each golden file was written from. Never change a line, and never a file: they lie in queues out there. Add new
#: ones.
SENT: dict[str, Message] = {
    "drive_study.1.json": DriveStudy(study=12),
    "trial_ended.1.json": TrialEnded(study=12, trial=34, attempt=2),
    "trial_ended.2.json": TrialEnded(study=12, trial=34, attempt=2, ended_no=31),
    "tick.1.json": Tick(),
    "run_trial.1.json": RunTrial(study=12, trial=34, attempt=2),
    "join_gang.1.json": JoinGang(study=12, trial=34, attempt=2),
}


@pytest.mark.parametrize("name", sorted(SENT))
def test_what_was_once_sent_is_read(name: str) -> None:
    assert decode(json.loads((GOLDEN / name).read_text())) == SENT[name]


def test_every_kind_and_version_has_its_golden_file() -> None:
    assert {path.name for path in GOLDEN.glob("*.json")} == set(SENT)
    assert {f"{kind}.{message.version}.json" for kind, message in KINDS.items()} <= set(SENT)


@pytest.mark.parametrize("name", [f"{kind}.{message.version}.json" for kind, message in KINDS.items()])
def test_what_is_sent_today_is_written_as_in_its_golden_file(name: str) -> None:
    message, golden = SENT[name], (GOLDEN / name).read_text()
    assert encode(message) == json.loads(golden)
    assert decode(json.loads(json.dumps(encode(message)))) == message


def test_a_ticket_carries_ids_and_nothing_else() -> None:
    for message in KINDS.values():
        assert {each.type for each in fields(message)} <= {int, "int"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("run trial 3", "must be a JSON object, not str"),
        (None, "not NoneType"),
        ({}, "unknown kind None"),
        ({"kind": "launch", "v": 1}, "unknown kind 'launch'.*known: drive_study"),
        ({"kind": "drive_study", "study": 1}, "has version None"),
        ({"kind": "drive_study", "v": 2, "study": 1}, "has version 2, this program reads 1; upgrade the older"),
        ({"kind": "drive_study", "v": 1, "study": "digits"}, "carries something that is no id"),
        ({"kind": "drive_study", "v": 1, "study": True}, "carries something that is no id"),
        ({"kind": "drive_study", "v": 1, "study": 1.5}, "carries something that is no id"),
        ({"kind": "run_trial", "v": 1, "study": 1, "trial": 2}, "other ids than expected"),
        ({"kind": "run_trial", "v": 1, "study": 1, "trial": 2, "attempt": 1, "lr": 3}, "other ids than expected"),
    ],
)
def test_what_is_no_ticket_is_refused(data: Any, reason: str) -> None:
    with pytest.raises(MessageInvalid, match=reason):
        decode(data)
