"""The OpenAPI document: what the routes say of themselves, and the statuses that every path can answer with."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from celeriac.web.problems import TITLES
from celeriac.web.schema import COMPONENTS

_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "string"}},
        "difference": {"type": "array", "items": {"type": "string"}},
    },
}
_EVERY = (400, 401, 403, 404, 422, 429, 503)
_READS = (501,)
_WRITES = (408, 409, 413, 415, 501)
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same request is answered as the first time, for a day.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
}


def install(app: FastAPI) -> None:
    """Have the app give out the whole document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, routes=app.routes, description=_ABOUT)
            schemas = made["components"].setdefault("schemas", {})
            if twice := schemas.keys() & COMPONENTS:
                raise TypeError(f"a request and an answer are called the same: {', '.join(sorted(twice))}")
            schemas |= {"Problem": _PROBLEM, **COMPONENTS}
            made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{"token": []}]
            for path in made["paths"].values():
                for method, operation in path.items():
                    _complete(operation, is_write=method != "get")
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _complete(operation: dict[str, Any], *, is_write: bool) -> None:
    answers = operation["responses"]
    for status in (*_EVERY, *(_WRITES if is_write else _READS)):
        answers[str(status)] = _problem(status)
    if is_write:
        operation.setdefault("parameters", []).append(_KEY)
    else:
        answers["304"] = {"description": "It has not changed since the `ETag` of `If-None-Match`."}


def _problem(status: int) -> Mapping[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": TITLES[status], "content": content}


_ABOUT = """Studies, trials, schedules, champions and the fleet. A token goes into `Authorization: Bearer …`.
Lists are pages: `next` of one page is the `cursor` of the next. Each read has an `ETag`."""
