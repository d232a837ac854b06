"""How the Postgres store speaks: connections, transactions, one repeat after a dropped connection, and errors by what
to do next.

SQLAlchemy opens connections and pools them; every statement is run by psycopg (`fetch`): a third of the time. `rows`
runs one that may happen twice, in autocommit; it is repeated once after a dropped connection. `transaction` runs
several, or one that must not happen twice; they are repeated only if COMMIT was not sent yet.

Nothing here waits for ever: connecting, waiting for a row, running a statement and waiting for a silent server all
have limits.
"""

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep
from typing import Any, TypeVar, cast

import psycopg
from psycopg.rows import dict_row
from psycopg.waiting import Ready
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from celeriac.domain.errors import SchemaMismatch, SettingInvalid, StoreUnavailable, TryAgain, ValueRefused
from celeriac.store.pool import IdleClosingPool
from celeriac.store.sanitize import bound

T = TypeVar("T")
#: A row of a result, by the names of its columns.
Row = Mapping[str, Any]
#: A connection of psycopg's.
Session = psycopg.Connection[Any]

CONNECT_S = 5
STATEMENT_S = 15
LOCK_S = 10
SILENCE_S = 30.0  # longer than any statement may take, so only a hung server or a dead network reaches it
SESSION = {
    "timezone": "UTC",
    "statement_timeout": f"{STATEMENT_S}s",
    "lock_timeout": f"{LOCK_S}s",
    # A host that vanished from the network must not hold its locks: the server finds out within 15 s (by itself: two
    # hours).
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    # Nor one that stands still inside a transaction, whose network is well.
    "idle_in_transaction_session_timeout": "15s",
    # Every hot statement reaches its rows by a key, whatever the values: planning it anew for each value only costs
    # time.
    "plan_cache_mode": "force_generic_plan",
    # A plan is kept as it was made, perhaps when its tables held a few rows that were cheapest to read whole.
    "enable_seqscan": "off",
    "jit": "off",
    # What a role may set for itself must not decide how our programs' sessions run.
    "search_path": "public",
    "default_transaction_read_only": "off",
    "default_transaction_isolation": r"read\ committed",
}
#: In a URL: what answers there is PgBouncer, which lends a connection for one transaction.
POOLED = "pgbouncer"
DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]
_DEADLOCK = ("40P01", "40001")
# Before the repeat after a deadlock. The other writer has yet to wake up and take the row that was freed: a repeat that
# takes it first meets that writer again.
DEADLOCK_PAUSE_S = 0.3
_NO_TABLE = ("42P01", "42703", "3F000")
_NOT_ALLOWED = "42501"
_DISK_FULL = "53100"
_BAD_VALUE = "22"
# A connection that was refused has no SQLSTATE in libpq, only the server's words. It may be made good while we wait
# (`migrate` makes the roles), so it is retried like a silent server, but said for what it is.
_REFUSED = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "is not permitted to log in",
    "permission denied for database",
)
# Nor has one whose other end shows no certificate, or one that our authorities do not vouch for.
_NOT_PROVED = ("certificate", "does not support SSL")
# Said as words too: the table of connections, or the workers' share of it, is full.
_TOO_MANY = ("too many clients", "remaining connection slots are reserved", "too many connections for")
_UNAVAILABLE = ("08", "53", "57", "58", "25006", "25P03", "55P03")
_PARAMETER = re.compile(r"(?<!:):([a-z_]\w*)")


class SilentServer(psycopg.OperationalError):
    """The server took a statement and says nothing; the connection is closed."""


