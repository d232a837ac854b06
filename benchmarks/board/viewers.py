"""Viewers of a live study, as its page behaves: a look every two seconds with the tag of the last one, and its three
pictures anew every ten. Meanwhile its running trials report each second. What that costs the board's program and
Postgres together, in processor time.
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

LOOK_S, REDRAW_S = 2.0, 10.0
PICTURES = ("drawn", "curves", "timeline")


def cost_of_viewers(
    address: str, token: str, url: str, process: psutil.Process, study: str, *, viewers: int, for_s: float
) -> dict[str, Any]:
    """Shares of a core, the reports' own writing taken off, and how many looks brought something new."""
    postgres = _postgres_of(url)
    over, counts = threading.Event(), {"new": 0, "same": 0, "failed": 0}
    reporter = threading.Thread(target=_report, args=(url, study, over))
    reporter.start()
    alone = _spent(process, postgres, lambda: over.wait(for_s / 2)) / (for_s / 2)
    lock = threading.Lock()
    looking = [
        threading.Thread(target=_look, args=(address, token, study, over, counts, lock, place / viewers))
        for place in range(viewers)
    ]
    for each in looking:
        each.start()
    over.wait(REDRAW_S)  # until all have their connections and first pictures
    began = time.monotonic()
    spent = _spent(process, postgres, lambda: over.wait(for_s))
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
    """Each second, every running trial of the study reports."""
    with psycopg.connect(_plain(url), autocommit=True) as connection:
        while not over.wait(1.0):
            connection.execute(
                "UPDATE attempt a SET last_step = a.last_step + 1, last_value = a.last_value + 0.0001 FROM study s"
                " WHERE s.name = %s AND a.study_id = s.id AND a.ended_at IS NULL",
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
    tags: dict[str, str] = {}
    drawn_at = time.monotonic() - REDRAW_S * phase
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
        over.wait(LOOK_S * phase)
        while not over.is_set():
            wanted = [f"/studies/{study}/live"]
            if time.monotonic() - drawn_at > REDRAW_S:
                drawn_at = time.monotonic()
                wanted += [f"/studies/{study}/{name}.json" for name in PICTURES]
            for path in wanted:
                answer = client.get(path, headers={"If-None-Match": tags.get(path, "")})
                tags[path] = answer.headers.get("ETag", "")
                with lock:
                    counts[{200: "new", 304: "same"}.get(answer.status_code, "failed")] += 1
            over.wait(LOOK_S)


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
