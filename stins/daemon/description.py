"""What a daemon's control server can be asked, described for programs (OpenAPI) and for people (a page). No I/O."""

import html
from collections.abc import Sequence
from typing import Any

import msgspec

__all__ = ["Operation", "as_openapi", "as_page"]


class Operation(msgspec.Struct, frozen=True):
    """One thing to ask; `request` is the type of its body, where it has one."""

    method: str
    path: str
    summary: str
    request: Any = None


def as_openapi(name: str, operations: Sequence[Operation]) -> dict[str, Any]:
    """The description as an OpenAPI 3.1 document (spec.openapis.org), to be encoded as JSON."""
    asked = [operation.request for operation in operations if operation.request]
    schemas, components = msgspec.json.schema_components(asked, ref_template="#/components/schemas/{name}")
    bodies = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _described(operation, next(bodies) if operation.request else None)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    info = {"title": name, "version": "1"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": components}}


def _described(operation: Operation, body: dict[str, Any] | None) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "responses": {"200": {"description": "the answer"}}}
    names = [step[1:-1] for step in operation.path.split("/") if step.startswith("{")]
    if names:
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if body is not None:
        described["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return described


def as_page(name: str, operations: Sequence[Operation]) -> str:
    """The description as a page of HTML, which loads nothing from elsewhere: a beamline's network may lead nowhere."""
    rows = "".join(
        f"<tr><td><code>{operation.method} {html.escape(operation.path)}</code></td>"
        f"<td>{html.escape(operation.summary)}{_body(operation)}</td></tr>"
        for operation in operations
    )
    title = html.escape(name)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        "<style>body{font:16px sans-serif;margin:2em}td{padding:.3em 1em;vertical-align:top}</style>"
        f"<h1>{title}</h1><table>{rows}</table>"
        "<p>For programs: <a href='openapi.json'>openapi.json</a></p></html>"
    )


def _body(operation: Operation) -> str:
    if not operation.request:
        return ""
    text = msgspec.json.format(msgspec.json.encode(msgspec.json.schema(operation.request)), indent=2).decode()
    return f"<details><summary>body</summary><pre>{html.escape(text)}</pre></details>"