class Patient(psycopg.Connection[Any]):
    """A connection that gives up on a server which is stopped or cut off: no timeout of the server's own can notice
    that.
    """

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Run one exchange with the server; raises SilentServer after `SILENCE_S` without a word of it."""
        try:
            return super().wait(_heard_within(gen, SILENCE_S), *args, **kwargs)
        except SilentServer:
            self.close()
            raise


def _heard_within(gen: Generator[Any, Any, T], limit_s: float) -> Generator[Any, Any, T]:
    heard_at = monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready != Ready.NONE:
                heard_at = monotonic()
            elif monotonic() - heard_at > limit_s:
                raise SilentServer(f"no answer for {limit_s:.0f} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def parsed(url: str) -> URL:
    """The URL for SQLAlchemy with psycopg. Raises SettingInvalid when it is none of Postgres."""
    try:
        made = make_url(url)
    except ArgumentError:
        made = None
    if made is None or made.get_backend_name() not in ("postgresql", "postgres"):
        raise SettingInvalid(
            "CELERIAC_DATABASE_URL: must be like postgresql+psycopg://user:password@host/database "
            "(the value is not shown, it may hold a password)"
        )
    return made.set(drivername="postgresql+psycopg")


def open_engine(url: str, *, pool_size: int, session: Mapping[str, str] = SESSION) -> Engine:
    """An engine in autocommit, with limits on every wait; connects when first used.

    Behind PgBouncer (`?pgbouncer=true`) the next transaction runs on another connection: no statement is prepared, and
    PgBouncer says what this one would say of its session (`deploy/pgbouncer`).
    """
    where = parsed(url)
    pooled = {"options": "", "prepare_threshold": None} if where.query.get(POOLED) == "true" else {}
    where = where.difference_update_query([POOLED])
    engine = create_engine(
        where,
        poolclass=IdleClosingPool,
        pool_size=pool_size,
        pool_timeout=LOCK_S,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
        connect_args={
            "connect_timeout": CONNECT_S,
            "application_name": "celeriac",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "options": " ".join(f"-c {name}={value}" for name, value in session.items()),
            **pooled,
        },
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, args: list[Any], kwargs: dict[str, Any]) -> Patient:
        return Patient.connect(*args, **kwargs)

    return engine


class Database:
    """One pool of connections; every error that leaves it is one of `celeriac.domain.errors`, or a fault in this
    program.
    """

    def __init__(self, url: str, *, pool_size: int) -> None:
        self._engine = open_engine(url, pool_size=pool_size)
        self.name = place(self._engine.url)

    def close(self) -> None:
        """Close all connections; they come back when asked for again."""
        self._engine.dispose()

    def rows(self, statement: str, /, **values: Any) -> Sequence[Row]:
        """Run one statement that may happen twice; its rows."""

        def run(attempt: _Try) -> Sequence[Row]:
            with self._connection(attempt) as connection:
                return fetch(connection, statement, **values)

        return self._persist(run)

    def transaction(self, work: Callable[[Session], T]) -> T:
        """Run `work` in one transaction; done once, or not at all."""

        def run(attempt: _Try) -> T:
            with self._connection(attempt) as connection:
                connection.execute("BEGIN")
                try:
                    result = work(connection)
                    attempt.committing = True
                    connection.commit()
                except BaseException:
                    if not connection.closed:
                        connection.rollback()
                    raise
                return result

        return self._persist(run)

    def once(self, statement: str, /, **values: Any) -> Sequence[Row]:
        """Run one statement that must not happen twice; its rows."""
        return self.transaction(lambda connection: fetch(connection, statement, **values))

    @contextmanager
    def dedicated(self, first: str, **values: Any) -> Iterator[tuple[Session, Sequence[Row]]]:
        """A connection held for the block, and the rows of its first statement, which may happen twice."""

        def run(attempt: _Try) -> tuple[ExitStack, Session, Sequence[Row]]:
            with ExitStack() as opened:
                connection = opened.enter_context(self._connection(attempt))
                rows = fetch(connection, first, **values)
                return opened.pop_all(), connection, rows

        held, connection, rows = self._persist(run)
        with held:
            yield connection, rows

    @contextmanager
    def _connection(self, attempt: "_Try") -> Iterator[Session]:
        """A connection of the pool, in autocommit. When it breaks, those that rest are closed: they broke too."""
        attempt.broken = True  # until there is one
        pooled = self._engine.raw_connection()
        attempt.broken = False
        connection = cast(Session, pooled.driver_connection)
        try:
            yield connection
        finally:
            if connection.closed:
                attempt.broken = True
                pooled.invalidate()
                self._engine.pool.dispose()
            pooled.close()

    def _persist(self, run: "Callable[[_Try], T]") -> T:
        attempt = _Try()
        try:
            return run(attempt)
        except (psycopg.Error, SQLAlchemyError) as error:
            again = attempt.broken or _state(error) in _DEADLOCK
            if attempt.committing or isinstance(error, PoolTimeout) or not again:
                raise explained(error, self.name) from error
            if not attempt.broken:
                sleep(DEADLOCK_PAUSE_S)
        with translated(self.name):
            return run(_Try())


class _Try:
    """How far it came: whether COMMIT may have been sent, and whether the connection broke."""

    committing = broken = False


def fetch(connection: Session, statement: str, /, **values: Any) -> Sequence[Row]:
    """The rows of a statement, or none if it returns none: the one way in which a statement is run."""
    cursor = connection.cursor(row_factory=dict_row)
    cursor.execute(statement, {name: bound(value) for name, value in values.items()})
    return () if cursor.rownumber is None else cursor.fetchall()  # `description` would describe each column


def driver(connection: Connection) -> Session:
    """The connection below one of SQLAlchemy's."""
    return cast(Session, connection.connection.driver_connection)


