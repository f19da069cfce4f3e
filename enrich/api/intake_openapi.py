"""The intake's part of the description, made of its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from enrich.api.access import JSON, VERSION_PREFIX
from enrich.api.intake_models import (
    MAX_CUSTOMERS,
    BatchResult,
    DeleteQuery,
    PushedCustomers,
    RecordResult,
    SinglePushedCustomer,
)
from enrich.api.problems import MIMETYPE
from enrich.domain.lengths import MAX_INTAKE_BYTES, MAX_REMOTE_ID_LENGTH, MAX_SOURCE_NAME_LENGTH

MODELS: list[tuple[type[BaseModel], Literal["validation", "serialization"]]] = [
    (SinglePushedCustomer, "validation"),
    (PushedCustomers, "validation"),
    (RecordResult, "serialization"),
    (BatchResult, "serialization"),
]
SECURITY_SCHEMES: Mapping[str, Any] = {
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "With `webhook-id` and `webhook-timestamp`, after Standard Webhooks, if the source declares a "
        "secret.",
    }
}

_PATH = f"{VERSION_PREFIX}/sources/{{source}}/customers"
_PROBLEMS: Mapping[str, str] = {
    "400": "The body is not JSON; `detail` has line and column.",
    "401": "No token, one that is unknown, expired or revoked, or a signature that is wrong or too old.",
    "403": "The token lacks the scope `intake:SOURCE`.",
    "404": "No source of the kind push has this name.",
    "406": "The Accept header excludes JSON.",
    "413": f"The body has more than {MAX_INTAKE_BYTES:,} bytes.",
    "415": "The body is no JSON by its Content-Type, or it is compressed.",
    "429": "More requests than the rate limit of this token, or source; Retry-After says when to go on.",
    "503": "Overload, time-out, no database, or the brake (`brake_applied`). Send it again after Retry-After: what is "
    "stored stays as it is.",
}
_OF_BODIES = ("400", "415")
_REMOTE_ID = {
    "name": "remote_id",
    "in": "path",
    "required": True,
    "description": "The source's own id. One that begins with a slash, or is `.` or `..`, goes by `POST`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_REMOTE_ID_LENGTH},
}


def paths() -> dict[str, Any]:
    """Return the operations of the intake, by address and method."""
    source = {
        "name": "source",
        "in": "path",
        "required": True,
        "description": "A source of the kind push, as the sources file names it.",
        "schema": {"type": "string", "maxLength": MAX_SOURCE_NAME_LENGTH},
    }
    return {
        f"{_PATH}/{{remote_id}}": {
            "put": {
                "operationId": "put_customer",
                "summary": "Send a customer as a whole",
                "description": "In any order and as often as you like: versions decide. Needs the scope "
                "`intake:SOURCE`.",
                "security": [{"bearer": []}],
                "parameters": [source, _REMOTE_ID],
                "requestBody": _body(SinglePushedCustomer),
                "responses": {
                    "200": _answer(RecordResult, "Applied, or older than what is known."),
                    "201": _answer(RecordResult, "Applied: a new customer."),
                    **_problems(
                        "`quarantined`: it is kept aside, and nothing of it was applied. `invalid`: it was "
                        "not kept either. `errors` names the fields."
                    ),
                },
            },
            "delete": {
                "operationId": "delete_customer",
                "summary": "Say that a customer is deleted",
                "description": "Also of one who was never sent, so that an older record does not bring them. Needs "
                "the scope `intake:SOURCE`.",
                "security": [{"bearer": []}],
                "parameters": [source, _REMOTE_ID, _version()],
                "responses": {
                    "200": _answer(RecordResult, "Applied, or older than what is known."),
                    **_problems("The version is missing or wrong; `errors` says how.", without=_OF_BODIES),
                },
            },
        },
        _PATH: {
            "post": {
                "operationId": "post_customers",
                "summary": f"Send up to {MAX_CUSTOMERS:,} customers",
                "description": "Each is applied whole or not at all, and has a result. Needs the scope "
                "`intake:SOURCE`, or a signature.",
                "security": [{"bearer": []}, {"signature": []}],
                "parameters": [source],
                "requestBody": _body(PushedCustomers),
                "responses": {
                    "200": _answer(BatchResult, "The result of each, in the order in which they were sent."),
                    **_problems(f"Not of this form, or more than {MAX_CUSTOMERS:,}; nothing was applied."),
                },
            }
        },
    }


def _version() -> dict[str, Any]:
    described = DeleteQuery.model_json_schema()["properties"]["version"]
    schema = {key: value for key, value in described.items() if key not in ("title", "description")}
    return {
        "name": "version",
        "in": "query",
        "required": True,
        "description": described["description"],
        "schema": schema,
    }


def _body(model: type[BaseModel]) -> dict[str, Any]:
    return {"required": True, "content": {JSON: {"schema": _reference(model)}}}


def _answer(model: type[BaseModel], meaning: str) -> dict[str, Any]:
    return {"description": meaning, "content": {JSON: {"schema": _reference(model)}}}


def _problems(of_422: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {"description": meaning, "content": {MIMETYPE: {"schema": schema}}}
        for status, meaning in sorted([*_PROBLEMS.items(), ("422", of_422)])
        if status not in without
    }


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
