"""`python -m celeriac.local up | down | store | migrate`: what `celeriac up` and `celeriac down` start, and who reads
without them.

A starter that waits gives a descriptor (`CELERIAC_READY_FD`): a line on it says `ready`, or `taken` when another runs
on this home. Exit codes: 0 stopped as asked, 1 a part keeps dying, 2 it cannot start here.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from celeriac.domain.errors import CeleriacError, StackDied, StackRuns
from celeriac.local.home import tell_starter
from celeriac.runtime.settings import Settings, home_path


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns its exit code."""
    options = _parser().parse_args(argv)
    settings = Settings()
    try:
        settings = Settings.from_env(home=options.home, running_stack=False)
        return int(options.run(settings, options))
    except CeleriacError as error:
        if isinstance(error, StackRuns):
            tell_starter(settings, "taken")
        _say(f"celeriac {options.command}: {error}", sys.stderr)
        return 1 if isinstance(error, StackDied) else 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m celeriac.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start and keep the whole stack on this machine")
    up.add_argument("--home", type=home_path, help="where all state is kept (default: CELERIAC_HOME or ~/.celeriac)")
    up.add_argument("--slots", type=int, help="CPU slots; without it: one slot a GPU, or what the CPU bears")
    up.add_argument("--no-flower", dest="flower", action="store_false", help="leave out Flower")
    up.add_argument("--idle-exit", action="store_true", help="end when nothing is left to run and nobody looks on")
    up.set_defaults(run=_up)
    down = commands.add_parser("down", help="stop the stack on this home")
    down.add_argument("--home", type=home_path)
    down.set_defaults(run=_down)
    store = commands.add_parser("store", help="start the store alone, for as long as somebody reads")
    store.add_argument("--home", type=home_path)
    store.set_defaults(run=_store)
    migrate = commands.add_parser("migrate", help="bring the database to this program's schema")
    migrate.add_argument("--home", type=home_path)
    migrate.add_argument("--admit", action="store_true", help="print the code of a link to the board for its owner")
    migrate.set_defaults(run=_migrate)
    return parser


def _up(settings: Settings, options: argparse.Namespace) -> int:
    from celeriac.local.up import Wishes, up

    return up(settings, Wishes(options.slots, options.flower, options.idle_exit), _say)


def _down(settings: Settings, options: argparse.Namespace) -> int:
    from celeriac.local.up import down

    pid = down(settings)
    _say(f"no stack runs on {settings.home}" if pid is None else f"stopped the stack on {settings.home} (pid {pid})")
    return 0


def _store(settings: Settings, options: argparse.Namespace) -> int:
    from celeriac.local.store_alone import store_alone

    return store_alone(settings, lambda: tell_starter(settings, "ready"), _say)


def _migrate(settings: Settings, options: argparse.Namespace) -> int:
    from celeriac.store.migrate import migrate, schema_state

    if not schema_state(settings.database_url).current:
        migrate(settings.database_url)
    if options.admit:
        from celeriac.local.owner import admit

        _say(admit(settings))
    return 0


def _say(text: str, stream: TextIO | None = None) -> None:
    """Print a line. Where nobody reads any more (`celeriac up | head`), it and what follows goes nowhere: a stack that
    is being stopped must come to its end.
    """
    out = stream or sys.stdout
    try:
        print(text, file=out, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())  # the interpreter flushes what is left when it ends
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
