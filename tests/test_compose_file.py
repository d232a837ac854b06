"""The compose files and the Dockerfile as they stand: what every service must have, and what none may have.

`make compose-test` runs them; here is what can be read off them without an engine.
"""

import os
import re
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from celeriac.runtime.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
HUB, JOINING = ROOT / "docker-compose.yml", ROOT / "docker-compose.worker.yml"
ONE_SHOT = {"migrate", "cli"}
WORKERS = ("worker", "worker-cpu")


def services(path: Path) -> dict[str, dict[str, Any]]:
    """The services of a compose file, anchors resolved, variables as they stand."""
    loaded: dict[str, dict[str, dict[str, Any]]] = YAML(typ="safe").load(path.read_text())
    return loaded["services"]


ALL = [
    pytest.param(name, service, id=f"{path.stem}:{name}")
    for path in (HUB, JOINING)
    for name, service in services(path).items()
]


def seconds(text: str) -> float:
    """`60s` as a number."""
    assert text.endswith("s"), text
    return float(text[:-1])


def test_the_services_are_those_of_the_design() -> None:
    assert set(services(HUB)) == {
        *("postgres", "redis", "migrate", "coordinator", "clock", "beat", "flower", "web", "cli"),
        *WORKERS,
    }
    assert set(services(JOINING)) == set(WORKERS)


@pytest.mark.parametrize(("name", "service"), ALL)
def test_every_service_restarts_is_checked_and_reaps(name: str, service: dict[str, Any]) -> None:
    assert service["init"] is True
    assert service["logging"]["options"]["max-size"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    if name in ONE_SHOT:
        assert service["restart"] in ("on-failure:5", "no")
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]
        assert seconds(service["stop_grace_period"]) >= 30


@pytest.mark.parametrize(("name", "service"), ALL)
def test_ports_are_published_on_loopback_or_by_the_one_setting(name: str, service: dict[str, Any]) -> None:
    allowed = {
        "postgres": ["${CELERIAC_PUBLISH:-127.0.0.1}:${POSTGRES_PORT:-5432}:5432"],
        "redis": ["${CELERIAC_PUBLISH:-127.0.0.1}:${REDIS_PORT:-6379}:6379"],
        "flower": ["127.0.0.1:${FLOWER_PORT:-5555}:5555"],
        "web": ["127.0.0.1:${WEB_PORT:-8420}:8420"],
    }
    assert service.get("ports", []) == allowed.get(name, [])
    assert "network_mode" not in service
    assert "privileged" not in service


@pytest.mark.parametrize("path", [HUB, JOINING])
def test_no_secret_is_in_the_file_and_none_has_a_default(path: Path) -> None:
    text = path.read_text()
    named = re.findall(r"\$\{(\w*(?:PASSWORD|FLOWER_USER))([^}]*)\}", text)
    assert named
    assert all(rest.startswith(":?") for _, rest in named)
    for line in text.splitlines():
        if re.match(r"\s*(- )?\w*PASSWORD\w*:", line) or "REDISCLI_AUTH:" in line:
            assert re.search(r": \$\{\w+:\?", line), line


def test_init_writes_all_that_has_no_default(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "celeriac.cli", "init", "--directory", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    written = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines() if line[0] != "#")
    required = set(re.findall(r"\$\{(\w+):\?", HUB.read_text()))
    assert required
    assert all(written[each] for each in required)
    assert written["COMPOSE_PROFILES"] in ("gpu", "cpu")
    assert written["CELERIAC_PUBLISH"] == "127.0.0.1"


def test_each_program_gets_the_login_of_its_role_alone() -> None:
    for name, service in services(HUB).items():
        secrets = set(re.findall(r"\$\{(\w*PASSWORD)", str(service.get("environment", {}))))
        wanted = {
            "postgres": {"POSTGRES_PASSWORD"},
            "redis": {f"REDIS_{each}_PASSWORD" for each in ("COMMAND", "COORDINATOR", "FLOWER", "WORKER")},
            "migrate": {"POSTGRES_PASSWORD", "CELERIAC_COORDINATOR_PASSWORD", "CELERIAC_WORKER_PASSWORD"},
            "beat": {"REDIS_COORDINATOR_PASSWORD"},
            "flower": {"REDIS_FLOWER_PASSWORD", "FLOWER_PASSWORD"},
            "worker": {"CELERIAC_WORKER_PASSWORD", "REDIS_WORKER_PASSWORD"},
            "worker-cpu": {"CELERIAC_WORKER_PASSWORD", "REDIS_WORKER_PASSWORD"},
            "cli": {"CELERIAC_COORDINATOR_PASSWORD", "REDIS_COMMAND_PASSWORD"},
            "web": {"CELERIAC_COORDINATOR_PASSWORD", "REDIS_COMMAND_PASSWORD", "FLOWER_PASSWORD"},
        }.get(name, {"CELERIAC_COORDINATOR_PASSWORD", "REDIS_COORDINATOR_PASSWORD"})
        assert secrets == wanted, name


