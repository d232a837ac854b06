"""What a piece of Python in the documentation must be: it compiles, what it imports of ours is there, and every
attribute and argument of ours that it uses too.

Names are followed by their types, as far as our own annotations tell them: `Client().submit("x").best.params`.
"""

import ast
import importlib
import inspect
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import celeriac
from celeriac import Client, Pack, Study, Trial
from celeriac.client import Client as _Client  # the front door loads on first use; here it must be a class

assert Client is _Client
_OURS = ("celeriac", "coordinator", "worker")
_DOORS = "celeriac.doors."


@dataclass(frozen=True)
class A:
    """An instance of a class of ours."""

    of: type


#: What the names of the documentation's pieces stand for where they are not assigned.
GIVEN: dict[str, Any] = {"trial": A(Trial), "pack": A(Pack), "study": A(Study), "celeriac": celeriac}


def flaws(text: str, given: dict[str, Any] | None = None) -> list[str]:
    """What is wrong, one sentence each."""
    text = re.sub(r"^( *)…", r"\1...", text, flags=re.MULTILINE)
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return [f"it does not compile: {error}"]
    reader = _Reader({**GIVEN, **(given or {})})
    reader.visit(tree)
    return reader.found


class _Reader(ast.NodeVisitor):
    """Follows assignments in their order, and notes what is wrong; one scope is enough for a page's pieces."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.names, self.found = given, list[str]()

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            if name.name.partition(".")[0] in _OURS:
                self._module(name.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if (node.module or "").partition(".")[0] not in _OURS:
            return
        if str(node.module).startswith(_DOORS):
            self._door(str(node.module), [each.name for each in node.names])
            return
        module = self._module(str(node.module))
        for name in node.names:
            if module is not None and not hasattr(module, name.name):
                self.found.append(f"{node.module} has no {name.name}")
            self.names[name.asname or name.name] = getattr(module, name.name, None)

    def visit_Assign(self, node: ast.Assign) -> None:
        kind = self._kind(node.value)
        self.generic_visit(node)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.names[target.id] = kind

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._kind(node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = self._kind(node.func)
        if inspect.isroutine(called) or inspect.isclass(called):
            self._bound(called, node)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        if isinstance(node.target, ast.Name):
            self.names[node.target.id] = _element(self._kind(node.iter))
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        for each in node.generators:
            if isinstance(each.target, ast.Name):
                self.names[each.target.id] = _element(self._kind(each.iter))
        self.generic_visit(node)

    def _door(self, module: str, names: list[str]) -> None:
        """A door imports its library, which takes seconds: what it offers is read from its source."""
        source = Path(celeriac.__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py").read_text()
        there = {each.name for each in ast.parse(source).body if isinstance(each, ast.ClassDef | ast.FunctionDef)}
        self.found += [f"{module} has no {name}" for name in names if name not in there]

    def _module(self, name: str) -> Any:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in _OURS:
                self.found.append(str(error))
            return None  # a library of another extra is not installed here: nothing is said of it

    def _kind(self, node: ast.expr) -> Any:
        """What an expression is: `A(class)`, an object of ours, an annotation, or None when nobody tells."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(self._kind(node.value), node.attr)
        if isinstance(node, ast.Call):
            return _returned(self._kind(node.func))
        return None

    def _attribute(self, base: Any, name: str) -> Any:
        if isinstance(base, types.ModuleType):
            if not hasattr(base, name):
                self._note(f"{base.__name__} has no {name}")
            return getattr(base, name, None)
        if not isinstance(base, A) or base.of.__module__.partition(".")[0] not in _OURS:
            return None
        kind, is_there = _member(base.of, name)
        if not is_there:
            self._note(f"{base.of.__name__} has no {name}")
        return kind

    def _note(self, flaw: str) -> None:
        if flaw not in self.found:
            self.found.append(flaw)

    def _bound(self, called: Any, node: ast.Call) -> None:
        if (getattr(called, "__module__", None) or "").partition(".")[0] not in _OURS:
            return
        if any(isinstance(each, ast.Starred) for each in node.args) or any(not each.arg for each in node.keywords):
            return
        signature = inspect.signature(called)
        places: list[Any] = [None] * len(node.args)
        if inspect.isfunction(called) and "." in called.__qualname__:  # a method, read from its class
            places.insert(0, None)
        try:
            signature.bind(*places, **{str(each.arg): None for each in node.keywords})
        except TypeError as error:
            self._note(f"{called.__qualname__}: {error}")


def _member(of: type, name: str) -> tuple[Any, bool]:
    """What an attribute of an instance is, and whether there is one."""
    found = inspect.getattr_static(of, name, None)
    if isinstance(found, property):
        return _instance(typing.get_type_hints(found.fget).get("return")), True
    if isinstance(found, staticmethod | classmethod):
        return getattr(of, name), True
    if found is not None:
        return found, True
    hints: dict[str, Any] = {}
    for each in of.__mro__:
        hints = {**getattr(each, "__annotations__", {}), **hints}
    if name in hints:
        return None, True
    return None, any(
        re.search(rf"\bself\.{name}\b[^=\n(]*=", inspect.getsource(each))
        for each in of.__mro__
        if each.__module__.startswith(_OURS)
    )


def _returned(called: Any) -> Any:
    if inspect.isclass(called):
        return A(called)
    if not inspect.isroutine(called):
        return None
    try:
        return _instance(typing.get_type_hints(called).get("return"), of=called)
    except NameError:
        return None


def _instance(hint: Any, of: Any = None) -> Any:
    """The kind of what an annotation tells: a class of ours, or a collection of such; None is left out of a union."""
    if hint is None:
        return None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        [hint, *others] = [each for each in typing.get_args(hint) if each is not type(None)]
        if others:
            return None
    if hint is typing.Self or (inspect.isclass(hint) and hint.__module__.partition(".")[0] in _OURS):
        return A(hint) if inspect.isclass(hint) else None
    return hint if typing.get_origin(hint) else None


def _element(kind: Any) -> Any:
    """What a collection's elements are."""
    arguments = typing.get_args(kind)
    return _instance(arguments[0]) if len(arguments) in (1, 2) and Ellipsis in (*arguments[1:], Ellipsis) else None


def readable(text: str) -> str:
    """A block as Python: as it stands, or, for lines of a function's body, within one."""
    if not text.startswith("return "):
        return text
    return "def objective(trial):\n" + "".join(f"    {line}\n" for line in text.splitlines())
