"""Look-ups over the API: by the rules of the callback, for who may, and recorded."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from enrich import errors
from enrich.accounts import tokens
from enrich.accounts.tokens import ApiTokens
from enrich.api import views
from enrich.database.engine import Database
from enrich.journal.lookups import Lookups
from enrich.journal.tables import EntryRow, LookupRow
from tests.support.app import services_of
from tests.support.databases import seed_customers
from tests.support.fixtures import MakeApp
from tests.support.waiting import wait_until

Ask = Callable[..., TestResponse]
ALL_KEYS = "phone, email, id, address, kind, value"


@pytest.fixture
def app(make_app: MakeApp, database_url: str) -> Flask:
    app = make_app(DATABASE_URL=database_url)
    seed_customers(services_of(app).database)
    return app


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


@pytest.fixture
def make_token(database: Database) -> Callable[..., str]:
    def make(*scopes: str, expires_at: datetime | None = None, name: str = "Studio") -> str:
        added = ApiTokens(database).add(name=name, scopes=scopes, now=datetime.now(UTC), expires_at=expires_at)
        assert added
        return added[1]

    return make


@pytest.fixture
def ask(app: Flask, make_token: Callable[..., str]) -> Ask:
    """Asks with a token of the scope lookup, unless another or none is given."""
    token = make_token("lookup", name="usual")
    client = app.test_client()

    def asked(query: Mapping[str, str] | str, *, secret: str | None = token, **headers: str) -> TestResponse:
        authorization = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        return client.get("/api/v1/lookup", query_string=query, headers=authorization | headers)

    return asked


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"phone": "+1 415 555 0100"}, ("matched", None, "C-1001", "phone")),
        ({"phone": "(415) 555-0100"}, ("matched", None, "C-1001", "phone")),
        ({"email": "ADA@example.com"}, ("matched", None, "C-1001", "email")),
        ({"id": "C-1001"}, ("matched", None, "C-1001", "customer_id")),
        ({"kind": "account_number", "value": "A-17"}, ("matched", None, "C-1001", "account_number")),
        ({"address": "whatsapp:+14155550100"}, ("matched", None, "C-1001", "phone")),
        ({"phone": "+16175550142"}, ("ambiguous", None, None, "phone")),
        ({"phone": "+14155550100", "trust": "claimed"}, ("claimed", None, None, "phone")),
        ({"phone": "+12125550199"}, ("none", "no_such_key", None, None)),
        ({"address": "anonymous"}, ("none", "withheld", None, None)),
        ({"phone": ""}, ("none", "no_key", None, None)),
        ({"phone": "hello"}, ("none", "unknown_form", None, None)),
    ],
    ids=str,
)
def test_it_answers_by_the_rules_of_the_callback(
    ask: Ask, query: dict[str, str], expected: tuple[str | None, ...]
) -> None:
    response = ask(query)
    assert response.status_code == 200, response.text
    answer = response.json
    assert answer
    assert (answer["match"], answer["reason"], answer["customer_id"], answer["by"]) == expected
    assert answer["block"]["match"] == answer["match"]
    assert bool(answer["candidates"]) == (answer["match"] in ("ambiguous", "claimed"))
    assert (answer["name"] == answer["block"].get("name") == "Ada Lovelace") == (answer["match"] == "matched")
    assert answer["trust"] == (answer["block"].get("trust") or answer["trust"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", ALL_KEYS),
        ("phone=1&email=a", ALL_KEYS),
        ("kind=account_number", ALL_KEYS),
        ("value=A-17", ALL_KEYS),
        ("kind=staff&value=WT1", "kind"),
        ("kind=&value=x", "kind"),
        ("kind=a%00b&value=x", "kind"),
        ("phone=1&phone=2", "phone"),
        ("phone=1&trust=much", "trust"),
        ("phone=1&token=enrich_0", "token"),
        ("phone=" + "1" * 255, "phone"),
    ],
)
def test_a_wrong_parameter_is_named_and_not_repeated(ask: Ask, query: str, field: str) -> None:
    response = ask(query)
    assert response.status_code == 422
    assert response.mimetype == "application/problem+json"
    problem = response.json
    assert problem
    assert [error["field"] for error in problem["errors"]] == [field]
    assert (problem["status"], problem["reason"]) == (422, "invalid")
    assert "enrich_0" not in response.text
    assert "1111" not in response.text


class TestWhoMay:
    def test_without_a_valid_token_nothing_is_said(self, ask: Ask, make_token: Callable[..., str]) -> None:
        expired = make_token("lookup", name="expired", expires_at=datetime.now(UTC) - timedelta(seconds=1))
        for secret in (None, "", "x", "enrich_" + "0" * 64, expired):
            response = ask({"phone": "+14155550100"}, secret=secret)
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert response.mimetype == "application/problem+json"
            assert "C-1001" not in response.text

    def test_a_revoked_token_ends(
        self, ask: Ask, make_token: Callable[..., str], database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tokens, "FRESH_FOR", timedelta(0))  # what it is for: tests/accounts/test_tokens.py
        secret = make_token("lookup")
        assert ask({"phone": "1"}, secret=secret).status_code == 200
        assert ApiTokens(database).revoke(datetime.now(UTC), name="Studio")
        assert ask({"phone": "1"}, secret=secret).status_code == 401

    def test_another_scope_is_not_enough(self, ask: Ask, make_token: Callable[..., str]) -> None:
        response = ask({"phone": "+14155550100"}, secret=make_token("read", "intake:crm"))
        assert response.status_code == 403
        assert (response.json or {})["reason"] == "insufficient_scope"

    def test_the_scope_bounds_the_trust(self, ask: Ask, make_token: Callable[..., str]) -> None:
        secret = make_token("lookup:claimed")
        for query in ({"phone": "+14155550100"}, {"phone": "+14155550100", "trust": "claimed"}):
            assert (ask(query, secret=secret).json or {})["match"] == "claimed"
        refused = ask({"phone": "+14155550100", "trust": "verified"}, secret=secret)
        assert refused.status_code == 403
        assert (refused.json or {})["errors"][0]["field"] == "trust"

    def test_the_token_may_be_the_password_of_basic_authentication(
        self, ask: Ask, make_token: Callable[..., str]
    ) -> None:
        """Twilio Studio sends nothing else."""
        credentials = base64.b64encode(f"studio:{make_token('lookup')}".encode()).decode()
        response = ask({"phone": "+14155550100"}, secret=None, Authorization=f"Basic {credentials}")
        assert (response.json or {})["match"] == "matched"
        for wrong in ("Basic !", "Digest a=b", "Bearer", "enrich_", "Negotiate abc"):
            assert ask({"phone": "1"}, secret=None, Authorization=wrong).status_code == 401

    def test_a_token_in_the_address_does_not_count(self, ask: Ask, make_token: Callable[..., str]) -> None:
        secret = make_token("lookup")
        assert ask({"phone": "1", "access_token": secret}, secret=None).status_code == 401


class TestHttp:
    def test_every_response_has_the_headers(self, app: Flask, ask: Ask) -> None:
        client = app.test_client()
        for response in (ask({"phone": "1"}), ask(""), client.get("/api/"), client.get("/api/v1/openapi.json")):
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Strict-Transport-Security"]
            assert "Set-Cookie" not in response.headers

    @pytest.mark.parametrize(
        ("method", "path", "headers", "status"),
        [
            ("GET", "/api/v1/nowhere", {}, 404),
            ("GET", "/api/", {}, 404),
            ("POST", "/api/v1/lookup", {}, 405),
            ("OPTIONS", "/api/v1/lookup", {}, 405),
            ("GET", "/api/v1/lookup", {"Accept": "text/html"}, 406),
            ("GET", "/api/v1/lookup", {"Content-Length": "9000"}, 413),
        ],
    )
    def test_refusals_are_problem_details(
        self, app: Flask, method: str, path: str, headers: dict[str, str], status: int
    ) -> None:
        body = b"x" * int(headers.get("Content-Length", 0))
        response = app.test_client().open(path, method=method, headers=headers, data=body)
        assert response.status_code == status
        assert response.mimetype == "application/problem+json"
        assert (response.json or {})["status"] == status
        assert status != 405 or "GET" in response.headers["Allow"]

    def test_more_than_the_rate_is_429_and_another_token_is_not_concerned(
        self, make_app: MakeApp, database_url: str, make_token: Callable[..., str]
    ) -> None:
        first, second = make_token("lookup", name="first"), make_token("lookup", name="second")
        client = make_app(DATABASE_URL=database_url, ENRICH_API_RATE="1").test_client()

        def asked(secret: str) -> TestResponse:
            return client.get("/api/v1/lookup?phone=1", headers={"Authorization": f"Bearer {secret}"})

        limited = [response for response in (asked(first) for _ in range(10)) if response.status_code == 429]
        assert limited
        assert limited[0].headers["Retry-After"] == "1"
        assert (limited[0].json or {})["reason"] == "rate_limited"
        assert asked(second).status_code == 200

    def test_it_gives_way_to_callbacks(self, app: Flask, ask: Ask) -> None:
        admission = services_of(app).admission
        while not admission.refused_low_priority(0.0):
            pass
        response = ask({"phone": "+14155550100"})
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert (response.json or {})["reason"] == "overload"
        assert admission.refused(0.0) == ""
        admission.leave()
        admission.leave_low_priority()
        for _ in range(2):  # each leaves again
            assert ask({"phone": "+14155550100"}).status_code == 200

    def test_it_waits_for_a_place_among_the_look_ups_and_not_for_long(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch, make_token: Callable[..., str]
    ) -> None:
        monkeypatch.setattr(views, "PLACE_WAIT_S", 0.0)
        application = views.application(services_of(app))
        headers = {"Authorization": f"Bearer {make_token('lookup')}"}
        places = application.extensions["enrich.api"].lookup_places
        while places.acquire(0.0):
            pass
        response = application.test_client().get("/api/v1/lookup?phone=1", headers=headers)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert (response.json or {})["reason"] == "overload"
        places.release()
        for _ in range(2):  # each gives its place back
            assert application.test_client().get("/api/v1/lookup?phone=1", headers=headers).status_code == 200

    def test_could_not_look_is_not_nobody(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise errors.DatabaseUnavailable("no connection")

        ask({"phone": "+14155550100"})  # the token is known
        monkeypatch.setattr(Database, "read", fail)
        response = ask({"phone": "+14155550100"})
        assert response.status_code == 503
        assert (response.json or {})["reason"] == "database_unavailable"
        assert response.headers["Retry-After"]


def test_each_look_up_is_recorded_without_its_key_and_not_in_the_feed(
    ask: Ask, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ask({"phone": "+14155550100"})
    ask({"email": "nobody@example.org", "trust": "claimed"})
    wait_until(lambda: len(database.read(select(LookupRow.id))) == 2, within_s=5)
    first, second = database.read(select(LookupRow.__table__).order_by(LookupRow.id))
    assert (first.key_kind, first.trust, first.match, first.reason) == ("phone", "verified", "matched", "")
    assert first.customer_id == "C-1001"
    assert first.elapsed_ms > 0
    assert (second.key_kind, second.trust, second.match) == ("email", "claimed", "none")
    assert (second.reason, second.customer_id) == ("no_such_key", None)
    assert not [value for value in (*first, *second) if "4155550100" in str(value) or "nobody@" in str(value)]
    wait_until(lambda: ApiTokens(database).list_all()[0].last_used_at is not None, within_s=5)
    assert not database.read(select(EntryRow.id))
    assert "4155550100" not in caplog.text
    assert "nobody@example" not in caplog.text


def test_old_ones_are_pruned(ask: Ask, database: Database) -> None:
    ask({"phone": "1"})
    wait_until(lambda: bool(database.read(select(LookupRow.id))), within_s=5)
    now = datetime.now(UTC)
    assert Lookups(database).prune(now - timedelta(days=1)) == 0
    assert Lookups(database).prune(now + timedelta(seconds=1)) == 1
    assert not database.read(select(LookupRow.id))
