"""The description of the API, OpenAPI 3.1, made of the models that validate requests and make answers.

https://spec.openapis.org/oas/v3.1.1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from enrich import __version__
from enrich.api import intake_openapi
from enrich.api.access import VERSION_PREFIX
from enrich.api.models import ONE_KEY, LookupAnswer, LookupQuery
from enrich.api.problems import MIMETYPE, ProblemDetails
from enrich.api.reading_models import (
    Customer,
    CustomerPage,
    EntriesQuery,
    FollowupPage,
    FollowupsQuery,
    NoQuery,
    Page,
    PageQuery,
    Task,
    TaskPage,
    TasksQuery,
)

_PROBLEMS: Mapping[str, str] = {
    "401": "No token, or one that is unknown, expired or revoked.",
    "403": "The token lacks the scope.",
    "404": "There is none of this id.",
    "406": "The Accept header excludes JSON.",
    "413": "The request has a body, which is too long.",
    "422": "A parameter is wrong; `errors` names it.",
    "429": "More requests than the rate limit of this token; Retry-After says when to go on.",
    "503": "Overload, time-out, or no database: ask again after Retry-After. Of a look-up, this is not `none`.",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One GET operation that needs a token.

    path: below the prefix, with its parameters in braces. path_parameters: their meanings. query, answer: the models.
    """

    name: str
    path: str
    summary: str
    description: str
    query: type[BaseModel]
    answer: type[BaseModel]
    path_parameters: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """Return the operation as OpenAPI has it."""
        answer: dict[str, Any] = {
            "description": (self.answer.__doc__ or "").partition("\n")[0],
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{self.answer.__name__}"}}},
        }
        if issubclass(self.answer, Page):
            answer["headers"] = {"Link": {"description": '`rel="next"`: the next page.', "schema": {"type": "string"}}}
        statuses = [status for status in _PROBLEMS if status != "404" or self.path_parameters]
        path_parameters = [
            {"name": name, "in": "path", "required": True, "description": meaning, "schema": {"type": "string"}}
            for name, meaning in self.path_parameters.items()
        ]
        return {
            "operationId": self.name,
            "summary": self.summary,
            "description": self.description,
            "security": [{"bearer": []}, {"basic": []}],
            "parameters": [*path_parameters, *_parameters(self.query)],
            "responses": {"200": answer, **_problems(statuses)},
        }


_NEEDS_READ = "Needs the scope `read`, which masks personal data as for a viewer, or `read:unmasked`."
OPERATIONS = (
    Operation(
        "lookup",
        "/lookup",
        "Look up a customer",
        f"{ONE_KEY} Needs the scope `lookup`, or `lookup:claimed`.",
        LookupQuery,
        LookupAnswer,
    ),
    Operation(
        "list_customers",
        "/customers",
        "List the customers",
        f"In the order of their ids. {_NEEDS_READ}",
        PageQuery,
        CustomerPage,
    ),
    Operation(
        "get_customer",
        "/customers/{customer_id}",
        "Read a customer",
        f"Of one that was merged, the customer that they are part of: `id` is then another than the one asked for. "
        f"{_NEEDS_READ}",
        NoQuery,
        Customer,
        {"customer_id": "Id of the customer."},
    ),
    Operation(
        "list_tasks",
        "/tasks",
        "List the tasks",
        f"The last to arrive first, each with its newest entry, as the list of tasks on the page. {_NEEDS_READ}",
        TasksQuery,
        TaskPage,
    ),
    Operation(
        "get_task",
        "/tasks/{task_sid}",
        "Read a task",
        f"With a page of its entries, the first to be received first. {_NEEDS_READ}",
        EntriesQuery,
        Task,
        {"task_sid": "TaskSid."},
    ),
    Operation(
        "list_followups",
        "/followups",
        "List the follow-ups",
        f"The newest first. They hold no personal data. {_NEEDS_READ}",
        FollowupsQuery,
        FollowupPage,
    ),
)


def document(public_url: str) -> dict[str, Any]:
    """Return the description. public_url: where this installation is."""
    models: list[type[BaseModel]] = [*(one.answer for one in OPERATIONS), ProblemDetails]
    _, schemas = models_json_schema(
        [*((model, "serialization") for model in models), *intake_openapi.MODELS],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, Any] = {VERSION_PREFIX + one.path: {"get": one.described()} for one in OPERATIONS}
    paths[f"{VERSION_PREFIX}/openapi.json"] = {
        "get": {
            "operationId": "openapi",
            "summary": "This description",
            "security": [],
            "responses": {
                "200": {
                    "description": "OpenAPI 3.1.",
                    "content": {"application/json": {"schema": {"type": "object"}}},
                },
                **_problems(("406", "413")),
            },
        }
    }
    paths |= intake_openapi.paths()
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "TaskRouter Enrich",
            "version": __version__,
            "description": "Ask which customer a number, an address or an id belongs to, by the rules of the callback; "
            "read customers, tasks and follow-ups; send customers.",
        },
        "servers": [{"url": public_url}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                **intake_openapi.SECURITY_SCHEMES,
                "bearer": {"type": "http", "scheme": "bearer", "description": "`enrich_…`, of `flask tokens add`."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The token as password, with any user name; for Twilio Studio and other programs "
                    "that can send nothing else.",
                },
            },
        },
    }


def _parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    """Return the query's fields as parameters."""
    schema = query.model_json_schema()
    return [_parameter(name, described, schema.get("$defs", {})) for name, described in schema["properties"].items()]


def _parameter(name: str, described: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return one parameter. A field that may be absent is a union with null, which no query can hold."""
    given = next((one for one in described.get("anyOf", ()) if one.get("type") != "null"), described)
    if "$ref" in given:
        given = definitions[given["$ref"].rpartition("/")[2]]
    schema = {key: value for key, value in given.items() if key not in ("title", "description")}
    if "examples" in described:
        schema["examples"] = described["examples"]
    return {"name": name, "in": "query", "description": described["description"], "schema": schema}


def _problems(statuses: Iterable[str]) -> dict[str, Any]:
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {MIMETYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}},
        }
        for status in statuses
    }
