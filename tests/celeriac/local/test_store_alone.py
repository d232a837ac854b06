"""Results are read where no service runs: the store starts by itself, is shared, and ends after its last reader,
however that ended.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from celeriac.client import Client
from celeriac.domain.errors import StackError, StoreUnavailable
from celeriac.domain.records import NewStudy
from celeriac.domain.study_file import parse
from celeriac.local.home import Home
from celeriac.local.postgres import Postgres
from celeriac.local.server import runtime_dir
from celeriac.local.store_alone import lock_for_stack, make_way, store_alone
from celeriac.runtime.process.programs import tagged
from celeriac.runtime.settings import PREFIX, Settings
from celeriac.store import open_store
from celeriac.store.migrate import migrate
from tests.celeriac.cli.played import SPEC

pytestmark = pytest.mark.stack

# A signal that comes just before a blocking read() is acted on only after it, and a job in the background inherits
# SIGINT ignored: so the reader waits in short turns, and handles SIGINT whoever started it.
READER = """
import select, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from celeriac.client import Client
client = Client(home=Path(sys.argv[1]))
print([study.name for study in client.studies()], flush=True)
while not select.select([sys.stdin], [], [], 0.1)[0]:
    pass
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home in which a study is kept and nothing runs."""
    settings = Settings.from_env({}, home=tmp_path_factory.mktemp("a home"))
    Home(settings.home).make()
    postgres = Postgres(settings.home / "postgres", runtime_dir(settings.home), durable=False)
    postgres.init()
    postgres.child.start()
    postgres.child.wait_ready()
    migrate(postgres.dsn)
    store = open_store(postgres.dsn)
    store.create_study(NewStudy("kept", parse(SPEC, name="kept").to_dict(), "maximize"))
    store.close()
    postgres.child.stop(20.0)
    return settings


@pytest.fixture(autouse=True)
def nothing_left(settings: Settings) -> Iterator[None]:
    """After each test the store ends by itself, with all its processes, and takes its address along."""
    yield
    until = monotonic() + 60
    home = Home(settings.home)
    # The program that keeps Postgres is not marked itself: it lets the home go a moment after its last child has ended.
    while ((left := tagged(PREFIX + "STACK", home.tag)) or home.holder()) and monotonic() < until:
        psutil.wait_procs(left, timeout=1)
        sleep(0.05)
    assert left == []
    assert not settings.store_file.exists()
    assert home.holder() is None


def command(settings: Settings, *words: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "celeriac.cli", *words, "--home", str(settings.home)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def test_a_command_prints_the_result_and_nothing_else(settings: Settings) -> None:
    ran = command(settings, "status", "kept", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"name": "kept"' in ran.stdout
    again = command(settings, "stop", "kept")
    assert (again.returncode, "kept is STOPPED" in again.stdout) == (0, True)
    more = command(settings, "extend", "kept", "--trials", "5")
    assert (more.returncode, "No service runs here: `celeriac up --home " in more.stderr) == (0, True)


def test_what_must_be_run_needs_a_service(settings: Settings, tmp_path: Path) -> None:
    ran = command(settings, "watch", "kept")
    assert (ran.returncode, "no service is known: start one (`celeriac up`)" in ran.stderr) == (3, True)


def test_two_readers_share_one_store_and_it_stays_for_the_second(settings: Settings) -> None:
    clients: list[Client] = []
    threads = [threading.Thread(target=lambda: clients.append(Client(settings))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = clients
    assert not first.serves
    assert first.settings.database_url == second.settings.database_url
    first.close()
    sleep(4)  # longer than an idle store stays
    assert [study.name for study in second.studies()] == ["kept"]
    second.close()


def test_readers_that_are_killed_leave_nothing(settings: Settings) -> None:
    argv = [sys.executable, "-c", READER, str(settings.home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:
        readers = [stack.enter_context(subprocess.Popen(argv, **pipes)) for _ in range(2)]  # type: ignore[call-overload]
        for reader, how in zip(readers, (signal.SIGINT, signal.SIGKILL), strict=True):
            assert reader.stdout.readline() == b"['kept']\n"
            reader.send_signal(how)
            assert reader.wait(30) != 0


def test_a_stack_that_starts_has_it_end_once_the_readers_have_read(settings: Settings) -> None:
    client = Client(settings)
    thread = threading.Thread(target=make_way, args=(Home(settings.home),))
    thread.start()
    until = monotonic() + 10
    while settings.store_file.exists() and monotonic() < until:
        sleep(0.05)
    assert [study.name for study in client.studies()] == ["kept"]
    client.close()
    thread.join()
    assert Home(settings.home).holder() is None


def test_a_stack_starts_while_a_store_is_ending_that_has_taken_its_address_back(settings: Settings) -> None:
    Client(settings).close()
    until = monotonic() + 20
    while settings.store_file.exists() and monotonic() < until:
        sleep(0.002)
    lock = lock_for_stack(Home(settings.home))
    assert Home(settings.home).holder() == os.getpid()
    os.close(lock)


def test_a_stack_starts_while_a_store_has_not_said_its_address_yet(settings: Settings) -> None:
    thread = threading.Thread(target=lambda: Client(settings).close())
    thread.start()
    until = monotonic() + 20
    while Home(settings.home).holder("store") is None and monotonic() < until:
        sleep(0.002)
    lock = lock_for_stack(Home(settings.home))
    assert Home(settings.home).holder() == os.getpid()
    os.close(lock)
    thread.join()


def test_where_nothing_is_kept_nothing_is_started(tmp_path: Path) -> None:
    empty = Settings.from_env({}, home=tmp_path)
    with pytest.raises(StoreUnavailable, match="no service is known"):
        Client(empty)
    with pytest.raises(StackError, match="there is no store under"):
        store_alone(empty, lambda: None, lambda line: None)
    assert list(tmp_path.iterdir()) == []
