"""`flask tokens`."""

from __future__ import annotations

import logging

import pytest
from flask import Flask

from enrich.accounts.tokens import ApiTokens
from tests.support.app import run_command, services_of


def test_a_token_is_made_listed_and_revoked(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    services = services_of(app)
    store, now = ApiTokens(services.database), services.clock.now
    caplog.set_level(logging.INFO)
    status, output = run_command(app, "tokens", "add", "Studio", "--scope", "lookup", "--scope", "read", "--days", "30")
    assert status == 0, output
    secret = output.splitlines()[-1]
    token = store.find(secret, now())
    assert token
    assert token.scopes == ("lookup", "read")
    assert token.expires_at
    assert (token.expires_at - token.created_at).days == 30
    status, listed = run_command(app, "tokens", "list")
    assert "Studio" in listed
    assert token.prefix in listed
    assert secret not in listed
    assert "active" in listed
    assert run_command(app, "tokens", "revoke", "Studio")[0] == 0
    assert ApiTokens(services.database).find(secret, now()) is None
    assert "revoked" in run_command(app, "tokens", "list")[1]
    assert {"token added", "token revoked"} <= {record.getMessage() for record in caplog.records}
    assert secret not in " ".join(str(vars(record)) for record in caplog.records)


def test_the_help_names_the_scopes(app: Flask) -> None:
    status, output = run_command(app, "tokens", "add", "--help")
    assert status == 0
    words = " ".join(output.split())
    assert "read (personal data masked, as for a viewer), read:unmasked (as for an editor)" in words


def test_a_token_may_last_for_ever(app: Flask) -> None:
    assert run_command(app, "tokens", "add", "Studio", "--scope", "lookup", "--never-expires")[0] == 0
    assert ApiTokens(services_of(app).database).list_all()[0].expires_at is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "Studio", "--scope", "admin"], "no scope"),
        (["add", "Studio"], "--scope"),
        (["add", " ", "--scope", "lookup"], "Enter a name"),
        (["add", "Studio", "--scope", "lookup", "--days", "0"], "--days"),
        (["add", "taken", "--scope", "lookup"], "already"),
        (["revoke", "nobody"], "There is no token"),
    ],
)
def test_what_cannot_be_done_is_said(app: Flask, arguments: list[str], said: str) -> None:
    services = services_of(app)
    assert ApiTokens(services.database).add(name="taken", scopes=["lookup"], now=services.clock.now())
    status, output = run_command(app, "tokens", *arguments)
    assert status != 0
    assert said in output
