"""Requests and answers of the API: what validates them is what describes them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from enrich.customers.identifiers import ADDRESS, EMAIL, PHONE, STAFF
from enrich.domain.lengths import MAX_IDENTIFIER_KIND_LENGTH, MAX_IDENTIFIER_LENGTH
from enrich.domain.matches import MatchKind, NoMatchReason, Trust

CUSTOMER_ID = "customer_id"
ONE_KEY = "Give exactly one key: phone, email, id, address, or kind with value."
# The kind of the key in each parameter.
KINDS = {"phone": PHONE, "email": EMAIL, "id": CUSTOMER_ID, "address": ADDRESS}
ALL_KEYS = ", ".join((*KINDS, "kind", "value"))

Key = Annotated[str | None, Field(max_length=MAX_IDENTIFIER_LENGTH)]


class LookupQuery(BaseModel):
    """The query of a look-up: exactly one key, and the trust in it."""

    model_config = ConfigDict(extra="forbid")

    phone: Key = Field(None, description="A phone number, national or international.", examples=["+12125550123"])
    email: Key = Field(None, description="An e-mail address.")
    id: Key = Field(None, description="The customer's id.")
    address: Key = Field(
        None,
        description="An address as TaskRouter has it in `from`: a number, `whatsapp:+12125550123`, `client:sam`, "
        "`sip:sam@example.org`.",
    )
    kind: Annotated[str | None, Field(min_length=1, max_length=MAX_IDENTIFIER_KIND_LENGTH)] = Field(
        None, description="With `value`: any kind of id that customers have.", examples=["account_number"]
    )
    value: Key = Field(None, description="With `kind`: the id.")
    trust: Trust | None = Field(
        None,
        description="`verified`: the carrier's number, or what your own flow knows. `claimed`: what somebody typed or "
        "said; the answer is then at most `claimed`. Default: the most that the token allows.",
    )

    @field_validator("kind")
    @classmethod
    def _is_a_kind(cls, kind: str | None) -> str | None:
        if kind is not None and (kind == STAFF or not kind.isprintable()):
            raise ValueError("this is no kind of id")
        return kind

    @model_validator(mode="after")
    def _has_one_key(self) -> LookupQuery:
        named = [name for name in KINDS if getattr(self, name) is not None]
        if (self.kind is None) != (self.value is None) or len(named) + (self.kind is not None) != 1:
            raise ValueError(ONE_KEY)
        return self

    @property
    def key(self) -> tuple[str, str]:
        """Return kind and value of the key."""
        if self.kind is not None:
            return self.kind, self.value or ""
        return next((kind, text) for name, kind in KINDS.items() if (text := getattr(self, name)) is not None)


class LookupCandidate(BaseModel):
    """One customer who may be meant."""

    customer_id: str
    name: str | None = Field(None, description="Absent if the block is configured without names.")


class LookupAnswer(BaseModel):
    """The result of a look-up. `none` is a result, too: 200."""

    match: MatchKind = Field(
        description="`matched`: exactly one customer. `ambiguous`: several on equal evidence. `claimed`: customers, "
        "but the key is only a claim. `none`: nobody; `reason` says why."
    )
    reason: NoMatchReason | None = Field(description="With `none`: why nobody was found.")
    customer_id: str | None = Field(description="With `matched`: the customer's id.")
    name: str | None = Field(description="With `matched`: the customer's name.")
    by: str | None = Field(description="Kind of the key that led there.")
    trust: Trust | None = Field(description="Trust in that key, which can be less than was asked for.")
    candidates: list[LookupCandidate] = Field(description="With `ambiguous` and `claimed`: the first ten.")
    block: dict[str, Any] = Field(description="The block that a task of this caller would get.")
