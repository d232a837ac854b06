"""`python -m celeriac.stack up | down | migrate`: what `celeriac up` and `celeriac down` start.

Exit codes: 0 stopped as asked, 1 a part keeps dying, 2 it cannot start here.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from celeriac.errors import CeleriacError, StackError
from celeriac.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns its exit code."""
    options = _parser().parse_args(argv)
    try:
        settings = Settings.from_env(home=options.home)
        return int(options.run(settings, options))
    except StackError as error:
        _say(f"celeriac {options.command}: {error}", sys.stderr)
        return 1 if "keeps dying" in str(error) else 2
    except CeleriacError as error:
        _say(f"celeriac {options.command}: {error}", sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m celeriac.stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start and keep the whole stack on this machine")
    up.add_argument(
        "--home", type=Path, help="where all state is kept (default: CELERIAC_HOME or ~/.celeriac)"
    )
    up.add_argument("--slots", type=int, help="CPU slots; without it: one slot a GPU, or what the CPU bears")
    up.add_argument("--no-flower", dest="flower", action="store_false", help="leave out Flower")
    up.add_argument(
        "--idle-exit", action="store_true", help="end when nothing is left to run and nobody looks on"
    )
    up.set_defaults(run=_up)
    down = commands.add_parser("down", help="stop the stack on this home")
    down.add_argument("--home", type=Path)
    down.set_defaults(run=_down)
    migrate = commands.add_parser("migrate", help="bring the database to this program's schema")
    migrate.add_argument("--home", type=Path)
    migrate.set_defaults(run=_migrate)
    return parser


def _up(settings: Settings, options: argparse.Namespace) -> int:
    from celeriac.stack.up import Wishes, up

    return up(settings, Wishes(options.slots, options.flower, options.idle_exit), _say)


def _down(settings: Settings, options: argparse.Namespace) -> int:
    from celeriac.stack.up import down

    pid = down(settings)
    _say(
        f"no stack runs on {settings.home}"
        if pid is None
        else f"stopped the stack on {settings.home} (pid {pid})"
    )
    return 0


def _migrate(settings: Settings, options: argparse.Namespace) -> int:
    from celeriac.store.migrate import migrate, schema_state

    if not schema_state(settings.database_url).current:
        migrate(settings.database_url)
    return 0


def _say(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream or sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
