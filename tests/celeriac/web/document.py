"""Holds every answer of the API to the OpenAPI document: its status, its kind, and the shape of its JSON."""

import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator

Json = dict[str, Any]


class Document:
    """The document, and which of its operations a request is."""

    def __init__(self, made: Json) -> None:
        self.made = made
        self._paths = [(_pattern(path), path) for path in made["paths"]]

    def operation(self, method: str, path: str) -> Json | None:
        """The operation of a request; None for what is none of the API's."""
        fitting = [known for pattern, known in self._paths if pattern.fullmatch(path)]
        fitting = [known for known in fitting if method.lower() in self.made["paths"][known]]
        if not fitting:
            return None
        # Names have slashes, so that more than one path may fit: it is the one with the most words of its own.
        named = max(fitting, key=lambda known: len(re.sub(r"\{.*?\}", "", known)))
        found: Json = self.made["paths"][named][method.lower()]
        return found

    def flaws(self, schema: Json, value: Any) -> list[str]:
        """What of a value is not as a schema of the document says."""
        whole = {**schema, "components": self.made["components"]}
        found = Draft202012Validator(whole).iter_errors(value)
        return [f"{each.json_path}: {each.message[:200]}" for each in found]

    def check(self, answer: httpx.Response) -> None:
        """Fail for an answer that is not as the document says."""
        request, kind = answer.request, answer.headers.get("content-type", "").partition(";")[0]
        operation = self.operation(request.method, request.url.path)
        if operation is None or kind == "text/event-stream" or answer.status_code in (304, 405):
            return
        what = f"{request.method} {request.url.path} -> {answer.status_code}"
        said = operation["responses"].get(str(answer.status_code))
        assert said is not None, f"{what}: no such status in the document"
        content = said.get("content", {})
        assert kind in content, f"{what}: {kind} is none of {sorted(content)}"
        if kind.endswith("json"):
            answer.read()
            flaws = self.flaws(content[kind]["schema"], answer.json())
            assert not flaws, f"{what}: {flaws[:3]}"


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{.*?\})", path)
    return re.compile("".join(_hole(each) if each.startswith("{") else re.escape(each) for each in parts))


def _hole(named: str) -> str:
    return "(.+)" if named == "{study}" else "([^/]+)"
