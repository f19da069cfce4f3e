"""Log lines of refused requests: who and from where, in no greater number than somebody can read."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from enrich.accounts import users
from enrich.accounts.attempts import Attempts
from enrich.accounts.tables import Role
from enrich.database.engine import Database
from enrich.telemetry.log_rate_limit import LINES_PER_S, LogRateLimit
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.fixtures import MakeApp


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "enrich")


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """Return the fields of the log lines of this event."""
    return [vars(record) for record in caplog.records if record.getMessage() == event]


def test_what_a_role_forbids_is_logged(
    browser: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    users.set_role(database, EMAIL, Role.VIEWER)
    assert browser.post("/staff", data={"email": "sam@example.com"}).status_code == 403
    (line,) = lines(caplog, "request refused")
    user = users.find(database, EMAIL)
    assert user
    assert (line["reason"], line["user_id"], line["address"]) == ("forbidden", user.id, "127.0.0.1")
    assert line["endpoint"] == "staff.add"


def test_a_form_without_its_token_is_logged(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    assert app.test_client().post("/login", data={"email": EMAIL, "password": PASSWORD}).status_code == 400
    (line,) = lines(caplog, "request refused")
    assert (line["reason"], line["address"], line["endpoint"]) == ("csrf", "127.0.0.1", "accounts.sign_in")
    assert "user_id" not in line


def test_attempts_to_sign_in_are_logged_with_their_address_and_no_name(
    stranger: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    for password in ("wrong", PASSWORD):
        stranger.post("/login", data={"email": EMAIL, "password": password})
    (refused,), (signed_in,) = lines(caplog, "sign-in refused"), lines(caplog, "signed in")
    assert (refused["reason"], refused["address"]) == ("wrong_password", "127.0.0.1")
    assert signed_in["address"] == "127.0.0.1"
    assert EMAIL not in repr([refused, signed_in])


def test_a_flood_is_some_lines(app: Flask, stranger: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    app.extensions["enrich"] = replace(services_of(app), refusals=LogRateLimit(lambda: 0.0))
    for _ in range(60):
        last = stranger.post("/login", data={"email": EMAIL, "password": "wrong"})
    assert last.status_code == 429
    reasons = [line["reason"] for line in lines(caplog, "sign-in refused")]
    assert (reasons.count("wrong_password"), reasons.count("too_many_attempts")) == (LINES_PER_S, LINES_PER_S)


@pytest.mark.parametrize(("trusted", "told"), [("0", 1), ("1", 0)])
def test_a_proxy_that_is_not_trusted_is_logged_once_and_found_by_the_doctor(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, trusted: str, told: int
) -> None:
    app = make_app(ENRICH_TRUSTED_PROXIES=trusted)
    client = app.test_client()
    attempts, now = Attempts(services_of(app).database), services_of(app).adapters.now()
    client.get("/healthz")
    assert not attempts.has_untrusted_proxy(now), "nothing was forwarded"
    for _ in range(3):
        client.get("/healthz", headers={"X-Forwarded-For": "192.0.2.1"})
    assert len(lines(caplog, "untrusted proxy")) == told
    assert attempts.has_untrusted_proxy(now) is bool(told)
