"""The `celeriac` command. Rule: argument parsing and pictures; what is decided is decided elsewhere.

Exit codes:

    0    done as asked
    1    what was asked for did not succeed: the study failed, was stopped, waits for a person, or has no scored trial;
         a check of `celeriac doctor` failed
    2    the request is wrong: a bad file or option, an unknown name, a name that is taken, a state that forbids it
    3    the service does not answer: nothing was changed by the call that failed, try again
    130  left with Ctrl-C: the study goes on (after the second Ctrl-C it is stopped)

Everything beyond the standard library is imported inside the commands, so that `celeriac --help` is quick.
"""

import errno
import io
import os
import signal
import sys

from celeriac.errors import CallerError, CeleriacError, DuplicateStudy, SpecInvalid, TryAgain

OK, FAILED, WRONG, UNAVAILABLE, LEFT = 0, 1, 2, 3, 130


def main() -> None:
    """The entry point: runs the command; an expected error becomes a line on stderr and an exit code, never a traceback."""
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
        print(explained(error), file=sys.stderr)
        sys.exit(exit_code(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EPIPE, errno.EBADF):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python tries to write it once more
        if error.errno != errno.EPIPE:
            print(f"celeriac: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(FAILED)


def _prepare_output() -> None:
    """Streams that were closed swallow what they are given; a character that a stream's encoding has not becomes `?`."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - for as long as the program runs
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def exit_code(error: CeleriacError) -> int:
    """The exit code that an error ends the command with."""
    if isinstance(error, TryAgain):
        return UNAVAILABLE
    return WRONG if isinstance(error, CallerError) else FAILED


def explained(error: CeleriacError) -> str:
    """An error as the command says it: what is wrong, one line a problem, and what differs where that is known."""
    lines = error.problems if isinstance(error, SpecInvalid) else [str(error)]
    if isinstance(error, DuplicateStudy):
        lines = [*lines, *(f"  {line}" for line in error.difference)]
    return "\n".join(
        f"celeriac: {line}" if i == 0 or isinstance(error, SpecInvalid) else line
        for i, line in enumerate(lines)
    )