def test_passwords_stand_in_no_address() -> None:
    """An address built from strings breaks at a password with a slash, an at sign or a per cent sign."""
    for path in (HUB, JOINING):
        addresses = re.findall(r"_URL: (.*)", path.read_text())
        assert len(addresses) > 1
        assert not any("PASSWORD" in each for each in addresses)


def test_passwords_stay_out_of_command_lines() -> None:
    for name, service in services(HUB).items():
        words = str([service.get("command"), service.get("entrypoint"), service.get("healthcheck")])
        assert not re.search(r"(?<!\$)\$\{?\w*(PASSWORD|AUTH)", words), name


def test_redis_appends_evicts_nothing_and_allows_little() -> None:
    script = services(HUB)["redis"]["command"][-1]
    for option in ("--appendonly yes", "--maxmemory-policy noeviction", "--aclfile", "user default off"):
        assert option in script


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_can_write_its_checkpoint_before_it_is_killed(name: str) -> None:
    for path in (HUB, JOINING):
        worker = services(path)[name]
        grace = float(worker["environment"]["CELERIAC_CHECKPOINT_GRACE_S"])
        assert seconds(worker["stop_grace_period"]) >= grace + Settings().kill_grace_s + 10
        assert worker["shm_size"]
        assert "${CELERIAC_CODE:-./examples}:/code:ro" in worker["volumes"]


def test_one_worker_has_all_gpus_and_the_other_none() -> None:
    for path in (HUB, JOINING):
        (devices,) = services(path)["worker"]["deploy"]["resources"]["reservations"]["devices"]
        assert devices == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
        assert "deploy" not in services(path)["worker-cpu"]
        assert services(path)["worker"]["environment"]["CELERIAC_SLOTS"] == "0", "a number would leave the GPUs out"


def test_what_a_page_says_of_gpus_can_be_set_in_the_file() -> None:
    for path in (HUB, JOINING):
        for name in ("SLOTS_PER_GPU", "LABELS", "ADDRESS"):
            assert services(path)["worker"]["environment"][PREFIX + name] == f"${{{PREFIX}{name}:-}}"


@pytest.mark.parametrize("name", WORKERS)
def test_a_joining_host_runs_the_same_worker_with_another_address(name: str) -> None:
    hub, joining = services(HUB)[name], services(JOINING)[name]
    for here in (hub, joining):
        here.pop("depends_on", None)
        here.pop("profiles", None)
    ours, theirs = hub.pop("environment"), joining.pop("environment")
    assert hub == joining
    addresses = {"CELERIAC_DATABASE_URL", "CELERIAC_BROKER_URL"}
    advice = re.compile(r":\?[^}]*")  # where to find a password differs, its name does not
    assert {k: advice.sub("", v) for k, v in ours.items() if k not in addresses} == {
        k: advice.sub("", v) for k, v in theirs.items() if k not in addresses
    }
    assert all("${CELERIAC_HUB:?" in theirs[each] for each in addresses)


@pytest.mark.parametrize(("name", "service"), ALL)
def test_every_setting_that_is_given_exists(name: str, service: dict[str, Any]) -> None:
    known = {PREFIX + each.name.upper() for each in fields(Settings)}
    given = {each for each in service.get("environment", {}) if each.startswith(PREFIX)}
    assert given <= known


@pytest.mark.parametrize(("name", "service"), ALL)
def test_volumes_are_named_or_a_setting(name: str, service: dict[str, Any]) -> None:
    declared = set(YAML(typ="safe").load(HUB.read_text())["volumes"])
    for each in service.get("volumes", []):
        assert each.startswith("${CELERIAC_") or each.split(":")[0] in declared


def test_the_files_use_nothing_that_compose_1_29_does_not_know() -> None:
    for path in (HUB, JOINING):
        top = {key for key in YAML(typ="safe").load(path.read_text()) if not key.startswith("x-")}
        assert top == {"services", "volumes"}


def test_the_images_are_of_official_bases_and_not_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = re.split(r"(?m)^FROM ", text)[1:]
    bases = [stage.split()[0] for stage in stages]
    assert bases == ["python:3.11-slim", "base", "base"]
    for stage in stages[1:]:
        *_, user = re.findall(r"(?m)^USER (\w+)", stage)
        assert user == "celeriac"
    assert not re.search(r"RUN --mount|COPY --link|<<", text)  # the classic builder knows none of them
    assert {each["image"].split(":")[0] for each in services(HUB).values()} == {
        *("postgres", "redis", "celeriac-service", "celeriac-worker")
    }


