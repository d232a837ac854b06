"""The command's exit codes, and how an expected error is told.

0    done as asked
1    what was asked for did not succeed: the study failed, was stopped, waits for a person, or has no scored trial;
a check of `celeriac doctor` failed
2    the request is wrong: a bad file or option, an unknown name, a name that is taken, a state that forbids it
3    the service does not answer: nothing was changed by the call that failed, try again
130  left with Ctrl-C: the study goes on (after the second Ctrl-C it is stopped)
"""

from celeriac.domain.errors import CallerError, CeleriacError, DuplicateStudy, SpecInvalid, TryAgain

OK, FAILED, WRONG, UNAVAILABLE, LEFT = 0, 1, 2, 3, 130


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
        f"celeriac: {line}" if i == 0 or isinstance(error, SpecInvalid) else line for i, line in enumerate(lines)
    )
