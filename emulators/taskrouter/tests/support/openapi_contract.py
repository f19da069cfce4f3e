"""Twilio's published OpenAPI document, compared with the emulator's responses.

The document allows every member of a resource to be absent and others to be present. This is stricter: a response has
all members that the document names and no other, its `links` are those of the document's own examples, and the ETag is
there exactly where the document has one.
"""

from __future__ import annotations

import copy
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator

PACKAGE = "@twilio/cli-core@9.0.0"
INTEGRITY = "sha512-FPHm5gXAUwM2oATmQi3AGYPFz4Urg5G5/vDkpUu5WqNuwueQaS93HwXjdX1OM+miuq0LMimdfbXDTLEp4Nsjfg=="
_MEMBER = "package/src/services/twilio-api/twilio_{product}_v1.json"
_METHODS = ("get", "post", "delete")
_REFUSAL = {
    "type": "object",
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string", "minLength": 1},
        "more_info": {"type": "string", "format": "uri", "pattern": r"^https://www\.twilio\.com/docs/errors/\d{5}$"},
        "status": {"type": "integer"},
    },
    "required": ["code", "message", "more_info", "status"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of an operation. schema: as in the document, with references resolved."""

    name: str
    schema: Mapping[str, Any]
    required: bool


@dataclass(frozen=True)
class Operation:
    """One method on one path. template: the path with names in braces. status: the status of success."""

    id: str
    method: str
    template: str
    status: int
    schema: Mapping[str, Any] | None
    links: frozenset[str] | None
    has_etag: bool
    parameters: tuple[Parameter, ...]

    @property
    def lists(self) -> bool:
        return self.id.startswith("List")

    @cached_property
    def path(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{\w+\}", "[^/]+", self.template))

    @cached_property
    def validator(self) -> OAS30Validator:
        return OAS30Validator(self.schema, format_checker=OAS30Validator.FORMAT_CHECKER)


@dataclass
class Contract:
    """The operations of the document, and which of them have succeeded."""

    operations: tuple[Operation, ...]
    seen: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, archive: Path, product: str = "taskrouter") -> Contract:
        """Read a product's document from the npm package's archive. Statistics are left out: they are not emulated."""
        name = _MEMBER.format(product=product)
        with tarfile.open(archive) as package:
            member = package.extractfile(name)
            assert member is not None, f"{name} is not in {archive}"
            document = json.load(member)
        return cls(tuple(one for one in _operations(document) if "Statistics" not in one.template))

    def operation(self, method: str, path: str) -> Operation | None:
        """Return the most literal match: `/Workers/Statistics` precedes `/Workers/{Sid}`."""
        fitting = [one for one in self.operations if one.method == method.lower() and one.path.fullmatch(path)]
        return min(fitting, key=lambda one: one.template.count("{"), default=None)

    def complaints(self, method: str, path: str, status: int, headers: Mapping[str, str], body: str) -> list[str]:
        """Return what is wrong with this response; [] if nothing is. headers: names in any case."""
        if status >= 400:
            return _violations(OAS30Validator(_REFUSAL), json.loads(body))
        operation = self.operation(method, path)
        if operation is None:
            return [f"{method} {path} is no operation of the document, and yet it was answered with {status}"]
        self.seen.add(operation.id)
        found = [] if status == operation.status else [f"status {status} instead of {operation.status}"]
        if operation.schema is None:
            return found + ([f"a body where there is none: {body!r}"] if body else [])
        found += _violations(operation.validator, json.loads(body))
        found += _wrong_links(operation, json.loads(body))
        if not operation.lists and operation.has_etag is not ("etag" in {name.lower() for name in headers}):
            found.append("an ETag is missing" if operation.has_etag else "an ETag where there is none")
        return [f"{operation.id}: {complaint}" for complaint in found]


def _violations(validator: OAS30Validator, value: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def _wrong_links(operation: Operation, body: Mapping[str, Any]) -> Iterator[str]:
    rows = body[body["meta"]["key"]] if operation.lists else [body]
    for row in rows:
        if operation.links is not None and set(row.get("links", ())) != operation.links:
            yield f"links {sorted(row.get('links', ()))} instead of {sorted(operation.links)}"


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for template, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield _operation(document, template, method, item[method])


def _operation(document: Mapping[str, Any], template: str, method: str, step_label: Mapping[str, Any]) -> Operation:
    status, response = next(iter(step_label["responses"].items()))
    content = response.get("content", {}).get("application/json", {})
    schema = _strict(_resolved(document, content["schema"])) if content else None
    form = step_label.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {})
    body = form.get("schema", {})
    parameters = [
        Parameter(name, _resolved(document, one), name in body.get("required", ()))
        for name, one in body.get("properties", {}).items()
    ]
    parameters += [
        Parameter(one["name"], _resolved(document, one["schema"]), one.get("required", False))
        for one in step_label.get("parameters", ())
        if one["in"] == "query"
    ]
    return Operation(
        id=step_label["operationId"],
        method=method,
        template=template,
        status=int(status),
        schema=schema,
        links=_links(content),
        has_etag="etag" in {name.lower() for name in response.get("headers", {})},
        parameters=tuple(parameters),
    )


def _links(content: Mapping[str, Any]) -> frozenset[str] | None:
    for example in content.get("examples", {}).values():
        value = example["value"]
        rows = value[value["meta"]["key"]] if "meta" in value else [value]
        if not rows:
            continue
        row = rows[0]
        return frozenset(row["links"]) if "links" in row else None
    return None


def _resolved(document: Mapping[str, Any], schema: Any) -> Any:
    """The schema with every reference replaced by what it points to. A `$ref` stands alone in this document."""
    if isinstance(schema, list):
        return [_resolved(document, one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        found: Any = document
        for key in schema["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        return _resolved(document, found)
    return {key: _resolved(document, value) for key, value in schema.items()}


def _strict(schema: Any) -> Any:
    """All named members must be there, and no other."""
    strict = copy.deepcopy(schema)
    for one in _objects(strict):
        one["required"] = list(one["properties"])
        one["additionalProperties"] = False
    return strict


def _objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield schema
        for value in schema.values():
            yield from _objects(value)
