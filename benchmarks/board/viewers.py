"""Viewers of a live study, as its page behaves: the server pushes its live part whenever that is another, and its three
pictures are asked for anew every ten seconds, with the tags of the last ones. Meanwhile its running trials report each
second. What that costs the board's program and Postgres together, in processor time.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import psutil
import psycopg
from sqlalchemy.engine import make_url

REDRAW_S = 10.0
PICTURES = ("drawn", "curves", "timeline")


def cost_of_viewers(
    address: str, token: str, url: str, process: psutil.Process, study: str, *, viewers: int, for_s: float
) -> dict[str, Any]:
    """Shares of a core, the reports' own writing taken off; how many parts were pushed and pictures asked for, and of
    these how many were new.
    """
    over, counts = threading.Event(), {"pushed": 0, "new": 0, "same": 0, "failed": 0}
    reporter = threading.Thread(target=_report, args=(url, study, over))
    reporter.start()
    alone = _spent(process, _postgres_of(url), lambda: over.wait(for_s / 2)) / (for_s / 2)
    lock = threading.Lock()
    looking = [
        threading.Thread(target=_look, args=(address, token, study, over, counts, lock, place / viewers))
        for place in range(viewers)
    ]
    for each in looking:
        each.start()
    over.wait(REDRAW_S)  # until all have their connections and first pictures
    began = time.monotonic()
    spent = _spent(process, _postgres_of(url), lambda: over.wait(for_s))
    took = time.monotonic() - began
    over.set()
    for each in [*looking, reporter]:
        each.join()
    return {
        "viewers": viewers,
        "of_a_core": round(max(spent / took - alone, 0.0), 3),
        "without_them": round(alone, 3),
        **counts,
    }


def _spent(process: psutil.Process, postgres: list[psutil.Process], wait: Callable[[], object]) -> float:
    """Processor seconds of these while it waits; of one that ends meanwhile, none."""

    def now() -> dict[int, float]:
        found = {}
        for each in (process, *postgres):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                found[each.pid] = times.user + times.system
        return found

    before = now()
    wait()
    after = now()
    return sum(after[pid] - spent for pid, spent in before.items() if pid in after)


def _postgres_of(url: str) -> list[psutil.Process]:
    """The server's processes, those of connections that are open now included."""
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        pids = connection.execute("SELECT pid FROM pg_stat_activity").fetchall()
    return [psutil.Process(pid) for (pid,) in pids if psutil.pid_exists(pid)]


def _report(url: str, study: str, over: threading.Event) -> None:
    """Each second, every running trial of the study reports, as the workers' function writes it, without a lease."""
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        while not over.wait(1.0):
            connection.execute(
                "WITH a AS (UPDATE attempt a SET last_step = a.last_step + 1, last_value = a.last_value + 0.0001"
                " FROM study s WHERE s.name = %s AND a.study_id = s.id AND a.ended_at IS NULL"
                " RETURNING a.study_id, a.trial, a.number, a.last_step, a.last_value)"
                " INSERT INTO report (study_id, trial, attempt, step, value, at)"
                " SELECT a.study_id, a.trial, a.number, a.last_step, a.last_value, clock_timestamp() FROM a",
                [study],
            )


def _look(
    address: str,
    token: str,
    study: str,
    over: threading.Event,
    counts: dict[str, int],
    lock: threading.Lock,
    phase: float,
) -> None:
    """One viewer. The stream ends with the first event after the end."""
    tags: dict[str, str] = {}
    drawn_at = time.monotonic() - REDRAW_S * phase
    headers = {"Authorization": f"Bearer {token}"}

    def count(what: str) -> None:
        with lock:
            counts[what] += 1

    with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
        over.wait(phase)
        with client.stream("GET", f"/studies/{study}/following") as stream:
            for line in stream.iter_lines():
                if over.is_set():
                    return
                if not line.startswith("id:"):
                    continue
                count("pushed")
                if time.monotonic() - drawn_at < REDRAW_S:
                    continue
                drawn_at = time.monotonic()
                for path in (f"/studies/{study}/{name}.json" for name in PICTURES):
                    answer = client.get(path, headers={"If-None-Match": tags.get(path, "")})
                    tags[path] = answer.headers.get("ETag", "")
                    count({200: "new", 304: "same"}.get(answer.status_code, "failed"))


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
