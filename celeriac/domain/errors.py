"""Every error of Celeriac, sorted by what its receiver does, not by what broke.

    CeleriacError
    ├── TryAgain                the same call may succeed later: wait and repeat
    │   ├── StoreUnavailable        Postgres does not answer, or cannot write now
    │   ├── BrokerUnavailable       Redis does not answer
    │   └── StaleTurn               another coordinator moved the study on: read again, decide again
    ├── StepAside               another owner has the trial: write nothing more, stop at once
    │   └── LeaseLost
    ├── TrialOver               this attempt ends here, with a fault class
    │   ├── ScoreNotFinite
    │   └── ValueRefused            a number or text of the trial's that Postgres cannot hold
    ├── StudyPaused             the study cannot go on until a person changes something
    │   └── SamplerFailed
    └── CallerError             the caller asked for what cannot be: change the request
        ├── SpecInvalid             a study or schedule file
        │   └── SpaceInvalid            its space, or parameters that do not fit it
        ├── UnknownStudy, UnknownTrial, UnknownSchedule
        ├── TokenInvalid            no such API token, or one that may not be made
        ├── DuplicateStudy          same name, another spec
        ├── IllegalTransition       the lifecycle tables do not know this event in this state
        ├── MessageInvalid          a ticket of no known kind or version
        ├── SchemaMismatch          the database is older or newer than this program
        ├── SettingInvalid          an environment variable
        ├── StackError              the embedded stack cannot start here
        │   └── StackRuns, StackDied    another one runs on this home; a part of it keeps dying
        └── ExtraMissing            it needs a package that comes with an extra, and that is not installed here

A message names the thing, its state, and the reader's next step.
"""


class CeleriacError(Exception):
    """The root: `except CeleriacError` catches all that Celeriac raises on purpose."""


class TryAgain(CeleriacError):
    """The same call may succeed later; nothing was changed by the one that failed."""


class Busy(TryAgain):
    """As much of that kind is being done here at once as may be."""


class StoreUnavailable(TryAgain):
    """Postgres cannot be reached, is starting, is out of disk, or dropped the connection."""


class BrokerUnavailable(TryAgain):
    """Redis cannot be reached; rows are safe, and the reaper re-sends their tickets."""


class StaleTurn(TryAgain):
    """The study's turn number has moved on; the write was refused whole."""


class StepAside(CeleriacError):
    """Another attempt owns the trial now: the receiver stops and writes nothing more."""


class LeaseLost(StepAside):
    """The lease token is no longer the trial's; `reason` says who took it away and why."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class TrialOver(CeleriacError):
    """The attempt is at its end by the trial's own doing."""


class ScoreNotFinite(TrialOver):
    """The score is NaN or infinite."""


class ValueRefused(TrialOver):
    """Postgres cannot hold a value that it was given, such as a step beyond 64 bits; nothing of the call was
    written.
    """


class StudyPaused(CeleriacError):
    """The study waits for a person; its reason says what to change."""


class SamplerFailed(StudyPaused):
    """The sampler cannot propose anything for this study."""


class CallerError(CeleriacError):
    """The request itself is wrong; repeating it unchanged will fail again."""


class SpecInvalid(CallerError):
    """A study or schedule file; `problems` holds one line for each thing that is wrong."""

    def __init__(self, problems: str | list[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class SpaceInvalid(SpecInvalid):
    """The space, or parameters that do not fit it."""


class UnknownStudy(CallerError):
    """No study of that name or id."""


class UnknownTrial(CallerError):
    """No trial of that number in the study."""


class UnknownSchedule(CallerError):
    """No schedule of that name."""


class TokenInvalid(CallerError):
    """An API token that cannot be made, or that there is not."""


class DuplicateStudy(CallerError):
    """A study of that name exists with another spec; `difference` lists what differs."""

    def __init__(self, message: str, *, difference: list[str]) -> None:
        super().__init__(message)
        self.difference = difference


class IllegalTransition(CallerError):
    """The lifecycle table has no such event in that state."""


class MessageInvalid(CallerError):
    """A ticket of no known kind or version; it is dropped, the rows heal the rest."""


class SchemaMismatch(CallerError):
    """The database's schema is not this program's; says which is newer and what to run."""


class SettingInvalid(CallerError):
    """An environment variable holds something that its setting cannot be."""


class StackError(CallerError):
    """The embedded stack cannot start or stop here; says which part and why."""


class StackRuns(StackError):
    """Another one runs on this home."""


class StackDied(StackError):
    """A part of it keeps dying."""


class ExtraMissing(CallerError):
    """What was asked for needs a package of an extra (`celeriac[plots]`, …) that is not installed here."""
