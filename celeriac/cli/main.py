"""The entry point of the command."""

import errno
import io
import os
import signal
import sys

from celeriac.cli.exit_codes import FAILED, exit_code, explained
from celeriac.domain.errors import CeleriacError


def main() -> None:
    """Run the command; an expected error becomes a line on stderr and an exit code, never a traceback."""
    # Ctrl-C simply ends a command that is not watching anything (the shell sees 130); those that watch take it in hand.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _prepare_output()
    from celeriac.cli.app import app

    try:
        try:
            app(prog_name="celeriac")
        finally:
            sys.stdout.flush()  # what cannot be written is told, and not by Python when it ends
    except CeleriacError as error:
        from celeriac.cli.text import harmless

        print(harmless(explained(error), coloured=False), file=sys.stderr)
        sys.exit(exit_code(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EPIPE, errno.EBADF):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python tries to write it once more
        if error.errno != errno.EPIPE:
            print(f"celeriac: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(FAILED)


def _prepare_output() -> None:
    """Closed streams swallow what they are given; a character that an encoding lacks becomes `?`."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for as long as the program runs
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
