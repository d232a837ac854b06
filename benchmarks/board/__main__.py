"""Fill a database, serve the board over it, ask for each page and list again and again, and let 50 viewers look on.

Writes the worst page's median and 95th percentile, the largest answer, the program's memory, and what the viewers
cost of a core; 1 when a bar is broken. Everything is asked over HTTP of the real program, by a token.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.board.fill import BIG, BIG_TRIALS, NIGHTLY, fill
from benchmarks.board.viewers import cost_of_viewers
from benchmarks.embedded import write_json
from celeriac.domain.records import Scope
from celeriac.local.postgres import Postgres
from celeriac.store import open_web_store
from celeriac.store.migrate import migrate
from celeriac.store.tokens import make_token

P50_MS, P95_MS, KB, MB, CORE = 300.0, 800.0, 200.0, 300.0, 0.20
VIEWERS, LOOK_S = 50, 20.0
START_S = 60.0


@dataclass(frozen=True)
class Asked:
    """One page's answers: milliseconds, and the bytes of one."""

    p50_ms: float
    p95_ms: float
    first_ms: float
    kb: float


def paths(night: str) -> list[str]:
    """Each page and list, those of the longest study among them."""
    study, last = f"/studies/{BIG}", BIG_TRIALS - 1
    beside = "&".join(f"study={name}" for name in (BIG, *(f"tabular-{k:03d}" for k in range(7))))
    pages = ["/", f"/nights/{NIGHTLY}/{night}", "/studies", "/studies?q=tab&state=DONE", study, f"{study}/live"]
    pages += [f"{study}?where=lr%3C0.01+optimizer%3Dadam&sort=score&down=1", f"{study}?sort=dropout&skip=4000"]
    pages += [f"{study}/{name}.json" for name in ("drawn", "curves", "timeline")]
    pages += [
        f"{study}/compare?trials=3,17,20",
        f"/compare?{beside}",
        f"/compare.json?{beside}",
        f"{study}/trials/11",
        f"{study}/trials/{last}",
        f"{study}/trials/10/log",
    ]
    pages += [f"/studies/{NIGHTLY}/airport=A00/{night}", "/fleet", "/schedules", f"/schedules/{NIGHTLY}", "/submit"]
    pages += [
        "/index.json",
        f"{study}.json",
        "/fleet.json",
        f"/schedules/{NIGHTLY}.json",
        f"/nights/{NIGHTLY}/{night}.json",
    ]
    api = [
        "/studies",
        f"/studies/{BIG}",
        f"/studies/{BIG}/trials",
        f"/studies/{BIG}/trials?limit=500",
        f"/studies/{BIG}/trials/11",
        "/devices",
    ]
    return pages + [f"/api/v1{each}" for each in api]


@contextmanager
def served(url: str, home: Path) -> Iterator[tuple[psutil.Process, str]]:
    """The program over this database, and its address."""
    from tests.servers import free_port

    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "celeriac.web", "--home", str(home)],
        env={**os.environ, "CELERIAC_DATABASE_URL": url, "CELERIAC_WEB_PORT": str(port), "PYTHONPATH": "."},
    )
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while True:
            try:
                httpx.get(f"{address}/healthz")
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.2)
        yield psutil.Process(process.pid), address
    finally:
        process.terminate()
        process.wait(timeout=30)


def measured(address: str, token: str, night: str, rounds: int) -> dict[str, Asked]:
    """All paths in turn, so many times; the first time of each apart."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html, application/json"}
    found: dict[str, list[float]] = {}
    size: dict[str, float] = {}
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        for _ in range(rounds + 1):
            for path in paths(night):
                began = time.perf_counter()
                answer = client.get(path)
                found.setdefault(path, []).append((time.perf_counter() - began) * 1000)
                if answer.status_code != 200:
                    raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text[:200]}")
                size[path] = len(answer.content) / 1000
    return {path: _asked(each, size[path]) for path, each in found.items()}


def _asked(times: list[float], kb: float) -> Asked:
    later = sorted(times[1:])
    p95 = later[min(int(0.95 * len(later)), len(later) - 1)]
    return Asked(*(round(each, 1) for each in (statistics.median(later), p95, times[0], kb)))


def study_page_kb(found: Mapping[str, Asked]) -> float:
    """What a study's page and all its pictures come to."""
    study = f"/studies/{BIG}"
    return round(
        sum(found[path].kb for path in (study, *(f"{study}/{n}.json" for n in ("drawn", "curves", "timeline")))), 1
    )


def main() -> int:
    """Measure, print, write and judge."""
    parser = argparse.ArgumentParser(prog="benchmarks.board", description=__doc__)
    parser.add_argument("--out", default="build/bench/board.json")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="celeriac-board-") as directory:
        home = Path(directory)
        postgres = Postgres(home / "pg", home / "run", durable=False)
        postgres.init()
        os.close(postgres.child.start())
        postgres.child.wait_ready()
        try:
            figures = _figures(postgres.dsn, home, options.rounds)
        finally:
            postgres.child.stop(20.0)
    broken = _broken(figures)
    figures["verdict"] = "; ".join(broken) or "within the limits"
    write_json(options.out, figures)
    return 1 if broken else 0


def _figures(url: str, home: Path, rounds: int) -> dict[str, Any]:
    migrate(url)
    filled = fill(url)
    store = open_web_store(url)
    token = make_token(store, "bench", (Scope.READ,))
    night = f"{store.firings(NIGHTLY, limit=1)[0].due_at:%Y-%m-%d}"
    store.close()
    with served(url, home) as (process, address):
        pages = measured(address, token, night, rounds)
        viewers = cost_of_viewers(address, token, url, process, BIG, viewers=VIEWERS, for_s=LOOK_S)
        web_mb = process.memory_info().rss / 1e6
    worst = max(pages, key=lambda path: pages[path].p50_ms)
    return {
        "studies": filled.studies,
        "trials": filled.trials,
        "reports": filled.reports,
        "p50_ms_worst_page": pages[worst].p50_ms,
        "p95_ms_worst_page": max(each.p95_ms for each in pages.values()),
        "kb_worst_page": max(*(each.kb for path, each in pages.items() if "/api/" not in path), study_page_kb(pages)),
        "web_mb": round(web_mb, 1),
        "worst_page": worst,
        "viewers": viewers,
        "pages": {path: asdict(each) for path, each in pages.items()},
    }


def _broken(figures: Mapping[str, Any]) -> list[str]:
    bars = {"p50_ms_worst_page": P50_MS, "p95_ms_worst_page": P95_MS, "kb_worst_page": KB, "web_mb": MB}
    broken = [f"{name} is {figures[name]}, at most {most}" for name, most in bars.items() if figures[name] > most]
    if figures["viewers"]["of_a_core"] > CORE:
        broken.append(f"{VIEWERS} viewers cost {figures['viewers']['of_a_core']:.0%} of a core, at most {CORE:.0%}")
    return broken


if __name__ == "__main__":
    sys.exit(main())
