"""Whatever is pushed into Redis: the program that reads it lives on, says one line, and takes the next good ticket."""

import base64
import json
from typing import Any

import pytest
from redis import Redis as Connection

from celeriac.domain.messages import DriveStudy, encode
from celeriac.domain.records import StudyState
from celeriac.runtime.broker import DRIVE_QUEUE, DRIVE_TASK, KEY_PREFIX, BrokerConfig, Tickets, make_app
from celeriac.runtime.settings import Settings
from celeriac.store import Store
from tests.coordinator.house import open_study
from tests.coordinator.test_programs import Programs, programs, until

__all__ = ["programs"]


def ticket(**changes: Any) -> dict[str, Any]:
    """A good ticket as kombu writes it, but for the changes; None takes a part away."""
    body = changes.pop("args", [[encode(DriveStudy(999))], {}, {}])
    made: dict[str, Any] = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": DRIVE_TASK, "id": "x", "root_id": "x", "parent_id": None, "argsrepr": "x"},
        "properties": {
            "correlation_id": "x",
            "reply_to": "x",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": DRIVE_QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "x",
        },
    }
    headers = changes.pop("in_headers", {})
    made["headers"] |= headers
    made |= changes
    return {name: value for name, value in made.items() if value is not None}


MALFORMED: dict[str, Any] = {
    "no JSON": b"\xff\xfe not JSON",
    "a list": [],
    "a number": 7,
    "nothing in it": {},
    "no properties": ticket(properties=None),
    "properties without a tag": ticket(properties={}),
    "properties that are a list": ticket(properties=[1]),
    "no headers": ticket(headers=None),
    "headers that are a list": ticket(headers=[1]),
    "headers of no task": ticket(headers={}),
    "an unknown task": ticket(in_headers={"task": "os.system"}),
    "a task that is a list": ticket(in_headers={"task": ["a"]}),
    "no id": ticket(headers={"task": DRIVE_TASK}),
    "an id that is an object": ticket(in_headers={"id": {"a": 1}}),
    "a body that is none": ticket(body="%%%"),
    "a body in pickle": ticket(**{"content-type": "application/x-python-serialize"}),
    "a body of an unknown kind": ticket(**{"content-type": "x/y"}),
    "an unknown encoding": ticket(**{"content-encoding": "klingon"}),
    "arguments that are a number": ticket(args=7),
    "arguments that are no list": ticket(args=[7, {}, {}]),
    "keywords that are a list": ticket(args=[[], [1], {}]),
    "a time that is none": ticket(in_headers={"eta": "soon"}),
    "a time that is a list": ticket(in_headers={"eta": [1]}),
    "an expiry that is none": ticket(in_headers={"expires": "never"}),
    "an expiry that is an object": ticket(in_headers={"expires": {"a": 1}}),
    "limits that are text": ticket(in_headers={"timelimit": "none"}),
    "limits of one number": ticket(in_headers={"timelimit": [1]}),
    "retries that are text": ticket(in_headers={"retries": "many"}),
    "a chord that is text": ticket(in_headers={"chord": "x"}),
    "an ignored result that is a list": ticket(in_headers={"ignore_result": [1], "replaced_task_nesting": "x"}),
    "a study beyond all numbers": ticket(args=[[{"kind": "drive_study", "v": 1, "study": 10**30}], {}, {}]),
    "a study below 0": ticket(args=[[{"kind": "drive_study", "v": 1, "study": -1}], {}, {}]),
    "a message of no kind": ticket(args=[[{"kind": ["a"], "v": {}}], {}, {}]),
}

#: What Celery reads over, and what it says itself.
HARMLESS = 5


@pytest.mark.timeout(120)
def test_a_malformed_ticket_costs_a_line_and_not_the_program(
    programs: Programs, settings: Settings, store: Store
) -> None:
    programs.start("drive")
    pid = programs.running["drive"].pid
    study = open_study(store)
    path, _, number = settings.broker_url.removeprefix("redis+socket://").partition("?virtual_host=")
    with Connection(unix_socket_path=path, db=int(number)) as redis:
        for each in MALFORMED.values():
            redis.lpush(f"{KEY_PREFIX}{DRIVE_QUEUE}", each if isinstance(each, bytes) else json.dumps(each))
    tickets = Tickets(make_app(BrokerConfig(settings.broker_url, "test")))
    tickets.send(DriveStudy(study.id), queue=DRIVE_QUEUE, summary="good")
    until(lambda: store.study(study.id).state is StudyState.RUNNING, programs, 60)
    assert programs.running["drive"].pid == pid
    said = programs.log("drive")
    dropped = [line for line in said.splitlines() if "ticket dropped" in line]
    assert len(dropped) >= len(MALFORMED) - HARMLESS, said
    assert "Unrecoverable error" not in said
