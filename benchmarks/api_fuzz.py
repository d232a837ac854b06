"""Proof: whatever is asked of the API within the words of its document, it has no fault and answers as the document
says, in status, kind and shape.

schemathesis makes requests from the OpenAPI document, well-formed and not, and sends them to the app on servers of its
own. Streams of events are left out: they do not end. `python -m benchmarks.api_fuzz --out FILE` writes how many were
sent and by status; it fails below `LEAST` requests.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import Message, Receive, Scope, Send

from celeriac.client import Client
from celeriac.domain.records import Scope as TokenScope
from celeriac.runtime.settings import Settings
from celeriac.store import open_web_store
from celeriac.store.tokens import make_token
from celeriac.web.app import create_app
from tests.celeriac.cli.played import CODE, PLAN, SPEC, played
from tests.servers import Run

LEAST = 2000
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class Counted:
    """The app, and how often it answered with which status."""

    def __init__(self, app: Any) -> None:
        self._app, self.statuses = app, Counter[int]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count."""

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.statuses[message["status"]] += 1
            await send(message)

        await self._app(scope, receive, counting if scope["type"] == "http" else send)


def main() -> int:
    """Run it; 0 when every bar is met."""
    parser = argparse.ArgumentParser("python -m benchmarks.api_fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=60, help="at most so many of each kind for each operation")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    run = Run()
    try:
        with tempfile.TemporaryDirectory() as directory:
            return prove(run, Path(directory), asked.examples, asked.out)
    finally:
        run.stop()


def prove(run: Run, home: Path, examples: int, out: Path | None) -> int:
    """Serve the app over a service with something in it, send the requests, judge."""
    servers = run.servers()
    (home / "train.py").write_text(CODE)
    environment = {
        "CELERIAC_DATABASE_URL": servers.database("celeriac_fuzz"),
        "CELERIAC_BROKER_URL": servers.redis_database(15),
        "CELERIAC_CODE_ROOT": str(home),
    }
    settings = Settings.from_env(environment, home=home / "home")
    store = open_web_store(settings.database_url, pool_size=6)
    with Client(settings, store=store) as client:
        fill(client, home)
        token = make_token(store, "fuzz", tuple(TokenScope))
        app = Counted(create_app(settings, client, store))
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            code = send(f"http://127.0.0.1:{listening.getsockname()[1]}", token, examples, home)
        finally:
            server.should_exit = True
            thread.join()
    return judge(code, app.statuses, out)


def fill(client: Client, home: Path) -> None:
    """A study that runs and a night, so that requests find something."""
    acting = client.acting_as("fuzz", [home])
    played(client, acting.submit(SPEC), 0.5, 0.75)
    acting.add_schedule({**SPEC, **PLAN})
    acting.fire("nightly", slice_={"r": "eu"})


def send(url: str, token: str, examples: int, where: Path) -> int:
    """Have schemathesis send its requests; its exit code. What it keeps of them lies in `where`."""
    document = f"{url}/api/v1/openapi.json"
    words = ["run", document, "--header", f"Authorization: Bearer {token}", "--checks", CHECKS, "--workers", "2"]
    words += ["--max-examples", str(examples), "--exclude-path-regex", "events$", "--seed", "1", "--no-color"]
    words += ["--suppress-health-check", "all", "--continue-on-failure", "--phases", "coverage,fuzzing"]
    return subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *words], check=False, cwd=where
    ).returncode  # it leaves notes there


def judge(code: int, statuses: Counter[int], out: Path | None) -> int:
    """Say how it went; 0 when all is well."""
    faults = sum(count for status, count in statuses.items() if status >= 500)
    found = {
        "requests": statuses.total(),
        "server_errors": faults,
        "undocumented_or_failed": code != 0,
        "by_status": {str(status): count for status, count in sorted(statuses.items())},
    }
    print(json.dumps(found, indent=2))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if statuses.total() >= LEAST and not faults and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
