"""The broker's settings as they must stay, and tickets that survive a flushed Redis."""

from typing import Any

import pytest

from celeriac.broker import CPU_QUEUE, DRIVE_QUEUE, GPU_QUEUE, BrokerConfig, Tickets, make_app, trial_queue
from celeriac.errors import BrokerUnavailable
from celeriac.messages import DriveStudy, RunTrial
from celeriac.settings import Settings


def test_no_pickle_no_results_no_late_acknowledgement() -> None:
    conf: Any = make_app(BrokerConfig("redis://localhost:1/0", "test")).conf
    assert list(conf.accept_content) == ["json"]
    assert {conf.task_serializer, conf.result_serializer, conf.event_serializer} == {"json"}
    assert conf.result_backend is None
    assert conf.task_acks_late is False
    assert all(queue.no_ack for queue in conf.task_queues)
    assert conf.worker_cancel_long_running_tasks_on_connection_loss is False
    assert conf.broker_connection_max_retries is None


def test_ticks_expire_with_their_interval() -> None:
    schedule = make_app(BrokerConfig("redis://localhost:1/0", "test"), tick_s=5.0).conf.beat_schedule
    assert set(schedule) == {"reap", "fire", "drive"}
    assert {entry["options"]["expires"] for entry in schedule.values()} == {5.0}


def test_demand_classes_have_queues() -> None:
    assert (trial_queue(0), trial_queue(1)) == (CPU_QUEUE, GPU_QUEUE)


def test_a_dead_redis_is_named() -> None:
    tickets = Tickets(make_app(BrokerConfig("redis://127.0.0.1:1/0", "test")))
    with pytest.raises(BrokerUnavailable, match=DRIVE_QUEUE.replace(".", r"\.")):
        tickets.send(DriveStudy(1), queue=DRIVE_QUEUE, summary="digits")


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
