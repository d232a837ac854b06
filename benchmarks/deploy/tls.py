"""The whole service by TLS: a real Postgres and a real Redis that take no connection without it, with passwords and
certificates made here; every program checks whom it speaks to, and the board has a certificate of its own.

Needs a Postgres and a Redis that were built with TLS, as those of Debian's packages are.
"""

import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from benchmarks.deploy.awaiting import until
from benchmarks.deploy.steady import CODE, steady
from celeriac.client import Client
from celeriac.domain.records import StudyState
from celeriac.local.postgres import Postgres
from celeriac.runtime.settings import Settings
from tests.servers import free_port
from tests.tls import Authority

TRIALS, PATIENCE_S = 4, 120.0
HBA = "local all all trust\nhostssl all all all scram-sha-256\n"
PROGRAMS = (
    ("coordinator", "drive"),
    ("coordinator", "clock"),
    ("coordinator", "beat"),
    ("worker", "--slots", "1"),
    ("celeriac.web",),
)


def missing() -> str:
    """What this machine lacks; "" when nothing."""
    lacks = [name for name, found in (("Postgres", _postgres_with_tls()), ("Redis", _redis_with_tls())) if not found]
    return f"no {' and no '.join(lacks)} that was built with TLS is here" if lacks else ""


def _postgres_with_tls() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((each for each in found if _names(each / "postgres", "libssl")), None)


def _redis_with_tls() -> str | None:
    found = filter(None, (shutil.which(name) for name in ("valkey-server", "redis-server")))
    return next((each for each in found if _names(Path(each), "libssl")), None)


def _names(program: Path, library: str) -> bool:
    told = subprocess.run(["ldd", program.resolve()], capture_output=True, text=True, check=False)
    return library in told.stdout


