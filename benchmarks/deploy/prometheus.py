"""A real Prometheus, as `deploy/prometheus` sets it up, beside a stack that trains: it takes the rules, reaches every
program, and each query of the alerts and of the dashboard is one that it understands.

Needs the programs `prometheus` and `promtool`.
"""

import json
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.deploy.awaiting import until
from benchmarks.deploy.steady import steady
from benchmarks.embedded import Embedded, embedded
from celeriac.client import Client
from celeriac.domain.records import Scope, StudyState
from celeriac.runtime.metrics.serve import OFFSETS
from celeriac.store.tokens import make_token
from tests.servers import free_ports

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus"
TRIALS, EVERY_S, PATIENCE_S = 8, 1, 120.0
#: What holds of a stack that stands still: the alert speaks after its time, and no other does.
SILENT = """\
rule_files: [alerts.yml]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {series: 'celeriac_duty_age_seconds{duty="drive", instance="a"}', values: "0+15x40"}
      - {series: 'celeriac_leases_lost_total{instance="a"}', values: "0 0 4x38"}
      - {series: 'celeriac_node_worker_deaths_total{instance="a"}', values: "0x40"}
    alert_rule_test:
      - {eval_time: 1m, alertname: CeleriacCoordinatorSilent, exp_alerts: []}
      - eval_time: 5m
        alertname: CeleriacCoordinatorSilent
        exp_alerts:
          - exp_labels: {severity: critical, duty: drive}
            exp_annotations:
              summary: "The coordinator has not come to drive for 5m 0s"
              action: "celeriac doctor says which program is missing; trials that run go on."
      - {eval_time: 5m, alertname: CeleriacWorkersDie, exp_alerts: []}
    promql_expr_test:
      - expr: increase(celeriac_leases_lost_total[15m]) > bool 3
        eval_time: 5m
        exp_samples: [{labels: '{instance="a"}', value: 1}]
"""


def missing() -> str:
    """What this machine lacks; "" when nothing."""
    lacks = [name for name in ("prometheus", "promtool") if not shutil.which(name)]
    return f"not here: {' and '.join(lacks)}" if lacks else ""


def prove() -> str:
    """What held, in a line. Raises AssertionError."""
    ports = free_ports(len(OFFSETS))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        shutil.copy(SHIPPED / "alerts.yml", root)
        (root / "silent.yml").write_text(SILENT)
        _told("promtool", "check", "rules", str(root / "alerts.yml"))
        _told("promtool", "test", "rules", str(root / "silent.yml"))
        given = {"CELERIAC_METRICS_PORT": str(ports[0]), "CELERIAC_WEB_PORT": str(free_ports(1)[0])}
        with embedded(slots=1, environment=given) as stack, stack.client() as client:
            targets = _configured(root, stack, client, ports)
            _told("promtool", "check", "config", str(root / "prometheus.yml"))
            with _prometheus(root) as address:
                _train(client)
                until(lambda: _up(address) == targets, PATIENCE_S, f"all of {targets} are up: {_up(address)}")
                scored = 'max(celeriac_trials{state="SCORED"})'
                until(lambda: _values(address, scored) == [TRIALS], PATIENCE_S, "it knows of all trials")
                queries = _queries()
                answered = [query for query in queries if _values(address, query)]
                firing = _asked(address, "alerts")["alerts"]
    assert not firing, firing
    assert len(answered) > len(queries) // 2, answered
    return f"{len(targets)} targets up, {len(queries)} queries understood and {len(answered)} with data, no alert"


def _told(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _configured(root: Path, stack: Embedded, client: Client, ports: list[int]) -> set[str]:
    """The shipped file with this stack's addresses and a token; the addresses."""
    board = json.loads(stack.settings.stack_file.read_text())["web_url"].removeprefix("http://")
    (root / "token").write_text(make_token(client.web_store(), "prometheus", (Scope.READ,)))
    yaml = YAML()
    shipped = yaml.load((SHIPPED / "prometheus.yml").read_text())
    places = {
        "celeriac-coordinator": [f"127.0.0.1:{port}" for port in ports[:2]],
        "celeriac-nodes": [f"127.0.0.1:{ports[2]}"],
        "celeriac-web": [board],
    }
    assert {each["job_name"] for each in shipped["scrape_configs"]} == set(places)
    for each in shipped["scrape_configs"]:
        each["static_configs"] = [{"targets": places[each["job_name"]]}]
        if "authorization" in each:
            each["authorization"]["credentials_file"] = str(root / "token")
    shipped["global"] = {"scrape_interval": f"{EVERY_S}s", "evaluation_interval": f"{EVERY_S}s"}
    yaml.dump(shipped, root / "prometheus.yml")
    return {target for targets in places.values() for target in targets}


@contextmanager
def _prometheus(root: Path) -> Iterator[str]:
    [port] = free_ports(1)
    words = [f"--config.file={root / 'prometheus.yml'}", f"--storage.tsdb.path={root / 'data'}"]
    with (root / "prometheus.log").open("wb") as log:
        command = ["prometheus", *words, f"--web.listen-address=127.0.0.1:{port}"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _train(client: Client) -> None:
    study = client.submit(steady("measured", TRIALS))
    until(lambda: study.state is StudyState.DONE, PATIENCE_S, "all trials are finished")


def _asked(address: str, path: str, **query: str) -> Any:
    url = f"{address}/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = json.load(answer)
    assert found["status"] == "success", found
    return found["data"]


def _up(address: str) -> set[str]:
    """The targets that answered."""
    try:
        found = _asked(address, "targets")["activeTargets"]
    except OSError:
        return set()  # it has not begun yet
    return {each["labels"]["instance"] for each in found if each["health"] == "up"}


def _values(address: str, query: str) -> list[float]:
    return [float(each["value"][1]) for each in _asked(address, "query", query=query)["result"]]


def _queries() -> list[str]:
    """Of the dashboard and of the alerts."""
    rules = YAML(typ="safe").load((SHIPPED / "alerts.yml").read_text())["groups"]
    shown = re.findall(r'"expr": (".*"),?$', (SHIPPED / "dashboard.json").read_text(), re.MULTILINE)
    found = [*map(json.loads, shown), *(rule["expr"] for group in rules for rule in group["rules"])]
    assert len(found) > 25, found
    return found
