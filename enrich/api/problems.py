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


def could_not_look(reason: str) -> Problem:
    """Return the refusal of a look-up that failed, which does not mean that nobody was found."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        reason,
        "The customer database could not be asked. Nothing is known about this key; ask again.",
        headers={"Retry-After": "1"},
    )
