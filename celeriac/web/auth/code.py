"""What code a token may have run: from below which directories, and whether a file may bring its own."""

from pathlib import Path

from celeriac.domain.records import Scope
from celeriac.domain.study_file import StudySpec
from celeriac.runtime.settings import Settings
from celeriac.web.auth.principal import Principal
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
    """Raise Refused for a file that brings code of its own, a command line or a schedule's hook, by a token that may
    not.
    """
    brings = ["command"] if read.command else []
    brings += ["schedule.hook"] if read.schedule is not None and read.schedule.hook is not None else []
    if brings and not principal.may(Scope.CODE):
        raise Refused(
            403,
            f"{read.study}: {brings[0]} runs a program of the file's choice: this needs the scope `{Scope.CODE}`, which"
            f" the token {principal.name} has not",
            kind="scope-missing",
        )
