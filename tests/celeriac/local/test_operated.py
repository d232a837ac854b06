"""A stack as an operator has it: metrics, traces, hooks, retention and secrets, looked at from outside while it works.

One stack for the module, with its home where the documentation's commands look for it; the tests run in order.
"""

import json
import os
import re
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks.deploy.awaiting import until
from benchmarks.embedded import Embedded, embedded
from celeriac.client import Client
from celeriac.domain.records import WORKING, Scope, StudyState
from celeriac.runtime.artefacts import open_artefacts, version_of
from celeriac.runtime.artefacts.api import hashed
from celeriac.runtime.metrics.table import METRICS, PREFIX
from celeriac.store.tokens import make_token
from coordinator.traces import trace_id
from tests.docs.blocks import ROOT, blocks
from tests.servers import free_port, free_ports

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.proof, pytest.mark.timeout(180)]

PATIENCE_S = 100.0
MARK = "m4rked"
SECRETS = {"CELERIAC_SMTP_URL": f"smtp://nights:{MARK}-smtp@127.0.0.1:9", "HOOK_SECRET": f"{MARK}-hook"}
OBJECTIVE = """
import os
from celeriac import Result

def objective(trial):
    print("sees", dict(os.environ))
    trial.report(trial.params["x"], step=0, checkpoint=lambda path: open(path, "w").write("kept"))
    return Result(trial.params["x"], model=lambda path: open(path, "w").write("a model"))

def wrong(trial):
    raise ValueError("on purpose")
"""
STUDY: dict[str, Any] = {
    "objective": "train:objective",
    "metric": {"name": "x", "goal": "maximize"},
    "space": {"x": {"float": [0.0, 1.0]}},
    "sampler": "random",
    "budget": {"trials": 3},
    "keep_model": "all",
}
NIGHTLY = {"name": "nightly", "cron": "0 2 1 1 *", "slices": {"region": ["eu"]}}


