"""What must hold of the running project: who may reach what, and what its programs may do."""

import base64
import json
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks.compose_test.project import ALWAYS, OURS, STUDY, Project, demand


def check_containers(project: Project) -> None:
    """Ports on loopback only; no program as root; no password in an argument list; restarts and init as written."""
    passwords = [value for name, value in project.dotenv.items() if name.endswith("PASSWORD")]
    demand(len(passwords) == 8, f"init wrote eight passwords, not {len(passwords)}")
    for service in ALWAYS:
        found = project.inspected(service)
        ports = [each for bound in (found["NetworkSettings"]["Ports"] or {}).values() for each in bound or []]
        beyond = [each for each in ports if each["HostIp"] not in ("127.0.0.1", "::1")]
        demand(not beyond, f"{service} publishes nothing beyond loopback: {beyond}")
        demand(found["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped", f"{service} restarts")
        demand(bool(found["HostConfig"]["Init"]), f"{service} has an init")
        if service in OURS:
            demand(found["HostConfig"]["ReadonlyRootfs"], f"{service} has a read-only root")
        rows = project.docker("top", project.container(service), "-eo", "pid,uid,args").splitlines()[1:]
        programs = [row.split(maxsplit=2)[1:] for row in rows if "docker-init" not in row]
        roots = [args for uid, args in programs if uid == "0"]
        demand(not roots, f"{service} runs nothing as root: {roots}")
        demand(
            not any(word in row for row in rows for word in passwords), f"{service} shows no password in its arguments"
        )


def check_flower(project: Project) -> None:
    """Every published path wants the login; the two open ones answer inside the container alone; it only shows."""
    base = f"http://127.0.0.1:{project.dotenv['FLOWER_PORT']}"
    login = f"{project.dotenv['FLOWER_USER']}:{project.dotenv['FLOWER_PASSWORD']}"
    paths = (
        "/",
        "/tasks",
        "/workers",
        "/api/workers",
        "/api/tasks",
        "/static/css/flower.css",
        "/login",
        "/nowhere",
        "/metrics",
        "/healthcheck",
    )
    for path in paths:
        demand(http(base + path) == 401, f"Flower answers 401 to {path} without the login, not {http(base + path)}")
        demand(http(base + path, "celeriac:wrong") == 401, f"Flower answers 401 to {path} with a wrong password")
    for path in ("/", "/tasks", "/api/workers"):
        demand(
            http(base + path, login) == 200,
            f"Flower answers 200 to {path} with the login, not {http(base + path, login)}",
        )
    revoked = http(f"{base}/api/task/revoke/any", login, method="POST")
    demand(revoked in (403, 405), f"Flower is read-only: a revoke answers {revoked}")
    inside = (
        "import urllib.request as u; [u.urlopen('http://127.0.0.1:5555' + p) for p in ('/healthcheck', '/metrics')]"
    )
    project.docker("exec", project.container("flower"), "python", "-c", inside)


def check_web(project: Project) -> None:
    """The board and the API want a token; one that may read reads and does no more, and one taken back does neither."""
    base = f"http://127.0.0.1:{project.dotenv['WEB_PORT']}"
    paths = ("/", "/studies", "/fleet", "/metrics", "/api/v1/studies", "/api/v1/openapi.json", "/nowhere")
    for path in paths:
        demand(http(base + path) == 401, f"the web answers 401 to {path} without a token, not {http(base + path)}")
    token = project.ran("token", "create", "composed", "--scope", "read").split()[0]
    for path in paths[:-1]:
        found = http(base + path, token=token)
        demand(found == 200, f"the web answers 200 to {path} with a token, not {found}")
    written = http(f"{base}/api/v1/fleet/drain", token=token, method="POST", body={"host": "compose-test"})
    demand(written == 403, f"a token that may read drains no host: {written}")
    project.ran("token", "revoke", "composed")
    demand(http(f"{base}/api/v1/studies", token=token) == 401, "a token that was taken back lets nobody in")


def http(url: str, login: str = "", method: str = "GET", *, token: str = "", body: dict[str, str] | None = None) -> int:
    """The status that a request gets; `body` is sent as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {}, method=method)
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def check_redis(project: Project) -> None:
    """Nothing without the password; with it, nothing that tickets never need."""
    redis = project.container("redis")
    bare = project.docker("exec", "-e", "REDISCLI_AUTH=", redis, "redis-cli", "ping")
    demand("NOAUTH" in bare, f"Redis refuses who has no password: {bare}")
    for command in (
        *("flushall", "config get requirepass", "keys *", "shutdown", "acl list", "monitor", "client kill type normal"),
        *("eval return(1) 0", "script flush", "function flush", "fcall any 0"),
    ):
        said = project.docker("exec", redis, "redis-cli", "--user", "command", *command.split())
        demand("NOPERM" in said, f"Redis refuses `{command}`: {said}")
    info = project.docker("exec", redis, "redis-cli", "--user", "command", "info")
    demand(
        "aof_enabled:1" in info and "maxmemory_policy:noeviction" in info,
        "Redis appends to its file and evicts nothing",
    )


_TRY = """
import json, sys, psycopg
from celeriac.runtime.settings import Settings
url = Settings.from_env().database_url.replace("+psycopg", "")
said = {}
for statement in json.load(sys.stdin):
    with psycopg.connect(url) as connection:
        try:
            connection.execute(statement)
            said[statement] = "done"
        except psycopg.errors.InsufficientPrivilege:
            said[statement] = "refused"
        connection.rollback()
try:
    psycopg.connect(url, password="wrong").close()
    said["a wrong password"] = "done"
except psycopg.OperationalError:
    said["a wrong password"] = "refused"
print(json.dumps(said))
"""
_NOBODY_MAY = (
    "DROP TABLE trial",
    "CREATE TABLE mine (x int)",
    "CREATE ROLE mine",
    "COPY study TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
)
_NO_WORKER_MAY = (
    "SELECT count(*) FROM study",
    "SELECT token FROM attempt",
    "SELECT lo_create(0)",
    "SELECT pg_advisory_lock(1)",
    "LOCK TABLE report IN ACCESS SHARE MODE",
    "UPDATE trial SET score = 1",
    "DELETE FROM device",
    "DELETE FROM study",
    "INSERT INTO study (name, spec, goal) VALUES ('mine', '{}', 'maximize')",
    "DELETE FROM trial",
    "TRUNCATE champion",
    "DELETE FROM champion",
    "DELETE FROM schedule",
    "UPDATE schedule SET cron = '* * * * *'",
)


def check_postgres(project: Project) -> None:
    """Each role may do its work and no more; the worker's least."""
    for service, own, forbidden in (
        ("coordinator", "SELECT count(*) FROM study", _NOBODY_MAY),
        (
            "worker-cpu",
            "SELECT * FROM worker.own_attempts(p_worker => 'nobody', p_key => 'none')",
            (*_NOBODY_MAY, *_NO_WORKER_MAY),
        ),
    ):
        asked = json.dumps([own, *forbidden])
        said = json.loads(project.docker("exec", "-i", project.container(service), "python", "-c", _TRY, text=asked))
        demand(said.pop(own) == "done", f"the {service}'s role may do its work: {own}")
        allowed = [statement for statement, answer in said.items() if answer != "refused"]
        demand(not allowed, f"the {service}'s role is refused: {allowed}")
    logged_in = {
        address: user
        for user, address in project.sql(
            "SELECT DISTINCT usename, host(client_addr) FROM pg_stat_activity WHERE client_addr IS NOT NULL"
        )
    }
    logins = {"coordinator": "celeriac_coordinator", "clock": "celeriac_coordinator", "worker-cpu": "celeriac_worker"}
    at_work = {service: logged_in.get(project.address(service)) for service in logins}
    demand(at_work == logins, f"each program works with its own login: {at_work}")


def explain(project: Project) -> None:
    """The service's image can draw a study and say what mattered in it."""
    drawn = project.asked("plot", STUDY, "--out", "/tmp/plots")
    kinds = {Path(each).stem for each in drawn["files"] if each.endswith(".png")}
    demand({"history", "importance"} <= kinds, f"pictures are drawn: {sorted(kinds)}")
    shares = {each["name"]: each["share"] for each in project.asked("importance", STUDY)["parameters"]}
    demand(bool(shares), "the parameters' importances are told")
    print(f"    drawn: {', '.join(sorted(kinds))}; mattered most: {max(shares, key=lambda name: shares[name])}")


def check_prune(project: Project) -> None:
    """The command beside the service deletes the files, too: of the workers' logs none is left."""

    def left() -> list[str]:
        return project.docker("exec", project.container("worker-cpu"), "find", "/logs", "-name", "*.log").split()

    before = left()
    demand(bool(before), "trials left log files")
    project.ran("prune", "--older-than", "1s", "--logs")
    demand(not left(), f"`celeriac prune` deletes their log files: {len(left())} of {len(before)} are left")
    print(f"    {len(before)} log files deleted")
