"""The token of a task's card, and its place in the block."""

from __future__ import annotations

import json

import pytest

from enrich.customers import card_token
from enrich.customers.block import BlockShape, compose, with_card
from enrich.domain.matches import (
    Ambiguous,
    Candidate,
    Claimed,
    Customer,
    LookupKey,
    Matched,
    NoMatch,
    NoMatchReason,
    Trust,
)

KEY = card_token.key_of("not-a-real-key-for-tests")
SID = "WT" + "0" * 32
PHONE = LookupKey("phone", "+14155550100", Trust.VERIFIED, "from")
TYPED = LookupKey("email", "ada@example.com", Trust.CLAIMED, "email")
ADA = Matched("C-1001", "Ada Lovelace", PHONE)
TWO = (Candidate("C-1", "Ada", "phone", "1"), Candidate("C-2", "Grace", "phone", "1"))
TOKEN = card_token.token_of(KEY, SID)


def test_a_token_is_always_the_same_and_never_that_of_another_task() -> None:
    assert card_token.token_of(KEY, SID) == TOKEN
    assert len(TOKEN) == 24
    assert card_token.token_of(KEY, "WT" + "1" * 32) != TOKEN
    assert card_token.token_of(card_token.key_of("another"), SID) != TOKEN
    assert card_token.is_valid(KEY, SID, TOKEN)
    assert not card_token.is_valid(KEY, SID, TOKEN[:-1])


@pytest.mark.parametrize(
    "match",
    [ADA, Ambiguous(TWO, PHONE), Claimed(TWO[:1], TYPED), NoMatch(NoMatchReason.NO_SUCH_KEY)],
    ids=lambda match: str(match.kind),
)
def test_every_block_leads_to_the_card_and_gives_it_up_when_room_is_short(match: object) -> None:
    customer = Customer("C-1001", "Ada Lovelace", company="Analytical Engines", notes=("Prefers mornings",))
    blocks = compose(match, customer, BlockShape())  # type: ignore[arg-type]
    versions = with_card(blocks, TOKEN)
    assert versions[0] == blocks[0] | {"card": TOKEN}
    assert "card" not in versions[-1]
    lengths = [len(json.dumps(version)) for version in versions]
    assert lengths == sorted(set(lengths), reverse=True)
    assert all(version.get("trimmed") for version in versions[1:])


def test_the_name_is_kept_longer_than_the_card() -> None:
    versions = with_card(compose(ADA, Customer("C-1001", "Ada Lovelace"), BlockShape()), TOKEN)
    has = [("card" in version, "name" in version) for version in versions]
    assert has == sorted(has, reverse=True)
    assert (False, True) in has
    assert (True, False) not in has
