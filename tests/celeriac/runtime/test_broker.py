"""The broker's settings as they must stay, and tickets that survive a flushed Redis."""

import json
import re
import subprocess
import sys
import time
from typing import Any

import pytest
from celery import Celery
from celery.beat import Scheduler, SchedulingError

from celeriac.domain.errors import BrokerUnavailable
from celeriac.domain.messages import DriveStudy, RunTrial, TrialEnded
from celeriac.runtime.broker import (
    CLOCK_QUEUE,
    CPU_QUEUE,
    DRIVE_QUEUE,
    GPU_QUEUE,
    KEY_PREFIX,
    BrokerConfig,
    Tickets,
    make_app,
    trial_queue,
)
from celeriac.runtime.settings import Settings
from coordinator.beat import Ticks


def test_queues_have_the_names_that_they_had_in_every_version() -> None:
    # Tickets lie in them, and programs of two versions send to them, while a service is upgraded.
    names = (DRIVE_QUEUE, CLOCK_QUEUE, CPU_QUEUE, GPU_QUEUE, KEY_PREFIX)
    assert names == ("coordinator.drive", "coordinator.clock", "trials.cpu", "trials.gpu", "celeriac:")


def test_no_pickle_no_results_no_late_acknowledgement() -> None:
    conf: Any = make_app(BrokerConfig("redis://localhost:1/0", "test")).conf
    assert list(conf.accept_content) == ["json"]
    assert {conf.task_serializer, conf.result_serializer, conf.event_serializer} == {"json"}
    assert conf.result_backend is None
    assert conf.task_acks_late is False
    assert all(queue.no_ack for queue in conf.task_queues)
    assert conf.worker_cancel_long_running_tasks_on_connection_loss is False
    assert conf.broker_connection_max_retries is None


def test_no_tick_is_dropped_by_a_clock_that_differs_from_beats() -> None:
    schedule = make_app(BrokerConfig("redis://localhost:1/0", "test"), tick_s=5.0).conf.beat_schedule
    assert set(schedule) == {"reap", "fire", "drive"}
    assert all("expires" not in entry["options"] for entry in schedule.values())


def test_demand_classes_have_queues() -> None:
    assert (trial_queue(0), trial_queue(1)) == (CPU_QUEUE, GPU_QUEUE)


def test_a_dead_redis_is_named() -> None:
    tickets = Tickets(make_app(BrokerConfig("redis://127.0.0.1:1/0", "test")))
    with pytest.raises(BrokerUnavailable, match=DRIVE_QUEUE.replace(".", r"\.")):
        tickets.send(DriveStudy(1), queue=DRIVE_QUEUE, summary="digits")


def test_an_outage_of_redis_costs_beat_one_line(caplog: pytest.LogCaptureFixture) -> None:
    scheduler = Ticks(make_app(BrokerConfig("redis://127.0.0.1:1/0", "test"), tick_s=5.0), lazy=True)
    scheduler.setup_schedule()
    entries = list(scheduler.schedule.values())
    taken = False

    def send(*_: Any, **__: Any) -> None:
        if not taken:
            raise SchedulingError("Connection refused")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Scheduler, "apply_async", send)
        for entry in entries * 2:
            scheduler.apply_entry(entry)
        taken = True
        for entry in entries:
            scheduler.apply_entry(entry)
    assert [(record.name, record.levelname) for record in caplog.records] == [("coordinator.beat", "WARNING")] * 2
    assert "Connection refused" in caplog.messages[0]
    assert caplog.messages[1] == "ticks are sent again"
    assert not caplog.records[0].exc_info


def test_a_refused_login_is_no_silent_redis(settings: Settings) -> None:
    config = BrokerConfig(settings.broker_url, "test")
    app = make_app(config)
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        channel.client.execute_command("ACL", "SETUSER", "guest", "on", ">right", "~*", "+@all")
    socket = settings.broker_url.partition("://")[2]
    wrong = Tickets(make_app(BrokerConfig(f"redis+socket://guest:wrong@{socket}", "test")))
    with pytest.raises(BrokerUnavailable, match=r"refuses the login .*CELERIAC_BROKER_URL"):
        wrong.waiting(CPU_QUEUE)
    with pytest.raises(BrokerUnavailable, match="refuses the login"):
        wrong.send(DriveStudy(1), queue=DRIVE_QUEUE, summary="digits")


