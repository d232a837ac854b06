"""The connections of one process.

A fleet has two processes a slot, and most of them have nothing to ask most of the time. So a connection that nobody
used for `IDLE_S` is closed: a slot at rest holds none, a running trial one, and a second is there only while two
threads ask at once.
"""

import signal
import threading
from time import monotonic
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry, Pool

#: Longer than a heartbeat, so that a trial's renewals share one connection.
IDLE_S = 10.0


class IdleClosingPool(Pool):
    """At most `pool_size` connections, opened when asked for, the last used first; one that rests for `IDLE_S` is
    closed.
    """

    def __init__(self, creator: Any, pool_size: int, timeout: float, **options: Any) -> None:
        super().__init__(creator, **options)
        self._size, self._timeout = pool_size, timeout
        self._idle: list[tuple[float, ConnectionPoolEntry]] = []  # the one that has rested longest first
        self._count = 0
        self._changed = threading.Condition()
        self._closer: threading.Thread | None = None

    def _do_get(self) -> ConnectionPoolEntry:
        with self._changed:
            if not self._changed.wait_for(lambda: self._idle or self._count < self._size, self._timeout):
                raise PoolTimeout(f"all {self._size} connections are busy for {self._timeout:g} s")
            if self._idle:
                return self._idle.pop()[1]
            self._count += 1
        try:
            return self._create_connection()
        except BaseException:
            self._gone(1)
            raise

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if record.dbapi_connection is None:  # it broke
            self._gone(1)
            return
        with self._changed:
            self._idle.append((monotonic(), record))
            self._changed.notify()
            if self._closer is None:
                self._closer = threading.Thread(target=self._close_idle, name="idle connections", daemon=True)
                self._closer.start()

    def _gone(self, count: int) -> None:
        with self._changed:
            self._count -= count
            self._changed.notify(count)

    def _close_idle(self) -> None:
        """Close what rests too long, until none is idle."""
        # Signals are the main thread's: one that it holds back for a moment must not end the process by way of this.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        resting = threading.Event()  # nobody sets it: a plain sleep that costs the threads at work nothing
        while True:
            with self._changed:
                since = monotonic() - IDLE_S
                old = [record for at, record in self._idle if at <= since]
                self._idle = self._idle[len(old) :]
                self._count -= len(old)
                if not self._idle:
                    self._closer = None
                due_s = self._idle[0][0] - since if self._idle else None
            for record in old:
                record.close()
            if due_s is None:
                return
            resting.wait(due_s)

    def recreate(self) -> "IdleClosingPool":
        """See `Pool.recreate`."""
        return type(self)(
            self._creator,
            pool_size=self._size,
            timeout=self._timeout,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def dispose(self) -> None:
        """See `Pool.dispose`: closes what nobody uses now; what is in use is closed when it has rested."""
        with self._changed:
            idle, self._idle = self._idle, []
        self._gone(len(idle))
        for _, record in idle:
            record.close()

    def status(self) -> str:
        """See `Pool.status`."""
        return f"{self._count} of {self._size} connections are open, {len(self._idle)} of them idle"