def test_only_sources_go_to_the_engine() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    named = {line[1:] for line in lines if line.startswith("!")}
    assert named == {
        *("pyproject.toml", "setup.py", "constraints.txt", "README.md"),
        *("celeriac", "coordinator", "hydra_plugins", "worker", "migrations"),  # what setup.py puts into the wheel
    }


def test_the_fleet_page_names_every_variable_of_the_files() -> None:
    used = {name for path in (HUB, JOINING) for name in re.findall(r"(?<!\$)\$\{(\w+)[:}]", path.read_text())}
    page = (ROOT / "docs" / "how-to" / "fleet.md").read_text()
    assert {name for name in used if f"`{name}`" not in page} == set()


def test_postgres_can_be_told_to_stop() -> None:
    """Its init stays root while Postgres does not: without KILL no signal passes, and each stop is a crash."""
    assert "KILL" in services(HUB)["postgres"]["cap_add"]


def test_no_variable_stands_where_compose_1_29_wants_a_number() -> None:
    for path in (HUB, JOINING):
        for name in WORKERS:
            assert isinstance(services(path)[name]["pids_limit"], int)


def test_nothing_that_a_trial_writes_can_become_part_of_our_programs() -> None:
    for path in (HUB, JOINING):
        for name in WORKERS:
            worker = services(path)[name]
            assert worker["read_only"] is True
            assert {each.rpartition(":")[2] for each in worker["volumes"][1:]} == {
                *("/checkpoints", "/logs", "/home/celeriac", "/scratch")
            }
            assert worker["mem_limit"] == "${CELERIAC_MEMORY:-0}"
    last = (ROOT / "Dockerfile").read_text().rpartition("FROM base AS worker")[2]
    assert "WORKDIR /\n" in last
    assert "TMPDIR=/scratch" in last
    assert '"-P"' in last


def test_the_command_sees_the_logs_that_it_prunes() -> None:
    cli = services(HUB)["cli"]
    assert {"logs:/logs", "${CELERIAC_CHECKPOINTS:-checkpoints}:/checkpoints"} <= set(cli["volumes"])
    assert cli["environment"]["CELERIAC_LOG_ROOT"] == "/logs"


def checked(script: str, place: Path) -> tuple[int, str]:
    """A health check's exit status and output, its files in `place`; instead of ending the program it says so."""
    here = script.replace("/tmp/", f"{place}/").replace("kill -s KILL -- -1", "echo ended")
    here = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", here)
    done = subprocess.run(["sh", "-c", here], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "sign", "after_s"),
    [("coordinator", "alive", 180), ("clock", "alive", 180), ("beat", "alive", 180)]
    + [(name, "alive.loop", 600) for name in WORKERS],
)
def test_a_program_without_work_for_long_is_ended(name: str, sign: str, after_s: float, tmp_path: Path) -> None:
    script = services(HUB)[name]["healthcheck"]["test"][1]
    now = time.time()

    def touch(file: str, ago_s: float) -> None:
        (tmp_path / file).touch()
        os.utime(tmp_path / file, (now - ago_s, now - ago_s))

    assert checked(script, tmp_path) == (1, "")  # it has never worked: its time begins with the first look
    touch("ill", after_s + 20)
    assert checked(script, tmp_path) == (1, "ended")
    touch("alive", 5)
    assert checked(script, tmp_path) == (0, "")
    touch("alive", 60)
    touch(sign, after_s - 20)
    assert checked(script, tmp_path) == (1, "")
    touch(sign, after_s + 20)
    assert checked(script, tmp_path) == (1, "ended")


def test_a_worker_whose_loop_turns_is_not_ended_however_long_postgres_is_away(tmp_path: Path) -> None:
    now = time.time()
    for file, ago_s in (("alive", 9_000), ("ill", 9_000), ("alive.loop", 5)):
        (tmp_path / file).touch()
        os.utime(tmp_path / file, (now - ago_s, now - ago_s))
    assert checked(services(HUB)["worker"]["healthcheck"]["test"][1], tmp_path) == (1, "")


def test_the_joining_hosts_env_has_all_that_its_commands_need() -> None:
    """Every command on the file, `stop` too, reads all of it: what has no default must stand in .env."""
    required = set(re.findall(r"\$\{(\w+):\?", JOINING.read_text()))
    page = (ROOT / "docs" / "how-to" / "fleet.md").read_text()
    copied = re.findall(r"grep -E '\^\((.*)\)='", page)
    written = {*copied[0].split("|"), *re.findall(r'echo "(\w+)=.*" >> \.env', page)}
    assert required <= written