def prove() -> str:
    """What held, in a line. Raises AssertionError."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="celeriac-tls-")))
        address, password = f"127.{secrets.randbelow(200) + 20}.7.9", secrets.token_hex(12)
        authority, another = Authority(root / "ca"), Authority(root / "another")
        certificate = authority.issue(address)
        web = free_port()
        stack.enter_context(_postgres(root, address, certificate, password))
        broker = stack.enter_context(_redis(root, address, certificate, password))
        environment = {
            "CELERIAC_HOME": str(root / "home"),
            "CELERIAC_DATABASE_URL": _database(address, authority.ca),
            "CELERIAC_DATABASE_PASSWORD": password,
            "CELERIAC_BROKER_URL": f"{broker}?ssl_ca_certs={authority.ca}",
            "CELERIAC_BROKER_PASSWORD": password,
            "CELERIAC_CODE_ROOT": str(CODE),
            "CELERIAC_WEB_CERT": str(certificate),
            "CELERIAC_WEB_ADDRESS": address,
            "CELERIAC_WEB_PORT": str(web),
        }
        _done(_command("migrate", environment=environment))
        for words in PROGRAMS:
            stack.enter_context(_program(words, environment, root))
        client = stack.enter_context(Client(Settings.from_env(environment)))
        _train(client)
        encrypted = _encrypted(root, address, password)
        _board(f"https://{address}:{web}", authority.ca, another.ca)
        _refused({**environment, "CELERIAC_DATABASE_URL": _database(address, another.ca)}, "sslrootcert")
        _refused({**environment, "CELERIAC_BROKER_URL": f"{broker}?ssl_ca_certs={another.ca}"}, "ssl_ca_certs")
        _kept_to_themselves(root, password)
    return (
        f"{TRIALS} trials, {encrypted} connections to Postgres, all by TLS; a wrong authority is refused by its setting"
    )


def _database(address: str, ca: Path) -> str:
    return f"postgresql+psycopg://celeriac@{address}:5432/celeriac?sslmode=verify-full&sslrootcert={ca}"


@contextmanager
def _postgres(root: Path, address: str, certificate: Path, password: str) -> Iterator[None]:
    """It takes TLS alone from the network, and a password; its owner has the socket."""
    server = Postgres(root / "postgres", root / "run", durable=False)
    found = _postgres_with_tls()
    assert found is not None
    server.bin_dir = found  # the embedded one has no TLS
    server.init()
    (server.data_dir / "pg_hba.conf").write_text(HBA)
    theirs = server.data_dir / "server.pem"
    shutil.copyfile(certificate, theirs)
    theirs.chmod(0o600)
    options = {"listen_addresses": address, "ssl": "on", "ssl_cert_file": theirs, "ssl_key_file": theirs}
    server.child.argv = [
        *server.child.argv,
        *(word for each in options.items() for word in ("-c", "=".join(map(str, each)))),
    ]
    os.close(server.child.start())
    try:
        server.child.wait_ready()
        with psycopg.connect(server.dsn.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(f"ALTER ROLE celeriac PASSWORD '{password}'".encode())
        yield
    finally:
        server.child.stop(20.0)


@contextmanager
def _redis(root: Path, address: str, certificate: Path, password: str) -> Iterator[str]:
    """It has a port for TLS and no other; its address without the password."""
    port, config = free_port(), root / "redis.conf"
    config.write_text(
        f"bind {address}\nport 0\ntls-port {port}\ntls-auth-clients no\nrequirepass {password}\nsave ''\n"
        f"tls-cert-file {certificate}\ntls-key-file {certificate}\ntls-ca-cert-file {certificate}\n"
    )
    server = subprocess.Popen([str(_redis_with_tls()), str(config)], stdout=subprocess.DEVNULL)
    try:
        yield f"rediss://{address}:{port}/0"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def _program(words: tuple[str, ...], environment: Mapping[str, str], root: Path) -> Iterator[None]:
    with (root / f"{'-'.join(words)}.log").open("wb") as log:
        command = [sys.executable, "-P", "-m", *words]
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _command(*words: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "celeriac.cli", *words]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def _done(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 0, done.stdout + done.stderr


def _train(client: Client) -> None:
    until(lambda: bool(client.store.devices(alive=True)), PATIENCE_S, "the node is up")
    study = client.submit(steady("by-tls", TRIALS))
    until(lambda: study.state is StudyState.DONE, PATIENCE_S, "all trials are finished")
    assert study.record.counts.scored == TRIALS, study.record.counts


def _encrypted(root: Path, address: str, password: str) -> int:
    """How many connections of ours Postgres has; none is without TLS."""
    where = f"host={address} dbname=celeriac user=celeriac password={password} sslmode=require"
    with psycopg.connect(where) as connection:
        found = connection.execute(
            "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'celeriac%'"
        ).fetchall()
    assert len(found) > 3, found
    assert all(is_encrypted for (is_encrypted,) in found), found
    return len(found)


def _board(address: str, ca: Path, another: Path) -> None:
    def ask(authority: Path) -> int:
        trusted = ssl.create_default_context(cafile=authority)
        with urllib.request.urlopen(f"{address}/healthz", context=trusted, timeout=5) as answer:
            return int(answer.status)

    def answers() -> bool:
        try:
            return ask(ca) == 200
        except ConnectionRefusedError:
            return False

    until(answers, PATIENCE_S, "the board answers")
    assert "CERTIFICATE_VERIFY_FAILED" in _failure_of(lambda: ask(another)), "another authority proved the board"


def _failure_of(asked: Callable[[], object]) -> str:
    try:
        return f"no failure: {asked()}"
    except OSError as error:
        return str(error)


def _kept_to_themselves(root: Path, password: str) -> None:
    """No program's log and no command line of this machine's has the password."""
    logs = [*root.glob("*.log"), *(root / "home").rglob("*.log")]
    assert len(logs) >= len(PROGRAMS), logs
    assert not [path for path in logs if password in path.read_text(errors="replace")]
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "coordinator drive" in lines
    assert password not in lines


def _refused(environment: Mapping[str, str], setting: str) -> None:
    """`doctor` says what to look at, without the password."""
    done = _command("doctor", environment=environment)
    told = done.stdout + done.stderr
    assert done.returncode != 0, told
    assert "does not prove who it is" in told, told
    assert setting in told, told
    assert environment["CELERIAC_DATABASE_PASSWORD"] not in told
