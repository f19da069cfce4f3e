"""The description of the API, OpenAPI 3.1, made of the models that validate requests and make answers.

https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from enrich import __version__
from enrich.api.models import ONE_KEY, LookupAnswer, LookupQuery
from enrich.api.problems import MIMETYPE, ProblemDetails

_PROBLEMS: Mapping[str, str] = {
    "401": "No token, or one that is unknown, expired or revoked.",
    "403": "The token lacks the scope.",
    "406": "The Accept header excludes JSON.",
    "413": "The request has a body, which is too long.",
    "422": "A parameter is wrong; `errors` names it.",
    "429": "More requests than the rate limit of this token; Retry-After says when to go on.",
    "503": "It could not be looked up: overload, time-out, or no database. This is not `none`.",
}


def document(public_url: str) -> dict[str, Any]:
    """Return the description. public_url: where this installation is."""
    _, schemas = models_json_schema(
        [(LookupAnswer, "serialization"), (ProblemDetails, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "TaskRouter Enrich",
            "version": __version__,
            "description": "Ask which customer a number, an address or an id belongs to, by the rules of the callback.",
        },
        "servers": [{"url": public_url}],
        "security": [{"bearer": []}],
        "paths": {
            "/api/v1/lookup": {
                "get": {
                    "operationId": "lookup",
                    "summary": "Look up a customer",
                    "description": f"{ONE_KEY} Needs the scope `lookup`, or `lookup:claimed`.",
                    "security": [{"bearer": []}, {"basic": []}],
                    "parameters": _parameters(),
                    "responses": {
                        "200": {
                            "description": "The result, `none` included.",
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/LookupAnswer"}}},
                        },
                        **{status: _problem(meaning) for status, meaning in _PROBLEMS.items()},
                    },
                }
            },
            "/api/v1/openapi.json": {
                "get": {
                    "operationId": "openapi",
                    "summary": "This description",
                    "security": [],
                    "responses": {
                        "200": {
                            "description": "OpenAPI 3.1.",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        },
                        "406": _problem(_PROBLEMS["406"]),
                        "413": _problem(_PROBLEMS["413"]),
                    },
                }
            },
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`enrich_…`, of `flask tokens add`."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The token as password, with any user name; for Twilio Studio, which can send "
                    "nothing else.",
                },
            },
        },
    }


def _parameters() -> list[dict[str, Any]]:
    """Return the query's fields as parameters."""
    schema = LookupQuery.model_json_schema()
    return [_parameter(name, field, schema.get("$defs", {})) for name, field in schema["properties"].items()]


def _parameter(name: str, field: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return one parameter. A field that may be absent is a union with null, which no query can hold."""
    given = next(one for one in field["anyOf"] if one.get("type") != "null")
    if "$ref" in given:
        given = definitions[given["$ref"].rpartition("/")[2]]
    schema = {key: value for key, value in given.items() if key not in ("title", "description")}
    if "examples" in field:
        schema["examples"] = field["examples"]
    return {"name": name, "in": "query", "description": field["description"], "schema": schema}


def _problem(meaning: str) -> dict[str, Any]:
    return {
        "description": meaning,
        "content": {MIMETYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
    }
