"""What a token may have the service do for a file: run code from below which directories, or a program that the file
brings, and send what a night came to somewhere.
"""

from pathlib import Path

from celeriac.domain.records import Scope
from celeriac.domain.study_file import StudySpec
from celeriac.runtime.settings import Settings
from celeriac.web.auth.principal import Principal, another_token
from celeriac.web.problems import Refused


def code_roots(settings: Settings, principal: Principal) -> list[Path]:
    """Below which directories this token may name code; a relative one is seen from the first.

    The setting's; without it the code root, and where that is the whole machine the directory in which this program was
    started. With the scope `code` the code root beside them.
    """
    roots = [Path(each).expanduser().absolute() for each in settings.web_code_roots.split(":") if each]
    if not roots:
        roots = [settings.code_root if settings.code_root != Path("/") else Path.cwd()]
    return [*roots, settings.code_root] if principal.may(Scope.CODE) else roots


def may_run(principal: Principal, read: StudySpec) -> None:
    """Raise Refused for a file that brings code of its own, a command line or a schedule's hook, or that names where
    mornings are sent, by a token that may not.
    """
    plan = read.schedule
    if read.command:
        _need(Scope.CODE, principal, f"{read.study}: command runs a program of the file's choice")
    if plan is not None and plan.hook is not None:
        _need(Scope.CODE, principal, f"{read.study}: schedule.hook runs a program of the file's choice")
    if plan is not None and plan.morning is not None:
        _need(Scope.OPERATE, principal, f"{read.study}: schedule.morning has the service call an address of its choice")


def _need(scope: Scope, principal: Principal, what: str) -> None:
    if not principal.may(scope):
        raise Refused(
            403,
            f"{what}: this needs the scope `{scope}`, which the token {principal.name} has not. "
            + another_token(*principal.scopes, scope),
            kind="scope-missing",
        )