@dataclass
class Heard:
    """What came by HTTP: spans of traces, and the requests of hooks."""

    spans: list[Span] = field(default_factory=list)
    hooks: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def listening() -> Iterator[tuple[str, Heard]]:
    heard = Heard()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                sent = ExportTraceServiceRequest.FromString(body).resource_spans
                heard.spans += [span for each in sent for scope in each.scope_spans for span in scope.spans]
            else:
                heard.hooks.append((dict(self.headers), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, HTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Listener) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", heard
        server.shutdown()
        thread.join()


class Watch(threading.Thread):
    """Notes every command line of a process and all that come from it, until it is told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._top, self.seen, self._over = psutil.Process(pid), set[str](), threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.1):
            for each in [self._top, *self._top.children(recursive=True)]:
                with suppress(psutil.Error):
                    self.seen.add(" ".join(each.cmdline()))

    def stop(self) -> None:
        self._over.set()
        self.join()


@dataclass
class Operated:
    """The stack, its client, and what was heard and seen of it."""

    stack: Embedded
    client: Client
    code: Path
    listener: str
    heard: Heard
    watch: Watch
    metrics_port: int

    @property
    def board(self) -> str:
        return str(json.loads(self.stack.settings.stack_file.read_text())["web_url"])

    def celeriac(self, *words: str) -> str:
        """What the command prints on this home, whatever it thinks of it."""
        command = [sys.executable, "-m", "celeriac.cli", *words, "--home", str(self.stack.home)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **SECRETS})
        return done.stdout + done.stderr

    def study(self, **changes: Any) -> dict[str, Any]:
        return {**STUDY, "code": str(self.code), **changes}

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.stack.settings.database_url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    code = tmp_path_factory.mktemp("code")
    (code / "train.py").write_text(OBJECTIVE)
    [port, *_] = free_ports(3)
    with ExitStack() as opened:
        address, heard = opened.enter_context(listening())
        given = {
            **SECRETS,
            "CELERIAC_MAIL_FROM": "nights@example.com",
            "CELERIAC_METRICS_PORT": str(port),
            "CELERIAC_WEB_PORT": str(free_port()),  # where nobody else's board can be
            "CELERIAC_OTLP_ENDPOINT": f"{address}/v1/traces",
            "CELERIAC_RETENTION": "reports=30d,logs=30d,checkpoints=30d,models=30d",
            "CELERIAC_REAP_S": "0.5",
        }
        stack = opened.enter_context(embedded(1, environment=given, flower=True))
        client = opened.enter_context(stack.client())
        watch = Watch(stack.process.pid)
        watch.start()
        opened.callback(watch.stop)
        yield Operated(stack, client, code, address, heard, watch, port)


def test_a_trial_s_life_arrives_as_one_trace(operated: Operated) -> None:
    study = operated.client.submit(operated.study(study="plain"))
    study.wait(PATIENCE_S)
    wrong = operated.client.submit(operated.study(study="wrong", objective="train:wrong", budget={"trials": 1}))
    wrong.wait(PATIENCE_S)
    wanted = trace_id(study.id, 2).to_bytes(16, "big")

    def life() -> list[Span]:
        return [each for each in operated.heard.spans if each.trace_id == wanted]

    until(lambda: "trial" in {each.name for each in life()}, PATIENCE_S, "the last trial's trace has come")
    [whole] = [each for each in life() if each.name == "trial"]
    [attempt] = [each for each in life() if each.name == "attempt"]
    assert {each.name for each in life()} <= {"trial", "waiting", "queued", "attempt"}
    assert all(each.parent_span_id == whole.span_id for each in life() if each is not whole)
    assert whole.start_time_unix_nano <= attempt.start_time_unix_nano < attempt.end_time_unix_nano
    assert attempt.end_time_unix_nano <= whole.end_time_unix_nano
    told = {each.key: each.value for each in whole.attributes}
    assert told["celeriac.state"].string_value == "SCORED"
    assert told["celeriac.score"].double_value == operated.client.store.trial(study.id, 2).score


def scraped(address: str, **headers: str) -> set[str]:
    """The names of our metrics that a program tells, as Prometheus reads them."""
    answer = httpx.get(address, headers=headers, trust_env=False)
    answer.raise_for_status()
    return set(re.findall(rf"^# TYPE {PREFIX}(\w+)", answer.text, re.MULTILINE))


def test_every_metric_of_the_page_is_told_by_who_is_said_to_and_no_other(operated: Operated) -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    rows = dict(re.findall(rf"^\| `{PREFIX}(\w+)` .* \| (\w+) \|$", page, re.MULTILINE))
    assert rows == {each.name: each.of for each in METRICS}
    token = make_token(operated.client.web_store(), "prometheus", (Scope.READ,))
    found = {
        name: scraped(f"http://127.0.0.1:{operated.metrics_port + place}/metrics")
        for place, name in enumerate(("drive", "clock", "node"))
    }
    found["web"] = scraped(f"{operated.board}/metrics", Authorization=f"Bearer {token}")
    of_rows = {name for name, of in rows.items() if of == "rows"}
    for name, told in found.items():
        own = {each for each, of in rows.items() if of == name}
        assert told == own | (of_rows if name in ("clock", "web") else set()), name


def a_night(operated: Operated) -> tuple[int, Sequence[int]]:
    """A night whose three trials became champion by hand, one after the other: its study's id, and theirs."""
    hook = {"url": f"{operated.listener}/hook", "secret_env": "HOOK_SECRET"}
    operated.client.add_schedule(operated.study(study="nightly", schedule={**NIGHTLY, "hook": hook}))
    [night] = operated.client.fire("nightly")
    night.wait(PATIENCE_S)
    store = operated.client.store
    until(lambda: store.firings("nightly")[0].state not in WORKING, PATIENCE_S, "the night is over")
    before = len([each for each in store.verdicts("nightly") if each.promoted])
    assert before <= 1
    root = open_artefacts(operated.stack.settings.artefact_root)
    for number in range(3):  # a night's search keeps no models: here each trial has one, as those that a gate looked at
        path = operated.code / f"{number}.pt"
        path.write_text(f"model {number}")
        key = f"models/{night.id}/{number}"
        root.put(path, key)
        model = json.dumps(asdict(hashed(path, key)))
        operated.sql(f"UPDATE trial SET model = '{model}' WHERE study_id = {night.id} AND number = {number}")
    promoted = [operated.client.promote(night.name, number, None, "by hand").id for number in range(3)]
    place = "champions/nightly/region=eu"
    until(lambda: root.current(place) == promoted[-1], PATIENCE_S, "the last one is published")
    until(lambda: len(operated.heard.hooks) >= 3, PATIENCE_S, "the hooks have run")
    return night.id, promoted


def test_retention_drops_what_is_old_and_never_a_champion_s_or_the_one_before_it(operated: Operated) -> None:
    night, promoted = a_night(operated)
    client, store = operated.client, operated.client.store
    root, logs = open_artefacts(operated.stack.settings.artefact_root), operated.stack.settings.log_root
    old, young = client.study("plain"), client.submit(operated.study(study="young"))
    young.wait(PATIENCE_S)
    assert len(root.keys(f"models/{night}")) == len(root.keys(f"models/{old.id}")) == 3
    operated.sql(f"UPDATE study SET ended_at = ended_at - interval '40 days' WHERE id <> {young.id}")
    operated.sql("UPDATE champion SET decided_at = decided_at - interval '40 days'")
    operated.sql("DELETE FROM duty WHERE name = 'retain'")  # as on the next day
    clock = operated.stack.home / "logs" / "clock.log"
    with suppress(AssertionError):
        until(lambda: clock.read_text().count("retention ended with") >= 2, PATIENCE_S, "the command has ended")
    said = "\n".join(line for line in clock.read_text().splitlines() if "retention" in line)
    assert said.count("retention ended with 0") == 2, said
    assert root.keys(f"models/{night}") == [f"models/{night}/1", f"models/{night}/2"]
    place = "champions/nightly/region=eu"
    assert {version_of(key, place) for key in root.keys(place)} - {None} == set(promoted[1:])
    assert [bool(store.reports(old.id, number)) for number in range(3)] == [False] * 3
    assert [bool(store.reports(night, number)) for number in range(3)] == [True] * 3
    assert list((logs / str(old.id)).glob("*.log")) == []
    assert {path.name for path in (logs / str(night)).glob("*.log")} >= {f"{number}-1.log" for number in range(3)}
    assert store.checkpoints(old.id, 0) == []
    assert len(root.keys(f"models/{young.id}")) == 3
    assert store.reports(young.id, 0)
    assert all(each.score is not None for each in store.trials(old.id)), "scores stay for ever"
    assert re.search(r"retention +ok +last begun", operated.celeriac("doctor"))


def hidden(operated: Operated, api_token: str) -> list[str]:
    """What nobody may see: marked secrets, and those that the stack made."""
    run = operated.stack.home / "run"
    made = json.loads((run / "secrets.json").read_text())
    key = (operated.stack.home / "logs" / "node-cpu.key").read_text().strip()
    passwords = [str(value) for name, value in made.items() if "password" in name]
    owner = json.loads((run / "owner.json").read_text())["token"]
    assert passwords
    return [MARK, owner, api_token, key, *passwords]


def test_no_secret_is_in_logs_process_lists_answers_or_pages(operated: Operated) -> None:
    [token] = re.findall(r"clr_\S+", operated.celeriac("token", "create", "reader", "--scope", "read"))
    seen = {str(path): path.read_text(errors="replace") for path in (operated.stack.home / "logs").rglob("*.log")}
    assert len(seen) > 10
    assert any("sees {" in text for text in seen.values()), "no trial's output was looked at"
    for words in (
        ("doctor",),
        ("doctor", "--json"),
        ("status", "--json"),
        ("workers", "--json"),
        ("trials", "plain", "--json"),
        ("trials", "wrong", "--json"),
        ("why", "plain"),
        ("schedule", "show", "nightly", "--json"),
        ("champions", "--json"),
        ("token", "list", "--json"),
        ("morning", "--json"),
        ("status", "no-such-study"),
    ):
        seen[" ".join(words)] = operated.celeriac(*words)
    with httpx.Client(base_url=operated.board, trust_env=False) as stranger:
        for path in ("/", "/login", "/none", "/api/v1/studies", "/metrics", "/healthz"):
            seen[f"stranger {path}"] = stranger.get(path).text
    with httpx.Client(base_url=operated.board, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as reader:
        for path in ("/api/v1/studies", "/api/v1/studies/none", "/api/v1/studies?limit=x", "/studies/none", "/metrics"):
            seen[f"reader {path}"] = reader.get(path).text
        seen["reader POST"] = reader.post("/api/v1/studies", content=b"{").text
    seen["process list"] = "\n".join(operated.watch.seen)
    seen["hooks"] = "\n".join(f"{headers} {body!r}" for headers, body in operated.heard.hooks)
    seen["traces"] = "\n".join(map(str, operated.heard.spans))
    found = [(place, secret) for secret in hidden(operated, token) for place, text in seen.items() if secret in text]
    assert found == []
    assert len(operated.watch.seen) > 10
    assert not re.search(r"://[^/\s@]*:[^/\s@]+@", seen["process list"]), "an address with a password"


def test_the_commands_of_the_backup_page_save_and_restore(operated: Operated, tmp_path: Path) -> None:
    page = [each.text for each in blocks(ROOT / "docs" / "how-to" / "backup.md")]
    save, restore = page[-2:]
    assert "pg_dump" in save
    assert "pg_restore" in restore
    (tmp_path / ".celeriac").symlink_to(operated.stack.home)
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    store, client = operated.client.store, operated.client
    before = [(each.name, each.state, each.counts) for each in store.studies()]

    def shell(text: str) -> None:
        done = subprocess.run(
            ["bash", "-euc", text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    shell(save)
    client.study("plain").delete()
    client.study("wrong").delete()
    assert len(store.studies()) == len(before) - 2
    there = save.rpartition(chr(10))[0]
    later = "CREATE FUNCTION worker.of_a_later_version() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    shell(f"""{there}\n"$bin/psql" -q -d "$url" -c "{later}\"""")  # a dump is older than what it comes back to
    shell(f"{there}\n{restore}")
    assert [(each.name, each.state, each.counts) for each in store.studies()] == before
    again = client.submit(operated.study(study="after"))
    again.wait(PATIENCE_S)
    assert again.state is StudyState.DONE
