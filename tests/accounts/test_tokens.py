"""Tokens of other systems: made once, found by their hash, expired, revoked."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select

from enrich.accounts.tables import TokenRow
from enrich.accounts.tokens import (
    FRESH_FOR,
    NOTED_EVERY,
    PATTERN,
    SHOWN_LENGTH,
    ApiTokens,
    name_problem,
    scopes_problem,
)
from enrich.accounts.users import User
from enrich.database.engine import Database
from tests.support.databases import meanwhile

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def tokens(database: Database) -> ApiTokens:
    return ApiTokens(database)


def test_a_token_is_found_by_its_secret_alone(tokens: ApiTokens, dana: User) -> None:
    added = tokens.add(name=" Studio ", scopes=["read", "lookup", "read "], now=NOW, by_user_id=dana.id)
    other = tokens.add(name="IVR", scopes=["lookup"], now=NOW)
    assert added
    assert other
    token, secret = added
    assert re.fullmatch(PATTERN, secret)
    assert secret != other[1]
    assert (token.name, token.scopes, token.prefix) == ("Studio", ("lookup", "read"), secret[:SHOWN_LENGTH])
    assert (token.created_by, other[0].created_by) == (dana.email, "")
    found = tokens.find(secret, NOW)
    assert found
    assert (found.id, found.scopes) == (token.id, token.scopes)
    for wrong in ("", secret[:-1], secret + "0", secret.upper(), f" {secret}", "enrich_" + "0" * 64, "\0", "\ud800"):
        assert tokens.find(wrong, NOW) is None


def test_a_name_that_another_process_adds_meanwhile(tokens: ApiTokens, database: Database, database_url: str) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time, from the question on")
    other = Database(database_url)
    first = partial(ApiTokens(other).add, name="Studio", scopes=["lookup"], now=NOW)
    meanwhile(database, "INSERT INTO api_tokens", first)
    assert tokens.add(name="Studio", scopes=["read"], now=NOW) is None
    other.close()
    assert [token.scopes for token in tokens.list_all()] == [("lookup",)]


def test_only_its_hash_is_stored(tokens: ApiTokens, database: Database) -> None:
    added = tokens.add(name="Studio", scopes=["lookup"], now=NOW)
    assert added
    row = database.read(select(TokenRow.__table__))[0]
    assert row.token_hash == hashlib.sha256(added[1].encode()).hexdigest()
    assert not [value for value in row if added[1][SHOWN_LENGTH:] in str(value)]


@pytest.mark.parametrize(("lasts", "is_found"), [(SECOND, True), (timedelta(0), False), (-SECOND, False), (None, True)])
def test_a_token_ends_when_it_expires(tokens: ApiTokens, lasts: timedelta | None, is_found: bool) -> None:
    later = NOW + timedelta(days=30)
    added = tokens.add(name="Studio", scopes=["lookup"], now=NOW, expires_at=None if lasts is None else later + lasts)
    assert added
    assert (tokens.find(added[1], later) is not None) == is_found
    assert tokens.list_all()[0].state(later) == ("active" if is_found else "expired")


def test_a_revoked_token_stays_in_the_list_and_leaves_its_name(tokens: ApiTokens) -> None:
    added = tokens.add(name="Studio", scopes=["lookup"], now=NOW)
    assert added
    assert tokens.add(name="Studio ", scopes=["read"], now=NOW) is None
    revoked = tokens.revoke(NOW, name="Studio")
    assert revoked
    assert revoked.revoked_at == NOW
    assert tokens.find(added[1], NOW) is None
    assert tokens.revoke(NOW, name="Studio") is None
    again = tokens.add(name="Studio", scopes=["read"], now=NOW)
    assert again
    assert [token.state(NOW) for token in tokens.list_all()] == ["active", "revoked"]
    assert tokens.revoke(NOW, token_id=again[0].id)
    for unknown in (again[0].id, 4711, 2**70):
        assert tokens.revoke(NOW, token_id=unknown) is None


@pytest.mark.parametrize("later", [FRESH_FOR, -SECOND], ids=["a second later", "clock set back"])
def test_a_revoked_token_is_not_found_for_long(tokens: ApiTokens, database: Database, later: timedelta) -> None:
    """Another process revoked it: this one reads a token that it has found once a second."""
    added = tokens.add(name="Studio", scopes=["lookup"], now=NOW)
    assert added
    assert tokens.find(added[1], NOW)
    assert ApiTokens(database).revoke(NOW, name="Studio")
    assert ApiTokens(database).find(added[1], NOW) is None
    assert tokens.find(added[1], NOW)
    for time in (NOW + later, NOW):  # what is revoked is not found again
        assert tokens.find(added[1], time) is None


def test_its_use_is_noted_once_a_minute(tokens: ApiTokens) -> None:
    added = tokens.add(name="Studio", scopes=["lookup"], now=NOW)
    assert added

    def note(now: datetime) -> datetime | None:
        found = tokens.find(added[1], now) if added else None
        assert found
        tokens.note_use(found, now)
        return tokens.list_all()[0].last_used_at

    assert note(NOW) == NOW
    assert note(NOW + NOTED_EVERY - SECOND) == NOW
    assert note(NOW + NOTED_EVERY) == NOW + NOTED_EVERY
    # What another process noted meanwhile is not set back.
    tokens.note_use(added[0], NOW + NOTED_EVERY + SECOND)
    assert tokens.list_all()[0].last_used_at == NOW + NOTED_EVERY


@pytest.mark.parametrize(
    ("scopes", "problem"),
    [
        (["lookup"], ""),
        (["lookup:claimed", "read", "intake:crm-2"], ""),
        ([], "at least one"),
        ([" "], "at least one"),
        (["admin"], "'admin' is no scope"),
        (["intake:"], "is no scope"),
        (["intake:CRM"], "is no scope"),
        ([f"intake:{'x' * 33}"], "is no scope"),
        (["lookup", "lookup:claimed"], "choose one"),
        (["lookup", "read:unmasked"], ""),
        (["read", "read:unmasked"], "choose one"),
        (["read:all"], "is no scope"),
        ([f"intake:{'x' * 28}{number:03}" for number in range(40)], "too many"),
    ],
)
def test_scopes(scopes: list[str], problem: str) -> None:
    assert problem in scopes_problem(scopes)
    assert bool(problem) == bool(scopes_problem(scopes))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 81])
def test_a_name_that_cannot_be_used(name: str) -> None:
    assert name_problem(name)
    assert not name_problem("Studio, main flow")