PATIENT = """
import sys
from celeriac.runtime.broker import CPU_QUEUE, BrokerConfig, make_app, stop_promptly
app = make_app(BrokerConfig(sys.argv[1], "patient"))
app.conf.broker_transport_options.update(polling_interval=3600, socket_timeout=None)
stop_promptly(app)
app.worker_main(["--quiet", "worker", "-Q", CPU_QUEUE, "-n", "patient", "--without-gossip", "--without-mingle"])
"""


@pytest.mark.services
def test_a_worker_that_waits_for_a_ticket_stops_when_told(settings: Settings) -> None:
    def waits() -> bool:
        channel: Any = connection.default_channel
        return any((each["name"], each["cmd"]) == ("patient", "brpop") for each in channel.client.client_list())

    with (
        make_app(BrokerConfig(settings.broker_url, "test")).connection_for_write() as connection,
        subprocess.Popen(
            [sys.executable, "-c", PATIENT, settings.broker_url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as worker,
    ):
        try:
            deadline = time.monotonic() + 60
            while not waits():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            worker.terminate()
            assert worker.wait(60) == 0  # its pop alone would take an hour
        finally:
            worker.kill()


@pytest.mark.services
def test_tickets_still_arrive_after_a_flush(settings: Settings) -> None:
    app = make_app(BrokerConfig(settings.broker_url, "test"))
    tickets = Tickets(app)
    tickets.send(RunTrial(1, 0, 1), queue=CPU_QUEUE, summary="digits trial 0 attempt 1")
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        channel.client.flushdb()
    assert tickets.waiting(CPU_QUEUE) == 0
    tickets.send(RunTrial(1, 0, 1), queue=CPU_QUEUE, summary="digits trial 0 attempt 1")
    assert tickets.waiting(CPU_QUEUE) == 1


@pytest.mark.services
@pytest.mark.parametrize("include", [[], ["coordinator.tasks"]], ids=["as beat", "with the tasks"])
def test_nothing_that_flower_lists_has_a_raw_id(settings: Settings, include: list[str]) -> None:
    app = make_app(BrokerConfig(settings.broker_url, "test"), include=include, tick_s=5.0)
    app.loader.import_default_modules()
    tickets = Tickets(app)
    for _ in range(2):
        tickets.send(DriveStudy(1), queue=DRIVE_QUEUE, summary="digits drive")
    tickets.send(TrialEnded(1, 3, 1), queue=DRIVE_QUEUE, summary="a/b trial 3 attempt 1: FAILED KeyError: 'x'")
    tickets.send(RunTrial(1, 0, 1), queue=DRIVE_QUEUE, summary="digits trial 0 attempt 1", task_id="digits-0-1")
    scheduler = Ticks(app, schedule={}, lazy=True)
    scheduler.setup_schedule()
    for entry in scheduler.schedule.values():
        scheduler.apply_async(entry, advance=False)
    sent = [headers for queue in (DRIVE_QUEUE, CLOCK_QUEUE) for headers in _headers(app, queue)]
    ids = [each["id"] for each in sent]
    assert len(set(ids)) == len(ids) == 7
    assert sorted(re.sub(r"-[0-9a-f]{8}$", "", each) for each in ids) == [
        "a-b-trial-3-attempt-1",
        "digits-0-1",
        "digits-drive",
        "digits-drive",
        "drive-tick",
        "fire-tick",
        "reap-tick",
    ]
    assert {"reap tick", "fire tick", "drive tick"} < {each["argsrepr"] for each in sent}


def _headers(app: Celery, queue: str) -> list[dict[str, Any]]:
    """The headers of the tickets that wait."""
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        return [json.loads(each)["headers"] for each in channel.client.lrange(KEY_PREFIX + queue, 0, -1)]
