"""Customers that a source sends over HTTP: who may, what becomes of each, and what is refused."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from enrich import errors
from enrich.accounts.tokens import ApiTokens
from enrich.api import intake, views
from enrich.api.intake_models import (
    MAX_CUSTOMERS,
    ListedPushedCustomer,
    PushedCase,
    PushedCustomer,
    SinglePushedCustomer,
)
from enrich.customers.export import export
from enrich.customers.fixture_rows import CASE_FIELDS
from enrich.customers.push_intake import PushIntake
from enrich.customers.source_tables import QuarantineRow, SourceRecordRow
from enrich.database.engine import Database
from enrich.domain.lengths import MAX_INTAKE_BYTES
from tests.support.app import services_of
from tests.support.fixtures import MakeApp
from tests.support.waiting import wait_until
from tests.support.webhooks import SECRET, signed

SOURCES = """
[sources.shop]
kind = "push"
secret_env = "SHOP_WEBHOOK_SECRET"

[sources.desk]
kind = "push"

[sources.erp]
kind = "sql"
url_env = "ERP_URL"
person = { table = "customers", key = "id", name = "name" }
"""
ADA = {"version": 1, "name": "Ada", "phones": ["+1 415 555 0100"]}
NO_PHONE = {"phones": ["12"]}


@pytest.fixture
def app(make_app: MakeApp, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Flask:
    path = tmp_path / "sources.toml"
    path.write_text(SOURCES)
    monkeypatch.setenv("SHOP_WEBHOOK_SECRET", SECRET)
    return make_app(DATABASE_URL=database_url, ENRICH_SOURCES=str(path))


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


@dataclass
class Sender:
    """A system that sends its customers. token: "" for none."""

    app: Flask
    token: str
    source: str = "shop"

    def send(self, method: str, path: str = "", body: Any = None, **headers: str) -> TestResponse:
        """Send a body, JSON unless it is bytes."""
        given = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method != "DELETE":
            given["Content-Type"] = "application/json"
        return self.app.test_client().open(
            f"/api/v1/sources/{self.source}/customers{path}",
            method=method,
            data=body if isinstance(body, bytes) else None if body is None else json.dumps(body),
            headers=given | headers,
        )

    def put(self, remote_id: str, **values: Any) -> TestResponse:
        return self.send("PUT", f"/{remote_id}", ADA | values)

    def delete(self, remote_id: str, version: object) -> TestResponse:
        return self.send("DELETE", f"/{remote_id}?version={version}")

    def post(self, *customers: Any) -> TestResponse:
        return self.send("POST", "", {"customers": customers})


def make_sender(app: Flask, *scopes: str, source: str = "shop") -> Sender:
    name = f"{source} {scopes}"
    added = ApiTokens(services_of(app).database).add(name=name, scopes=scopes, now=datetime.now(UTC))
    assert added
    return Sender(app, added[1], source)


@pytest.fixture
def shop(app: Flask) -> Sender:
    return make_sender(app, "intake:shop")


def stored(database: Database) -> dict[str, Any]:
    """Return name, numbers and company of the customers who are there, by id."""
    return {one["id"]: (one["name"], one.get("phones", [])) for one in export(database) if one["name"]}


def outcome(response: TestResponse) -> tuple[int, str]:
    answer = response.get_json()
    return response.status_code, answer.get("outcome") or answer["reason"]


# --- what becomes of a record


class TestOne:
    def test_it_is_created_changed_and_left_as_it_is(self, shop: Sender, database: Database) -> None:
        created = shop.put("17")
        assert created.status_code == 201
        assert created.mimetype == "application/json"
        assert created.get_json() == {"id": "17", "outcome": "created", "errors": []}
        assert outcome(shop.put("17")) == (200, "unchanged")
        assert outcome(shop.put("17", version=2, phones=[])) == (200, "changed")
        assert outcome(shop.put("17")) == (200, "older")
        assert stored(database) == {"shop:17": ("Ada", [])}

    def test_a_deletion_keeps_older_records_out(self, shop: Sender, database: Database) -> None:
        assert outcome(shop.delete("17", 5)) == (200, "deleted")
        assert outcome(shop.delete("17", 5)) == (200, "unchanged")
        assert outcome(shop.put("17", version=4)) == (200, "older")
        assert outcome(shop.put("17", version="6")) == (200, "changed")
        assert outcome(shop.delete("17", "2026-11-28T12:00:00Z")) == (200, "deleted")
        assert outcome(shop.put("17", version="2026-11-28T11:59:59Z")) == (200, "older")
        (row,) = database.read(select(SourceRecordRow.state, SourceRecordRow.version))
        assert tuple(row) == ("archived", 1_795_867_200_000_000)

    def test_one_wrong_value_and_it_is_in_quarantine_until_it_is_mended(self, shop: Sender, database: Database) -> None:
        shop.put("17")
        response = shop.put("17", version=2, name="Eve", **NO_PHONE)
        assert outcome(response) == (422, "quarantined")
        assert response.mimetype == "application/problem+json"
        (error,) = response.get_json()["errors"]
        assert error["field"] == "phones[0]"
        assert error["detail"]
        assert stored(database) == {"shop:17": ("Ada", ["+1 415 555 0100"])}
        (row,) = database.read(select(QuarantineRow.remote_id, QuarantineRow.field, QuarantineRow.fields))
        assert (row.remote_id, row.field, row.fields["name"]) == ("17", "phones", "Eve")
        assert outcome(shop.put("17", version=0)) == (200, "older")
        assert database.read(select(QuarantineRow.remote_id))
        assert outcome(shop.put("17", version=3, name="Eve")) == (200, "changed")
        assert not database.read(select(QuarantineRow.remote_id))

    def test_other_states(self, shop: Sender, database: Database) -> None:
        for remote_id in ("1", "2", "3"):
            shop.put(remote_id)
        assert outcome(shop.send("PUT", "/1", {"version": 2, "state": "merged", "into": "2"})) == (200, "deleted")
        assert outcome(shop.send("PUT", "/3", {"version": 1, "state": "erased"})) == (200, "deleted")
        assert outcome(shop.put("3", version=9)) == (200, "older")
        rows = database.read(select(SourceRecordRow.remote_id, SourceRecordRow.state, SourceRecordRow.into_remote_id))
        assert {tuple(row) for row in rows} == {("1", "merged", "2"), ("2", "live", None), ("3", "erased", None)}

    @pytest.mark.parametrize("remote_id", ["a b", "ü", "a/b", "a//b/", "..a", "%", "?", "x" * 128, "whatsapp:+1"])
    def test_any_id_fits_into_the_address(self, shop: Sender, database: Database, remote_id: str) -> None:
        from urllib.parse import quote

        assert shop.put(quote(remote_id, safe="")).get_json()["id"] == remote_id
        assert database.read(select(SourceRecordRow.remote_id))[0][0] == remote_id

    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("/17", {"id": "18"} | ADA, "id"),
            ("/" + "x" * 129, ADA, "remote_id"),
            ("/%00", ADA, "remote_id"),
            ("/17", [ADA], "body"),
            ("/17", None, "body"),
        ],
    )
    def test_what_cannot_be_kept_is_invalid(
        self, shop: Sender, database: Database, path: str, body: Any, field: str
    ) -> None:
        response = shop.send("PUT", path, json.dumps(body).encode())
        assert outcome(response) == (422, "invalid")
        assert [error["field"] for error in response.get_json()["errors"]] == [field]
        assert not database.read(select(QuarantineRow.remote_id))

    def test_the_id_may_be_repeated_in_the_body(self, shop: Sender) -> None:
        assert outcome(shop.put("17", id="17")) == (201, "created")
        assert outcome(shop.put("17", id=17)) == (200, "unchanged")

    @pytest.mark.parametrize(
        "query",
        ["", "?version=", "?version=soon", "?version=1&version=2", "?version=1&x=2", "?version=2126-11-28T12:00:00Z"],
    )
    def test_a_deletion_needs_a_version(self, shop: Sender, database: Database, query: str) -> None:
        response = shop.send("DELETE", f"/17{query}")
        assert outcome(response) == (422, "invalid")
        assert response.get_json()["errors"][0]["field"] in {"version", "x"}
        assert not database.read(select(SourceRecordRow.remote_id))


class TestSeveral:
    def test_each_has_its_result_in_their_order(self, shop: Sender, database: Database) -> None:
        shop.post({"id": "1"} | ADA, {"id": "2"} | ADA)
        response = shop.post(
            {"id": "2", "version": 2, "state": "archived"},
            {"id": 1} | ADA | {"version": 0},
            {"id": "3"} | ADA | NO_PHONE,
            {"id": "4"} | ADA,
            {"id": "1"} | ADA,
            {"id": ""} | ADA,
            "5",
            {"id": "6"} | ADA | {"name": "Eve"},
        )
        assert response.status_code == 200
        answer = response.get_json()
        assert [(result["id"], result["outcome"]) for result in answer["results"]] == [
            ("2", "deleted"),
            ("1", "older"),
            ("3", "quarantined"),
            ("4", "created"),
            ("1", "unchanged"),
            ("", "refused"),
            ("", "refused"),
            ("6", "created"),
        ]
        assert answer["counts"] == {
            "deleted": 1,
            "older": 1,
            "quarantined": 1,
            "created": 2,
            "unchanged": 1,
            "refused": 2,
        }
        assert [error["field"] for error in answer["results"][2]["errors"]] == ["phones[0]"]
        assert [error["field"] for error in answer["results"][5]["errors"]] == ["id"]
        assert stored(database).keys() >= {"shop:1", "shop:4", "shop:6"}

    def test_none_is_fine(self, shop: Sender) -> None:
        assert shop.post().get_json() == {"counts": {}, "results": []}

    def test_a_thousand_are_taken_and_one_more_is_not(self, shop: Sender, database: Database) -> None:
        many = [{"id": str(number)} | ADA for number in range(MAX_CUSTOMERS + 1)]
        refused = shop.post(*many)
        assert outcome(refused) == (422, "invalid")
        assert not database.read(select(SourceRecordRow.remote_id))
        assert shop.post(*many[:-1]).get_json()["counts"] == {"created": MAX_CUSTOMERS}

    @pytest.mark.parametrize(
        ("body", "status", "reason"),
        [
            (b"", 400, "not_json"),
            (b'{"customers": [', 400, "not_json"),
            (b'{"customers": [{"id": "1", "version": 1, "name": "Ada"}', 400, "not_json"),
            (b'{"customers": [{"id": "1", "version": 1, "name": "Ada"}]} x', 400, "not_json"),
            (b'{"customers": [\xff]}', 400, "not_json"),
            (b'{"customers": [' + b"[" * 100_000, 400, "not_json"),
            (b'{"customers": [' + b"1" * 5_000 + b"]}", 400, "not_json"),
            (b"7", 422, "invalid"),
            (b'{"customer": []}', 422, "invalid"),
            (b'{"customers": {}}', 422, "invalid"),
        ],
        ids=str,
    )
    def test_of_what_cannot_be_read_to_its_end_nothing_is_applied(
        self, shop: Sender, database: Database, body: bytes, status: int, reason: str
    ) -> None:
        response = shop.send("POST", "", body)
        assert outcome(response) == (status, reason)
        assert response.mimetype == "application/problem+json"
        assert not database.read(select(SourceRecordRow.remote_id))

    def test_a_mark_of_the_byte_order_is_read_over(self, shop: Sender) -> None:
        body = {"customers": [{"id": "1"} | ADA]}
        assert shop.send("POST", "", json.dumps(body).encode("utf-8-sig")).get_json()["counts"] == {"created": 1}
        assert shop.send("PUT", "/1", json.dumps(ADA).encode("utf-8-sig")).status_code == 200

    def test_hostile_values_stay_within_their_record(self, shop: Sender, database: Database) -> None:
        body = (
            b'{"customers": [{"id": "1", "version": 1, "name": NaN, "ids": {"a\\u0000\\ud800": 1}, "_": "\\ud800"},'
            b' {"id": "2\\u0000"}, {"id": "3\\ud800"}, {"id": "4", "version": 1, "name": "Ada"}]}'
        )
        response = shop.send("POST", "", body)
        assert response.get_json()["counts"] == {"quarantined": 1, "refused": 2, "created": 1}
        assert len(database.read(select(QuarantineRow.remote_id))) == 1


# --- who may


class TestWhoMay:
    def test_without_a_valid_token_nothing_is_said(self, app: Flask) -> None:
        for token in ("", "x", "enrich_" + "0" * 64):
            for source in ("shop", "erp", "nowhere"):
                response = Sender(app, token, source).put("17")
                assert outcome(response) == (401, "unauthorized")
                assert response.headers["WWW-Authenticate"].startswith("Bearer")

    def test_another_scope_is_not_enough(self, app: Flask) -> None:
        response = make_sender(app, "intake:desk", "lookup", "read", source="shop").put("17")
        assert outcome(response) == (403, "insufficient_scope")
        assert 'scope="intake:shop"' in response.headers["WWW-Authenticate"]

    @pytest.mark.parametrize("source", ["a%0D%0ASet-Cookie:b", "shop%20intake:desk", "x" * 40, "SHOP", "%C3%BC"])
    def test_what_is_no_name_of_a_source_is_no_scope_either(self, app: Flask, source: str) -> None:
        response = make_sender(app, "intake:desk", source=source).put("17")
        assert outcome(response) == (403, "insufficient_scope")
        assert response.headers["WWW-Authenticate"].endswith('scope="intake"')

    def test_a_token_may_have_several_sources(self, app: Flask) -> None:
        for source in ("shop", "desk"):
            sender = make_sender(app, "intake:desk", "intake:shop", source=source)
            assert sender.put("17").status_code == 201

    @pytest.mark.parametrize("source", ["erp", "nowhere", "file"])
    def test_only_a_source_of_this_kind_is_there(self, app: Flask, source: str) -> None:
        sender = make_sender(app, f"intake:{source}", source=source)
        assert outcome(sender.put("17")) == (404, "no_such_source")
        assert outcome(sender.delete("17", 1)) == (404, "no_such_source")
        assert outcome(sender.post()) == (404, "no_such_source")

    def test_the_token_is_no_password(self, app: Flask, shop: Sender) -> None:
        from base64 import b64encode

        basic = b64encode(f"shop:{shop.token}".encode()).decode()
        response = Sender(app, "").send("PUT", "/17", ADA, Authorization=f"Basic {basic}")
        assert outcome(response) == (401, "unauthorized")

    def test_its_use_is_noted(self, shop: Sender, database: Database) -> None:
        shop.put("17")
        wait_until(lambda: ApiTokens(database).list_all()[0].last_used_at is not None, within_s=5)


class TestSigned:
    BODY = json.dumps({"customers": [{"id": "1"} | ADA]}).encode()

    def test_a_source_with_a_secret_may_sign(self, app: Flask, database: Database) -> None:
        sender = Sender(app, "")
        response = sender.send("POST", "", self.BODY, **signed(self.BODY))
        assert response.get_json()["counts"] == {"created": 1}
        again = sender.send("POST", "", self.BODY, **signed(self.BODY))
        assert again.get_json()["counts"] == {"unchanged": 1}  # a repetition is harmless
        assert stored(database).keys() == {"shop:1"}

    @pytest.mark.parametrize(
        "headers",
        [
            signed(BODY, message_id="other") | {"Webhook-Id": "this"},
            signed(b"{}"),
            {"Webhook-Signature": "v1,x"},
        ],
    )
    def test_a_wrong_signature_is_401(
        self, app: Flask, database: Database, headers: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        assert outcome(Sender(app, "").send("POST", "", self.BODY, **headers)) == (401, "unauthorized")
        assert not database.read(select(SourceRecordRow.remote_id))
        assert "intake refused" in caplog.text

    @pytest.mark.parametrize("source", ["desk", "erp", "nowhere"])
    def test_of_a_source_without_a_secret_nothing_signed_is_taken(self, app: Flask, source: str) -> None:
        response = Sender(app, "", source).send("POST", "", self.BODY, **signed(self.BODY))
        assert outcome(response) == (401, "unauthorized")

    def test_a_secret_that_is_missing_lets_nobody_in(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("SHOP_WEBHOOK_SECRET", "")
        response = Sender(app, "").send("POST", "", self.BODY, **signed(self.BODY))
        assert outcome(response) == (401, "unauthorized")
        assert any("is not set" in str(getattr(record, "detail", "")) for record in caplog.records)

    @pytest.mark.parametrize(("method", "path"), [("PUT", "/1"), ("DELETE", "/1?version=2")])
    def test_what_does_not_say_itself_whose_it_is_cannot_be_signed(self, app: Flask, method: str, path: str) -> None:
        """The address is not part of what is signed."""
        body = b"" if method == "DELETE" else json.dumps(ADA).encode()
        response = Sender(app, "").send(method, path, body or None, **signed(body))
        assert outcome(response) == (401, "unauthorized")


# --- HTTP


class TestHttp:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Content-Type": "application/x-www-form-urlencoded"},
            {"Content-Type": ""},
            {"Content-Type": "text/plain"},
            {"Content-Encoding": "gzip"},
        ],
    )
    def test_another_type_is_415(self, shop: Sender, headers: dict[str, str]) -> None:
        assert outcome(shop.send("PUT", "/17", ADA, **headers)) == (415, "unsupported_media_type")
        assert outcome(shop.send("POST", "", {"customers": []}, **headers)) == (415, "unsupported_media_type")

    def test_json_of_any_name_is_taken(self, shop: Sender) -> None:
        for name in ("application/json; charset=utf-8", "application/vnd.shop+json"):
            assert shop.send("PUT", "/17", ADA, **{"Content-Type": name}).status_code in {200, 201}

    @pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
    def test_a_body_of_the_limit_is_read(self, shop: Sender, more: int, status: int) -> None:
        body = b'{"customers": []}'
        response = shop.send("POST", "", body + b" " * (MAX_INTAKE_BYTES - len(body) + more))
        assert response.status_code == status

    def test_methods_and_addresses(self, shop: Sender) -> None:
        assert shop.send("GET", "/17").status_code == 405
        assert shop.send("POST", "/17", ADA).status_code == 405
        assert shop.send("PUT", "", ADA).status_code == 405
        assert shop.send("PUT", "/", ADA).status_code == 404
        assert shop.send("PUT", "/17", ADA, Accept="text/html").status_code == 406

    def test_more_than_the_rate_is_429(self, app: Flask, make_app: MakeApp, database_url: str) -> None:
        token = make_sender(app, "intake:shop").token
        slow = make_app(
            DATABASE_URL=database_url, ENRICH_API_RATE="1", ENRICH_SOURCES=str(services_of(app).settings.sources)
        )
        body = TestSigned.BODY
        with_token = [Sender(slow, token).put("17") for _ in range(6)]
        with_signature = [Sender(slow, "").send("POST", "", body, **signed(body)) for _ in range(6)]
        for responses in (with_token, with_signature):
            limited = [response for response in responses if response.status_code == 429]
            assert limited
            assert limited[0].headers["Retry-After"] == "1"

    def test_it_gives_way_to_callbacks(self, app: Flask, shop: Sender) -> None:
        admission = services_of(app).admission
        while not admission.refused_low_priority(0.0):
            pass
        response = shop.put("17")
        assert outcome(response) == (503, "overload")
        assert response.headers["Retry-After"] == "1"
        admission.leave_low_priority()
        assert [shop.put("17").status_code, shop.put("17").status_code] == [201, 200]

    def test_bodies_have_places_and_give_them_back(self, app: Flask, shop: Sender) -> None:
        api_app = views.application(services_of(app))
        shop = Sender(api_app, shop.token)
        parts, body = api_app.extensions["enrich.intake"], TestSigned.BODY
        for _ in range(intake.MAX_UNVERIFIED_BODIES):
            parts.unverified.acquire()
        assert outcome(Sender(api_app, "").send("POST", "", body, **signed(body))) == (503, "overload")
        assert shop.put("17").status_code == 201  # who has a token is not concerned
        for _ in range(intake.MAX_BODIES):
            parts.bodies.acquire()
        assert outcome(shop.put("17")) == (503, "overload")
        for places, number in ((parts.unverified, intake.MAX_UNVERIFIED_BODIES), (parts.bodies, intake.MAX_BODIES)):
            places.release(number)
        assert shop.put("17").status_code == 200
        with pytest.raises(ValueError, match="too many"):
            parts.bodies.release()

    def test_without_a_database_it_is_503(
        self, shop: Sender, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise errors.DatabaseUnavailable("no connection")

        monkeypatch.setattr(PushIntake, "apply", fail)
        response = shop.put("17")
        assert outcome(response) == (503, "database_unavailable")
        assert response.headers["Retry-After"]


class TestBrake:
    def test_it_stops_with_a_question_and_nothing_is_lost(self, shop: Sender, database: Database) -> None:
        many = [{"id": str(number)} | ADA for number in range(300)]
        shop.post(*many)
        gone = [{"id": str(number), "version": 2, "state": "archived"} for number in range(50)]
        response = shop.post(*gone, {"id": "299"} | ADA | {"version": 2, "name": "Eve"})
        assert outcome(response) == (503, "brake_applied")
        assert response.headers["Retry-After"] == str(intake.BRAKE_RETRY_S)
        problem = response.get_json()
        assert "of 300 customers would be gone" in problem["detail"] or "of 2" in problem["detail"]
        assert "administrator" in problem["detail"]
        assert stored(database)["shop:299"][0] == "Eve"
        assert outcome(shop.put("298", version=2, name="Eve")) == (200, "changed")


def test_the_log_and_the_metrics_have_nothing_of_the_records(
    app: Flask, shop: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shop.post({"id": "secret-17"} | ADA, {"id": "secret-18"} | ADA | NO_PHONE)
    shop.put("secret-17", version=2, name="Secretive", **NO_PHONE)
    shop.delete("secret-19", 3)
    Sender(app, "", "secret-source").put("17")
    (first, *_) = [record for record in caplog.records if record.getMessage() == "customers received"]
    told = vars(first)
    assert (told["source"], told["outcomes"]) == ("shop", {"created": 1, "quarantined": 1})
    exposed = services_of(app).metrics.exposition({}).decode()
    for text in (caplog.text, " ".join(str(vars(record)) for record in caplog.records), exposed):
        assert "secret" not in text.lower()
        assert "4155550100" not in text
    assert 'enrich_intake_records_total{outcome="created",source="shop"} 1.0' in exposed
    assert 'enrich_intake_records_total{outcome="quarantined",source="shop"} 2.0' in exposed
    assert 'enrich_intake_refused_total{reason="unauthorized",source=""} 1.0' in exposed


def test_the_description_has_the_fields_that_are_read() -> None:
    described = PushedCustomer.model_fields.keys()
    for model in (SinglePushedCustomer, ListedPushedCustomer):
        assert model.model_fields.keys() == described | {"id"}
    assert PushedCase.model_fields.keys() == set(CASE_FIELDS)


@pytest.mark.parametrize("name", sorted(SinglePushedCustomer.model_fields))
def test_every_described_field_is_known(shop: Sender, name: str) -> None:
    value: dict[str, Any] = {"id": "17", "version": 1, "state": "live", "into": None, "phones": [], "emails": []}
    value |= {"notes": [], "cases": [], "ids": {}}
    response = shop.put("17", **{name: value.get(name, "x")})
    assert response.status_code == 201, response.text


def test_the_examples_of_the_description_are_taken(shop: Sender) -> None:
    examples = {name: field.examples[0] for name, field in SinglePushedCustomer.model_fields.items() if field.examples}
    assert outcome(shop.put("17", **examples)) == (201, "created")
