"""Bodies and answers of the intake, as they are described.

`PushedCustomer` describes; the values are read by `enrich.customers.pushed_records`, by the rules that files and forms
are read by, which no schema can say. A test keeps both to the same names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from enrich.api.problems import FieldError
from enrich.customers.projection import RecordState
from enrich.customers.pushed_records import parse_version
from enrich.domain.lengths import (
    CUSTOMER_TEXT_LENGTHS,
    MAX_CASE_ID_LENGTH,
    MAX_CASE_STATUS_LENGTH,
    MAX_CASE_SUBJECT_LENGTH,
    MAX_IDENTIFIER_LENGTH,
    MAX_NOTE_LENGTH,
    MAX_REMOTE_ID_LENGTH,
)
from enrich.domain.outcomes import IntakeOutcome

MAX_CUSTOMERS = 1_000

RemoteId = Annotated[str, Field(min_length=1, max_length=MAX_REMOTE_ID_LENGTH)]
Version = Annotated[int, Field(ge=-(2**63), lt=2**63)] | datetime
Value = Annotated[str, Field(max_length=MAX_IDENTIFIER_LENGTH)]


def _text(name: str, description: str, **more: Any) -> Any:
    return Field(None, max_length=CUSTOMER_TEXT_LENGTHS[name], description=description, **more)


class PushedCase(BaseModel):
    """One case of a customer."""

    id: Annotated[str, Field(max_length=MAX_CASE_ID_LENGTH)]
    subject: Annotated[str | None, Field(max_length=MAX_CASE_SUBJECT_LENGTH)] = None
    status: Annotated[str, Field(max_length=MAX_CASE_STATUS_LENGTH)]
    opened_on: str | None = Field(None, description="A date.", examples=["2026-11-02"])


class PushedCustomer(BaseModel):
    """One customer as a whole: what is missing is empty. Names that begin with `_` are left aside."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"patternProperties": {"^_": {}}})

    version: Version = Field(
        description="A time (RFC 3339, with an offset) or a whole number that grows: of two records of one id the "
        "higher one counts. Keep to one of the two. A time may lie five minutes ahead at most."
    )
    state: RecordState = Field(
        RecordState.LIVE,
        description="`archived`: deleted, or put aside. `purged`: deleted for good. `merged`: into the record that "
        "`into` names. `erased`: nothing of it may be kept, and no version brings it back. Of a record that is not "
        "`live` no other field is read.",
    )
    into: RemoteId | None = Field(None, description="With `merged`: the id of the record that it is part of.")
    name: str | None = _text("name", "Required of a `live` record.", examples=["Sam Rivera"])
    company: str | None = _text("company", "Name of their company.")
    tier: str | None = _text("tier", "Any word.", examples=["gold"])
    language: str | None = _text("language", "A BCP 47 tag.", examples=["en"])
    owner: str | None = _text("owner", "Who looks after them, as an e-mail address or a name.")
    phones: list[Value] = Field([], description="National or international.", examples=[["+1 212 555 0123"]])
    emails: list[Value] = Field([], examples=[["sam@example.org"]])
    ids: dict[str, Value | list[Value]] = Field(
        {}, description="Other ids, by their kind.", examples=[{"account_number": "A-17"}]
    )
    notes: list[Annotated[str, Field(max_length=MAX_NOTE_LENGTH)]] = []
    cases: list[PushedCase] = []


class SinglePushedCustomer(PushedCustomer):
    """One customer as a whole, whose id is in the address."""

    id: RemoteId | None = Field(None, description="Leave it out, or repeat the one in the address.")


class ListedPushedCustomer(PushedCustomer):
    """One customer of several as a whole."""

    id: RemoteId = Field(description="The source's own id.")


class PushedCustomers(BaseModel):
    """Several customers, in any order."""

    customers: list[ListedPushedCustomer] = Field(max_length=MAX_CUSTOMERS)


class DeleteQuery(BaseModel):
    """The query of a deletion."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(
        max_length=40,
        description="Of the deletion, as the version of a customer: a time, or a whole number.",
        examples=["2026-11-28T12:00:00Z"],
    )

    @field_validator("version")
    @classmethod
    def _is_a_version(cls, version: str, _info: ValidationInfo) -> str:
        parse_version(version)
        return version


class RecordResult(BaseModel):
    """The result of one record."""

    id: str = Field(description="As it was sent; empty if there was none.")
    outcome: IntakeOutcome = Field(
        description="`created`, `changed`, `unchanged`, `deleted`: applied. `older`: a newer one is known already. "
        "`quarantined`: something is wrong with it; it is kept aside, and nothing of it was applied. `refused`: it has "
        "no id under which it could be kept."
    )
    errors: list[FieldError] = Field(
        default_factory=list, description="The fields that are wrong. Their texts quote values of the record."
    )


class BatchResult(BaseModel):
    """The result of each record, in the order in which they were sent."""

    counts: dict[IntakeOutcome, int] = Field(description="The number of records by outcome.")
    results: list[RecordResult]