@contextmanager
def brief_engine(url: str, *, session: Mapping[str, str] = SESSION) -> Iterator[Engine]:
    """An engine with one connection for the block; errors of the database become ours."""
    engine = open_engine(url, pool_size=1, session=session)
    try:
        with translated(place(engine.url)):
            yield engine
    finally:
        engine.dispose()


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Errors of the database in the block become ours."""
    try:
        yield
    except (psycopg.Error, SQLAlchemyError) as error:
        raise explained(error, where) from error


def explained(error: Exception, where: str) -> Exception:
    """Our error for one of the database's, or the error itself when it is a fault in this program."""
    if isinstance(error, PoolTimeout):
        return StoreUnavailable(
            f"all connections to {where} are busy for {LOCK_S} s: raise CELERIAC_POOL_SIZE, or wait and repeat"
        )
    original = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(original, psycopg.Error):
        return error
    return _by_state(_state(original), _first_line(original), where, original)


def _by_state(state: str, said: str, where: str, error: psycopg.Error) -> Exception:
    if state in _DEADLOCK:
        return TryAgain(f"two writers met in {where} ({said}); nothing was written, repeat the call")
    if state in _NO_TABLE:
        return SchemaMismatch(
            f"{where} has not the tables of this program ({said}); run `celeriac migrate`, then repeat"
        )
    if state == _NOT_ALLOWED:
        return SettingInvalid(
            f"CELERIAC_DATABASE_URL: its role may not do this in {where} ({said}); "
            "use the role that this program was given, or run `celeriac migrate` to grant it anew"
        )
    if state == _DISK_FULL:
        return StoreUnavailable(
            f"the disk of Postgres at {where} is full ({said}); nothing was written and nothing is lost: make space"
            " there, the call may be repeated"
        )
    if any(word in said for word in _TOO_MANY):
        return StoreUnavailable(
            f"Postgres at {where} has no connection left ({said}); nothing is lost, the call may be repeated: "
            "`celeriac doctor` says how many are needed, docs/how-to/fleet.md how to raise the limit"
        )
    if state.startswith(_BAD_VALUE) or isinstance(error, psycopg.DataError):
        return ValueRefused(f"{where} cannot hold a value that it was given ({said}); nothing was written")
    if not state and any(word in said for word in _NOT_PROVED):
        return StoreUnavailable(
            f"Postgres at {where} does not prove who it is ({said}); nothing was sent: see host, sslmode and "
            "sslrootcert in CELERIAC_DATABASE_URL, and the server's certificate"
        )
    if not state and any(word in said for word in _REFUSED):
        return StoreUnavailable(
            f"Postgres refuses the login at {where} ({said}); nothing was changed: see user, password and database in "
            "CELERIAC_DATABASE_URL (or CELERIAC_DATABASE_PASSWORD), and that `celeriac migrate` has made the roles"
        )
    silent = not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if state.startswith(_UNAVAILABLE) or silent:
        return StoreUnavailable(
            f"Postgres at {where} does not answer ({said}); nothing is lost: see that it runs and has disk space, "
            "the call may be repeated"
        )
    return error


def _state(error: Exception) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def place(url: URL) -> str:
    """Where the database is, without its password: host, or socket directory, and name."""
    host = url.host or url.query.get("host") or "the local socket"
    if not isinstance(host, str):
        host = ", ".join(host)
    port = f":{url.port}" if url.port else ""
    return f"{host}{port}/{url.database or 'postgres'}"


def sql(statement: str) -> str:
    """A statement with `:name` parameters, as psycopg takes it."""
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%"))
