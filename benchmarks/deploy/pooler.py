"""Workers behind a real PgBouncer, as `deploy/pgbouncer` sets it up: eight slots train through two connections of
Postgres, and a node that is killed with -9 comes back.

Needs the program `pgbouncer`.
"""

import asyncio
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from benchmarks.deploy.awaiting import until
from benchmarks.deploy.steady import steady
from benchmarks.embedded import Embedded, embedded
from celeriac.domain.records import StudyState, TrialState
from tests.servers import free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "pgbouncer" / "pgbouncer.ini"
SLOTS, TRIALS, POOL = 8, 40, 2
PATIENCE_S = 240.0


def missing() -> str:
    """What this machine lacks; "" when nothing."""
    return "" if shutil.which("pgbouncer") else "the program pgbouncer is not here"


def prove() -> str:
    """What held, in a line. Raises AssertionError."""
    with embedded(slots=1) as stack, _pooler(stack) as pooled, stack.client() as client:
        node = _node(stack, pooled)
        try:
            until(
                lambda: any(each.host == "pooled" for each in client.store.devices(alive=True)),
                PATIENCE_S,
                "its node is up",
            )
            study = client.submit(steady("pooled", TRIALS))
            until(lambda: study.record.counts.scored >= TRIALS // 4, PATIENCE_S, "a quarter is scored")
            most = _server_connections(pooled)
            node.kill()
            node.wait()
            node = _node(stack, pooled)
            until(lambda: study.state is StudyState.DONE, PATIENCE_S, "all trials are finished")
            trials = client.store.trials(study.record.id, limit=TRIALS)
            assert all(each.state is TrialState.SCORED and each.score == 6 for each in trials), trials
            through = [each for each in trials if each.worker.endswith("@pooled")]
            assert len(through) > TRIALS // 2, [each.worker for each in trials]
            most = max(most, _server_connections(pooled))
            assert 0 < most <= POOL, f"{most} connections to Postgres"
        finally:
            node.send_signal(signal.SIGTERM)
            node.wait(timeout=60)
    return f"{len(through)} of {TRIALS} trials on {SLOTS} slots through {most} connections, the node killed once"


@contextmanager
def _pooler(stack: Embedded) -> Iterator[str]:
    """The shipped file with this stack's address and a small pool; the URL of the database behind it."""
    server, port, bridge = make_url(stack.settings.database_url), free_port(), free_port()
    threading.Thread(target=_bridge, args=(bridge, f"{server.query['host']}/.s.PGSQL.5432"), daemon=True).start()
    text = SHIPPED.read_text().replace("port=5432 dbname=celeriac", f"port={bridge} dbname={server.database}")
    text = text.replace("dbname=", f"user={server.username} dbname=", 1)
    for name, value in (("listen_port", port), ("default_pool_size", POOL), ("auth_type", "any")):
        text = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
    text = re.sub(r"(?m)^auth_file = .*\n", "", text) + "admin_users = admin\nunix_socket_dir =\n"
    with tempfile.TemporaryDirectory() as root:
        file = Path(root, "pgbouncer.ini")
        file.write_text(text)
        Path(root).chmod(0o755)
        nobody = ["-u", "nobody"] if os.getuid() == 0 else []  # it refuses to be root
        if nobody:
            os.chown(root, pwd.getpwnam("nobody").pw_uid, -1)
        process = subprocess.Popen(["pgbouncer", "-q", *nobody, str(file)], stderr=subprocess.DEVNULL)
        try:
            yield f"postgresql+psycopg://{server.username}@127.0.0.1:{port}/celeriac?pgbouncer=true"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _bridge(port: int, path: str) -> None:
    """By TCP to the embedded Postgres, whose socket lies in a directory of its user alone."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(carry(reader, there_writer), carry(there_reader, writer))

    async def serve() -> None:
        server = await asyncio.start_server(joined, "127.0.0.1", port)
        await server.serve_forever()

    asyncio.run(serve())


def _node(stack: Embedded, pooled: str) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "CELERIAC_HOME": str(stack.home / "pooled"),
        "CELERIAC_DATABASE_URL": pooled,
        "CELERIAC_BROKER_URL": stack.settings.broker_url,
        "CELERIAC_HOST": "pooled",
        "CELERIAC_CHECKPOINT_ROOT": str(stack.settings.checkpoint_root),
    }
    command = [sys.executable, "-P", "-m", "worker", "--slots", str(SLOTS)]
    return subprocess.Popen(command, env=environment, stderr=(stack.home / "pooled.log").open("ab"))


def _server_connections(pooled: str) -> int:
    """How many connections to Postgres PgBouncer holds for the database."""
    url = make_url(pooled)
    with psycopg.connect(host=url.host, port=url.port, user="admin", dbname="pgbouncer", autocommit=True) as admin:
        cursor = psycopg.ClientCursor(admin)
        return sum(row[1] == "celeriac" for row in cursor.execute("SHOW SERVERS").fetchall() if row)
