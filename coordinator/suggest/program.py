"""`python -m coordinator.suggest.program FD PARENT`: a process that answers questions for the drive worker, one after
the other.

It reads the store and writes nothing to it; samplers' caches live here and nowhere else. Rule: it can be killed at any
moment, for whatever reason, and nothing is lost but time. It ends when its starter closes the socket FD, or dies.
"""

import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from celeriac.runtime import logs
from celeriac.runtime.process.linux import die_with_parent
from celeriac.store import open_store
from coordinator.samplers import adapter_process
from coordinator.suggest.history import Histories
from coordinator.suggest.messages import SuggestRequest, answered


@dataclass(frozen=True, slots=True)
class Setup:
    """The first thing that a suggester is told. It comes by the socket, so that no environment and no argument carries
    the password.

    answer_s: how long it may take over a question before it is ended.
    """

    database_url: str
    name: str = "suggester"
    answer_s: float = 300.0
    log_format: str = logs.TEXT


def main(argv: list[str]) -> int:
    """Answer questions until the other end is closed."""
    descriptor, parent = map(int, argv)
    die_with_parent(parent)
    connection: Connection[Any, Any] = Connection(descriptor)
    try:
        serve(connection, connection.recv())
    except (EOFError, ConnectionError):  # the starter is gone, or wants no more of us
        return 0
    return 0


def serve(connection: "Connection[Any, SuggestRequest]", setup: Setup) -> None:
    """Question after question. Raises EOFError when the other end is closed."""
    text = f"%(asctime)s %(levelname)s %(name)s: %(message)s [{setup.name}]"
    logs.set_up(setup.log_format, setup.name, text=text)
    adapter_process.set_limit(0.9 * setup.answer_s)
    store, histories = open_store(setup.database_url), Histories()
    while True:
        question = connection.recv()
        with logs.about(study=question.study.id):
            connection.send(answered(store, histories, question))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
