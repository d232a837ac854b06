"""Does the objective exist? Asked at submit, answered by reading the source: the user's code is never run here.

So a mistyped module or function is an error of the one who submits, before anything is created; whatever only the
import can show (a package that is missing on the workers, say) is the worker's to report, with its traceback.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from celeriac.domain.errors import SpecInvalid
from celeriac.domain.records import StudyRecord
from celeriac.domain.space import nearest
from celeriac.domain.study_file import StudySpec, named_in, words_of
from celeriac.runtime.fingerprint import NO_CODE, fingerprint


def code_root_of(spec: StudySpec, base: Path, allowed: Path, roots: Sequence[Path] = ()) -> Path:
    """The directory that `code` names, seen from `base` (where the study file lies), once the objective was found in
    it.

    `allowed` is the root below which workers load objectives; `roots`, where some are given, are those below which the
    one who submits may name code; what lies elsewhere is not even looked for. Raises SpecInvalid: no such directory,
    outside of `allowed`, no such module, or no such function in it.
    """
    root = (base / Path(spec.code).expanduser()).resolve()
    if roots and not any(root.is_relative_to(each) for each in roots):
        open_ones = ", ".join(map(str, roots))
        raise SpecInvalid(f"{spec.study}: code: {spec.code} is not below what is open to this token: {open_ones}")
    if not root.is_dir():
        raise SpecInvalid(
            f"{spec.study}: code: {root} is no directory: name the one that the objective's module lies in"
        )
    if not root.is_relative_to(allowed.resolve()):
        raise SpecInvalid(
            f"{spec.study}: code: {root} is not below the code root {allowed}, from where workers load objectives: "
            "move it there, or set CELERIAC_CODE_ROOT"
        )
    _check(spec, root)
    return root


def stored_root(root: Path, allowed: Path) -> str:
    """How the study's row names its code: relative to the code root, which every host may have at another place.

    Where the code root is the whole machine, the absolute path.
    """
    allowed = allowed.resolve()
    return str(root) if allowed == Path("/") else str(root.relative_to(allowed))


def moved_code(before: str, after: str) -> list[str]:
    """A line where the code lies elsewhere than before, as `stored_root` tells it."""
    return [] if before == after else [f"code root: {before} -> {after}"]


def code_here(study: StudyRecord, allowed: Path) -> str:
    """The fingerprint of the study's code as it is to be seen here; "" where there is none."""
    found = fingerprint(allowed.resolve() / study.code_root) if study.code_root else ""
    return "" if found.startswith(NO_CODE) else found


def _check(spec: StudySpec, root: Path) -> None:
    if spec.command:
        _check_command(spec, root)
        return
    module, _, function = spec.objective.partition(":")
    path = _file_of(spec, root, module)
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = f" on line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise SpecInvalid(f"{spec.study}: objective: {path} is no Python: {error.args[0]}{line}") from error
    except OSError as error:
        raise SpecInvalid(f"{spec.study}: objective: {path} cannot be read: {error.strerror}") from error
    names = set(_names(tree.body))
    if function not in names and "*" not in names:
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        hint = nearest(function, functions) if functions else "it defines no function"
        raise SpecInvalid(f"{spec.study}: objective: {path} has no function {function!r}; {hint}")
    if any(isinstance(node, ast.AsyncFunctionDef) and node.name == function for node in tree.body):
        raise SpecInvalid(f"{spec.study}: objective: {function!r} in {path} is async; write a plain function")


def _check_command(spec: StudySpec, root: Path) -> None:
    """The script that a command names by a relative path, and its program where that is a path, must be there."""
    words = words_of(spec.command)
    scripts = [word for word in words[1:2] if word.endswith((".py", ".sh")) and not named_in(word)]
    for word in [*scripts, *(word for word in words[:1] if "/" in word)]:
        if not (root / word).is_file():
            raise SpecInvalid(f"{spec.study}: command: there is no file {word} below {root}")


def _file_of(spec: StudySpec, root: Path, module: str) -> Path:
    stem = root.joinpath(*module.split("."))
    for path in (stem.with_name(stem.name + ".py"), stem / "__init__.py"):
        if path.is_file():
            if not path.resolve().is_relative_to(root):
                raise SpecInvalid(
                    f"{spec.study}: objective: {path} is a link to {path.resolve()}, outside the code root {root};"
                    " workers load objectives only from below it: copy the file there, or let `code` name the"
                    " directory that it lies in"
                )
            return path
    there = sorted(path.stem for path in root.glob("*.py") if path.stem != "__init__")
    hint = nearest(module, there) if there else "there is no Python file in it"
    raise SpecInvalid(f"{spec.study}: objective: there is no module {module!r} below {root}; {hint}")


def _names(body: Iterable[ast.stmt]) -> Iterator[str]:
    """What a module's top level binds, `*` for a star import; branches of `if`, `try` and `with` count as taken."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (name.id for each in targets for name in ast.walk(each) if isinstance(name, ast.Name))
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            for part in ("body", "orelse", "finalbody"):
                yield from _names(getattr(node, part, ()))
            for handler in getattr(node, "handlers", ()):
                yield from _names(handler.body)
