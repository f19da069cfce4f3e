"""Refusals as problem details (RFC 9457), with a slug in `reason` and the fields that are wrong in `errors`.

Nothing of a request is repeated in them: a key would stand in logs of the system that asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from flask import Response
from pydantic import BaseModel, Field

MIMETYPE = "application/problem+json"
_CHALLENGE = 'Bearer realm="enrich"'


class FieldError(BaseModel):
    """One field that is wrong."""

    field: str = Field(description="Name of the parameter.")
    detail: str


class ProblemDetails(BaseModel):
    """The body of every refusal."""

    type: str = "about:blank"
    title: str = Field(description="The phrase of the status.")
    status: int
    reason: str = Field(description="A short slug that programs can rely on.")
    detail: str
    errors: list[FieldError] = Field(default_factory=list, description="The fields that are wrong.")


@dataclass
class Problem(Exception):
    """A refusal. headers: such as Retry-After."""

    status: HTTPStatus
    reason: str
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return the refusal as a response."""
        details = ProblemDetails(
            title=self.status.phrase,
            status=self.status.value,
            reason=self.reason,
            detail=self.detail,
            errors=list(self.errors),
        )
        return Response(details.model_dump_json() + "\n", self.status, self.headers, mimetype=MIMETYPE)


def unauthorized(error: str = "") -> Problem:
    """Return the refusal of a request without a valid token. error: of RFC 6750, "" if there was no token at all."""
    challenge = _CHALLENGE + (f', error="{error}"' if error else "")
    detail = "Send a valid token: Authorization: Bearer enrich_…"
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def insufficient_scope(detail: str, scope: str, *wrong: FieldError) -> Problem:
    """Return the refusal of a token that may not do this. scope: one that may."""
    challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'
    return Problem(HTTPStatus.FORBIDDEN, "insufficient_scope", detail, wrong, {"WWW-Authenticate": challenge})


def invalid(wrong: Sequence[FieldError]) -> Problem:
    """Return the refusal of a request whose parameters are wrong."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "A parameter is wrong.", wrong)


def unavailable(reason: str, detail: str) -> Problem:
    """Return the refusal of a request that may succeed if it is sent again in a second."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, reason, detail, headers={"Retry-After": "1"})
