"""The embedded Postgres for real: made once and whole, gone with its starter, back with its rows after any kill."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from celeriac.domain.errors import StackError
from celeriac.local.identity import CAP_DAC_READ_SEARCH, SystemUser, _named, hand_over, why_not
from celeriac.local.postgres import Postgres
from celeriac.local.server import leave_runtime_dir, make_runtime_dir, runtime_dir

pytestmark = pytest.mark.stack

STARTER = """
import sys
from pathlib import Path
from celeriac.local.postgres import Postgres
postgres = Postgres(Path(sys.argv[1]), Path(sys.argv[2]), durable=False)
postgres.init()
postgres.child.start()
postgres.child.wait_ready()
print(postgres.child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def sockets() -> Iterator[Path]:
    """A short directory: pytest's own paths are too long for sockets."""
    directory = Path(tempfile.mkdtemp(prefix="cel-", dir="/tmp"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a long path, below a directory that only we may enter."""
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    return closed / ("a-long-name-" * 8) / ("and-a-longer-one-" * 8)


@pytest.fixture(scope="module")
def cluster(home: Path, sockets: Path) -> Postgres:
    postgres = Postgres(home / "postgres", sockets / "run", durable=False)
    left = home / ".postgres.new-killed"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    assert postgres.init() is True
    assert not left.exists(), "what a killed init left is cleared away"
    assert sorted(path.name for path in home.iterdir()) == ["postgres", "postgres.lock", "postgres.log"]
    assert postgres.init() is False, "the second time there is nothing to make"
    return postgres


@contextmanager
def running(postgres: Postgres) -> Iterator[Postgres]:
    postgres.init()
    os.close(postgres.child.start())
    try:
        postgres.child.wait_ready()
        yield postgres
    finally:
        postgres.child.stop(20.0)


def ask(postgres: Postgres, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(postgres.dsn.replace("+psycopg", ""), autocommit=True) as connection:
        answer = connection.execute(query.encode())
        return answer.fetchall() if answer.description else []


def test_an_existing_cluster_takes_more_connections_at_its_next_start(
    cluster: Postgres, home: Path, sockets: Path
) -> None:
    for most in (20, 171):
        again = Postgres(home / "postgres", sockets / "run", durable=False, max_connections=most)
        with running(again):
            assert ask(again, "SHOW max_connections") == [(str(most),)]


def test_it_starts_stops_and_starts_again_with_its_rows(cluster: Postgres) -> None:
    with running(cluster):
        ask(cluster, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
    assert cluster.child.poll() == 0, cluster.child.log_tail()
    with running(cluster):
        assert ask(cluster, "SELECT n FROM kept") == [(1,)]


def test_only_the_socket_listens_and_we_alone_may_enter(cluster: Postgres) -> None:
    with running(cluster):
        server = psutil.Process(cluster.child.pid)
        assert server.net_connections(kind="inet") == []
        assert ask(cluster, "SHOW listen_addresses") == [("",)]
        assert cluster.runtime_dir.stat().st_mode & 0o777 == 0o700
        assert cluster.data_dir.stat().st_mode & 0o077 == 0


def test_a_durable_server_syncs(cluster: Postgres) -> None:
    with running(Postgres(cluster.data_dir, cluster.runtime_dir)) as durable:
        assert ask(durable, "SHOW fsync") == [("on",)]
        assert ask(durable, "SHOW synchronous_commit") == [("on",)]


def test_rows_survive_kill_9_of_the_server(cluster: Postgres) -> None:
    with running(cluster):
        ask(cluster, "CREATE TABLE survivor (n int); INSERT INTO survivor VALUES (2)")
        assert cluster.child.pid is not None
        os.kill(cluster.child.pid, signal.SIGKILL)
        assert cluster.child.wait(5)
        os.close(cluster.child.start())  # at once, as a supervisor may, while its backends are still leaving
        cluster.child.wait_ready()
        assert ask(cluster, "SELECT n FROM survivor") == [(2,)]


def test_kill_9_of_the_starter_leaves_no_server_and_the_next_start_goes_on(cluster: Postgres) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, cluster.data_dir, cluster.runtime_dir],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with starter:
        assert starter.stdout is not None
        server = psutil.Process(int(starter.stdout.readline()))
        family = [server, *server.children(recursive=True)]
        starter.kill()
    with running(cluster):  # without waiting: it is the new server's business that the old one is still leaving
        assert ask(cluster, "SELECT 1") == [(1,)]
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_a_second_server_on_the_same_cluster_is_refused_by_name(cluster: Postgres) -> None:
    other = Postgres(cluster.data_dir, cluster.runtime_dir, durable=False)
    with running(cluster):
        other.init()
        with pytest.raises(StackError, match=rf"runs already in .* as pid {cluster.child.pid}"):
            other.child.start()
        assert ask(cluster, "SELECT 1") == [(1,)], "the first is none the worse"


def test_a_pid_file_of_a_dead_server_is_no_obstacle_even_when_the_pid_is_in_use(cluster: Postgres) -> None:
    stale = f"{os.getpid()}\n{cluster.data_dir}\n"
    (cluster.data_dir / "postmaster.pid").write_text(stale)
    (cluster.socket_dir / ".s.PGSQL.5432.lock").write_text(stale)
    with running(cluster):
        assert ask(cluster, "SELECT 1") == [(1,)]


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path: Path, sockets: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "thesis.tex").write_text("precious")
    with pytest.raises(StackError, match="neither empty nor a cluster"):
        Postgres(tmp_path / "postgres", sockets / "other").init()
    assert (tmp_path / "postgres" / "thesis.tex").read_text() == "precious"


def test_a_cluster_of_another_version_is_refused(tmp_path: Path, sockets: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("9\n")
    with pytest.raises(StackError, match="was made by PostgreSQL 9"):
        Postgres(tmp_path / "postgres", sockets / "old").init()


def test_a_server_that_dies_says_why(cluster: Postgres) -> None:
    cluster.init()
    cluster.child.argv = [*cluster.child.argv, "-c", "shared_buffers=nonsense"]
    os.close(cluster.child.start())
    with pytest.raises(StackError, match="shared_buffers"):
        cluster.child.wait_ready()
    cluster.child.stop(20.0)


def test_a_runtime_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StackError, match="is not a directory"):
        make_runtime_dir(tmp_path / "run")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory that is someone else's")
def test_a_runtime_directory_of_someone_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 12345, 12345)
    with pytest.raises(StackError, match="belongs to uid 12345"):
        make_runtime_dir(tmp_path / "run")


def test_a_runtime_directory_goes_with_its_stack_unless_something_is_left_in_it(tmp_path: Path) -> None:
    for name, left in (("empty", False), ("full", True)):
        directory = runtime_dir(tmp_path / name, base=tmp_path)
        (directory / "pg").mkdir()
        if left:
            (directory / "pg" / "socket").touch()
        leave_runtime_dir(directory)
        assert directory.exists() is left


def test_runtime_directories_are_short_private_and_one_a_home(tmp_path: Path) -> None:
    first = runtime_dir(tmp_path / "a", base=tmp_path)
    assert first != runtime_dir(tmp_path / "b", base=tmp_path)
    assert first == runtime_dir(tmp_path / "x" / ".." / "a", base=tmp_path)
    assert first.stat().st_mode & 0o777 == 0o700
    assert len(first.name) < 40


def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="at most 107"):
        Postgres(tmp_path / "postgres", tmp_path / ("x" * 100))


@pytest.mark.skipif(os.geteuid() != 0, reason="Postgres needs another identity only when root runs it")
def test_as_root_it_runs_as_somebody_else(cluster: Postgres) -> None:
    with running(cluster):
        assert cluster.identity is not None
        assert cluster.data_dir.stat().st_uid == cluster.identity.owner[0]


@pytest.mark.skipif(os.geteuid() != 0 or _named("postgres") is None, reason="needs root and a system user")
def test_a_system_user_serves_where_namespaces_are_forbidden(
    home: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a container's seccomp profile does cannot be done to ourselves for one test; so the first way is left out.
    account = _named("postgres")
    assert account is not None
    monkeypatch.setattr("celeriac.local.identity._namespaces", list)
    postgres = Postgres(home / "by-user", sockets / "by-user")
    with running(postgres):
        assert isinstance(postgres.identity, SystemUser)
        server = psutil.Process(postgres.child.pid)
        assert server.uids().real == postgres.identity.owner[0] != 0
        assert ask(postgres, "SELECT 1") == [(1,)]
    monkeypatch.undo()
    shutil.rmtree(postgres.socket_dir)
    with running(postgres):  # another identity than last time: the files change hands
        assert ask(postgres, "SELECT 1") == [(1,)]


@pytest.mark.skipif(os.geteuid() != 0 or _named("postgres") is None, reason="needs root and a system user")
def test_an_identity_that_cannot_enter_is_told_apart(tmp_path: Path, cluster: Postgres) -> None:
    account = _named("postgres")
    assert account is not None
    useless_capability = 5  # CAP_KILL opens no directory
    (tmp_path / "closed").mkdir(mode=0o700)
    refusal = why_not(SystemUser(account, useless_capability), Path("/bin/true"), [tmp_path / "closed"])
    assert refusal is not None
    assert "Permission denied" in refusal
    able = SystemUser(account, CAP_DAC_READ_SEARCH)
    assert why_not(able, Path("/bin/true"), [tmp_path / "closed"]) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_handing_over_follows_no_link(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text("stays ours")
    (theirs / "below").mkdir(parents=True)
    (theirs / "below" / "link").symlink_to(ours)
    hand_over(theirs, (12345, 12345))
    assert ours.stat().st_uid == 0
    assert {path.lstat().st_uid for path in (theirs, *theirs.rglob("*"))} == {12345}
