"""Customers, tasks and follow-ups over the API: as a viewer sees them or as an editor does, for who may."""

from __future__ import annotations

import json
import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from sqlalchemy import insert, select, text, update

from enrich import errors
from enrich.accounts.tokens import ApiTokens
from enrich.api import reading_views, views
from enrich.customers import search
from enrich.customers.tables import CustomerRow, InteractionRow
from enrich.database.engine import Database
from enrich.journal import feed, listed_followups, timeline
from enrich.journal.reads import Reads
from enrich.journal.tables import EntryRow, FollowupRow, LookupRow, ReadRow
from enrich.telemetry.metrics import READ_OPERATIONS
from tests.support.api import ApiClient
from tests.support.app import PUBLIC_URL, services_of
from tests.support.databases import seed_customers
from tests.support.fixtures import MakeApp
from tests.support.journal import insert_entry
from tests.support.waiting import wait_until

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TASK_SID = "WT" + "1" * 32
PATHS = ["/customers", "/customers/C-1001", "/tasks", f"/tasks/{TASK_SID}", "/followups"]
# Ada Lovelace's.
PERSONAL = ("Lovelace", "4155550100", "415 555 0100", "ada@example.com", "Prefers mornings", "Broken gear", "sold well")


@pytest.fixture
def app(make_app: MakeApp, database_url: str) -> Flask:
    app = make_app(DATABASE_URL=database_url)
    database = services_of(app).database
    seed_customers(database)
    insert_entry(database, kind="warm", task_sid=TASK_SID, received_at=NOW, reservation_sid=None, worker_name="")
    entry_id = insert_entry(database, task_sid=TASK_SID, received_at=NOW + timedelta(minutes=1))
    database.write(
        insert(FollowupRow).values(kind="finished", entry_id=entry_id, created_at=NOW, due_at=NOW, task_sid=TASK_SID)
    )
    database.write(
        insert(InteractionRow).values(task_sid=TASK_SID, customer_id="C-1001", ended_at=NOW, outcome="sold well")
    )
    return app


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


@pytest.fixture
def viewer(app: Flask) -> ApiClient:
    return ApiClient.with_scopes(app, "read")


@pytest.fixture
def editor(app: Flask) -> ApiClient:
    return ApiClient.with_scopes(app, "read:unmasked")


class TestCustomers:
    def test_the_list_has_everybody(self, editor: ApiClient, database: Database) -> None:
        page = editor.get("/customers", limit=500)
        assert len(page["customers"]) == database.read(text("SELECT count(*) FROM customers"))[0][0]
        assert page["next"] is None
        ada = page["customers"][0]
        assert (ada["id"], ada["name"], ada["email"]) == ("C-1001", "Ada Lovelace", "ada@example.com")
        assert (ada["merged_into"], ada["is_gone"]) == (None, False)

    def test_one_is_shown_with_everything(self, editor: ApiClient) -> None:
        ada = editor.get("/customers/C-1001")
        assert (ada["id"], ada["requested_id"], ada["name"]) == ("C-1001", "C-1001", "Ada Lovelace")
        phones = [one for one in ada["identifiers"] if one["kind"] == "phone"]
        assert phones[0]["value"] == "+14155550100"
        assert any("Prefers mornings" in note for note in ada["notes"])
        assert "Broken gear" in str(ada["cases"])
        assert ada["finished_tasks"][0]["outcome"] == "sold well"
        assert [task["task_sid"] for task in ada["tasks"]] == [TASK_SID]

    def test_a_viewer_sees_how_many_there_are_and_not_what_they_say(self, viewer: ApiClient, editor: ApiClient) -> None:
        shown, whole = viewer.get("/customers/C-1001"), editor.get("/customers/C-1001")
        assert shown.keys() == whole.keys()
        assert (shown["name"], shown["id"]) == ("A••• L•••", "C-1001")
        for lists in ("identifiers", "notes", "cases", "finished_tasks", "tasks"):
            assert len(shown[lists]) == len(whole[lists]) > 0
        assert set(shown["notes"]) == {"•••"}
        assert shown["phone"].endswith("00")

    def test_of_a_merged_one_the_customer_they_are_part_of_is_shown(
        self, editor: ApiClient, database: Database
    ) -> None:
        database.write(update(CustomerRow).where(CustomerRow.id == "C-1002").values(merged_into="C-1001"))
        merged = editor.get("/customers/C-1002")
        assert (merged["id"], merged["requested_id"], merged["merged"]) == ("C-1001", "C-1002", ["C-1002"])
        assert merged | {"requested_id": "C-1001"} == editor.get("/customers/C-1001")
        assert {one["id"]: one["merged_into"] for one in editor.get("/customers")["customers"]}["C-1002"] == "C-1001"

    def test_an_id_may_hold_anything(self, editor: ApiClient, database: Database) -> None:
        for customer_id in ("a/b", "50%", "É ü?", "#1"):
            database.write(insert(CustomerRow).values(id=customer_id, name="Kim Novak", updated_at=NOW))
            assert editor.get(f"/customers/{quote(customer_id, safe='')}")["id"] == customer_id


class TestTasks:
    def test_each_has_its_newest_entry(self, editor: ApiClient) -> None:
        (task,) = editor.get("/tasks")["tasks"]
        assert (task["task_sid"], task["arrived_at"]) == (TASK_SID, "2026-11-24T12:00:00Z")
        assert (task["kind"], task["state"], task["outcome"]) == ("assignment", "concluded", "enriched")
        assert (task["match"], task["customer_id"], task["customer_name"]) == ("matched", "C-1001", "Ada Lovelace")
        assert task["finding"]["keys"][0]["value"] == "+14155550100"

    @pytest.mark.parametrize(
        ("since", "until", "count"),
        [
            ("2026-11-24T12:00:00Z", None, 1),
            ("2026-11-24T12:00:01Z", None, 0),
            ("2026-11-24T13:00:00+01:00", None, 1),
            ("2026-11-24", "2026-11-25", 1),
            (None, "2026-11-24T12:00:00", 0),
            ("2026-11-25", "2026-11-24", 0),
        ],
    )
    def test_a_period_is_that_of_the_arrival(
        self, viewer: ApiClient, since: str | None, until: str | None, count: int
    ) -> None:
        assert len(viewer.get("/tasks", since=since, until=until)["tasks"]) == count

    def test_the_entries_of_one_come_in_pages(self, editor: ApiClient) -> None:
        first, second = editor.pages(f"/tasks/{TASK_SID}", limit=1)
        assert first["task_sid"] == second["task_sid"] == TASK_SID
        assert [entry["kind"] for page in (first, second) for entry in page["entries"]] == ["warm", "assignment"]
        entry = second["entries"][0]
        assert entry["attributes_before"] == '{"from":"+14155550100"}'
        assert json.loads(entry["answer"]) == {"instruction": "accept"}
        assert [step["name"] for step in entry["steps"]] == ["look_up", "write"]
        assert [followup["kind"] for followup in first["followups"]] == ["finished"]

    def test_a_viewer_sees_the_structure_of_attributes(self, viewer: ApiClient) -> None:
        entry = viewer.get(f"/tasks/{TASK_SID}")["entries"][-1]
        attributes = json.loads(entry["attributes_after"])
        assert attributes["crm"]["match"] == "matched"
        assert attributes["crm"]["name"] == "A••• L•••"
        assert "415555" not in attributes["from"]

    def test_what_is_in_progress_or_interrupted_says_so(self, viewer: ApiClient, database: Database) -> None:
        for number, received_at in enumerate((datetime.now(UTC), NOW)):
            unfinished = {"concluded_at": None, "outcome": None, "match": None, "elapsed_ms": None}
            insert_entry(database, task_sid=f"WT{number:032}", received_at=received_at, **unfinished)
        states = {task["task_sid"]: task["state"] for task in viewer.get("/tasks")["tasks"]}
        assert states == {f"WT{0:032}": "in_progress", f"WT{1:032}": "interrupted", TASK_SID: "concluded"}

    def test_what_is_stored_in_another_shape_fails_nothing(self, editor: ApiClient, database: Database) -> None:
        hostile = {
            "worker_name": "\ud800\0",
            "finding": {"keys": [{"kind": "\udfff", "value": [1]}], "candidates": [{"customer_id": "\ud83d"}]},
            "decision": {"by": "rule", "name": "\udc00", "passed": [{"\ud800": ["\ud800", 10**400]}]},
            "steps": [{"name": "\ud800", "elapsed_ms": 1, "failed": None}],
            "attributes_before": '{"a":"\\ud800"',
            "attributes_after": "\x7f" * 100,
        }
        insert_entry(database, task_sid=TASK_SID, **hostile)
        insert_entry(database, task_sid=TASK_SID, finding=[1], decision="?", steps={"a": 1})
        assert len(editor.get(f"/tasks/{TASK_SID}")["entries"]) == 4
        assert editor.get("/tasks")["tasks"]


def test_follow_ups_are_listed_by_state(viewer: ApiClient, database: Database) -> None:
    (followup,) = viewer.get("/followups")["followups"]
    assert (followup["state"], followup["kind"], followup["task_sid"]) == ("pending", "finished", TASK_SID)
    assert (followup["attempts"], followup["due_at"]) == (0, "2026-11-24T12:00:00Z")
    assert viewer.get("/followups", state="pending")["followups"] == [followup]
    assert not viewer.get("/followups", state="done")["followups"]
    database.write(update(FollowupRow).values(due_at=None, given_up_at=NOW, last_reason="rate_limited"))
    (followup,) = viewer.get("/followups", state="given_up")["followups"]
    assert (followup["last_reason"], followup["due_at"]) == ("rate_limited", None)


@pytest.mark.parametrize("path", PATHS)
def test_a_viewer_sees_nothing_personal_and_an_editor_does(viewer: ApiClient, editor: ApiClient, path: str) -> None:
    shown, whole = (json.dumps(client.get(path), ensure_ascii=False) for client in (viewer, editor))
    assert not [one for one in PERSONAL if one in shown]
    assert path == "/followups" or [one for one in PERSONAL if one in whole]
    if path == "/customers/C-1001":
        assert all(one in whole for one in ("Lovelace", "4155550100", "ada@example.com", "Prefers", "sold well"))


class TestPages:
    def test_the_next_one_is_in_the_body_and_in_a_header(self, editor: ApiClient, app: Flask) -> None:
        first = editor.send("/customers", {"limit": 2})
        address, relation = first.headers["Link"].split("; ")
        assert relation == 'rel="next"'
        assert address == f"<{PUBLIC_URL}/api/v1/customers?limit=2&cursor={(first.json or {})['next']}>"
        second = editor.send(address.strip("<>").removeprefix(f"{PUBLIC_URL}/api/v1"))
        ids = [one["id"] for response in (first, second) for one in (response.json or {})["customers"]]
        assert ids == [one["id"] for one in editor.get("/customers", limit=4)["customers"]]
        assert "Link" not in editor.send("/customers", {"limit": 500}).headers

    @pytest.mark.parametrize(
        ("path", "query", "field"),
        [
            ("/customers", "limit=0", "limit"),
            ("/customers", "limit=501", "limit"),
            ("/customers", "limit=ten", "limit"),
            ("/customers", "limit=1&limit=2", "limit"),
            ("/customers", "cursor=abc", "cursor"),
            ("/customers", "cursor=", "cursor"),
            ("/customers", "cursor=" + "a" * 1001, "cursor"),
            ("/customers", "updated_since=2026-11-24", "updated_since"),
            ("/customers/C-1001", "limit=1", "limit"),
            ("/tasks", "since=yesterday", "since"),
            ("/tasks", "until=0001-01-01", "until"),
            ("/tasks", "since=1700000000", "since"),
            (f"/tasks/{TASK_SID}", "limit=101", "limit"),
            (f"/tasks/{TASK_SID}", "cursor=%00", "cursor"),
            ("/followups", "state=owed", "state"),
        ],
    )
    def test_a_wrong_parameter_is_named(self, viewer: ApiClient, path: str, query: str, field: str) -> None:
        response = viewer.send(path, query)
        assert response.status_code == 422
        assert response.mimetype == "application/problem+json"
        assert [error["field"] for error in (response.json or {})["errors"]] == [field]

    def test_a_cursor_is_of_one_list_with_its_filters(self, viewer: ApiClient, database: Database) -> None:
        insert_entry(database, task_sid="WT" + "2" * 32)
        cursor = viewer.get("/tasks", limit=1, since="2026-11-01")["next"]
        assert viewer.get("/tasks", limit=2, since="2026-11-01", cursor=cursor)["tasks"]
        for path, query in (
            ("/tasks", {}),
            ("/tasks", {"since": "2026-11-02"}),
            ("/customers", {}),
            ("/followups", {}),
        ):
            assert viewer.send(path, {"cursor": cursor, **query}).status_code == 422


class TestWhoMay:
    @pytest.mark.parametrize("path", PATHS)
    def test_without_the_scope_nothing_is_said(self, app: Flask, path: str) -> None:
        for client in (ApiClient(app, ""), ApiClient(app, "enrich_" + "0" * 64)):
            assert client.send(path).status_code == 401
        response = ApiClient.with_scopes(app, "lookup", "intake:crm").send(path)
        assert response.status_code == 403
        assert 'scope="read"' in response.headers["WWW-Authenticate"]
        assert "C-1001" not in response.text

    @pytest.mark.parametrize("path", ["/customers/C-9999", "/customers/%00", "/tasks/WT1", "/tasks/WT" + "9" * 32])
    def test_what_there_is_none_of_is_404_for_who_may_and_401_for_others(
        self, app: Flask, viewer: ApiClient, path: str
    ) -> None:
        response = viewer.send(path)
        assert (response.status_code, response.mimetype) == (404, "application/problem+json")
        assert (response.json or {})["reason"] == "not_found"
        assert ApiClient(app, "").send(path).status_code == 401

    def test_a_token_reads_what_its_scope_says_and_looks_nobody_up(self, viewer: ApiClient) -> None:
        assert viewer.send("/lookup", {"id": "C-1001"}).status_code == 403


class TestHttp:
    def test_one_at_a_time_reads_and_the_others_wait(
        self, app: Flask, viewer: ApiClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading_views, "READ_S", 0.05)
        api_app = views.application(services_of(app))
        client = ApiClient(api_app, viewer.token)
        with api_app.extensions["enrich.api"].time_slices.turn(1.0):
            response = client.send("/tasks")
            assert (response.status_code, (response.json or {})["reason"]) == (503, "out_of_time")
        assert client.send("/tasks").status_code == 200

    def test_few_wait_so_that_look_ups_have_places(self, app: Flask, viewer: ApiClient) -> None:
        api_app = views.application(services_of(app))
        client = ApiClient(api_app, viewer.token)
        slices = api_app.extensions["enrich.api"].time_slices

        def wait() -> None:
            with slices.turn(10.0):
                pass

        waiting = [threading.Thread(target=wait) for _ in range(reading_views.MAX_READS - 1)]
        with slices.turn(1.0):
            for one in waiting:
                one.start()
            wait_until(lambda: slices.present == reading_views.MAX_READS, within_s=5)
            response = client.send("/tasks")
            assert (response.status_code, (response.json or {})["reason"]) == (503, "overload")
            assert response.headers["Retry-After"] == "1"
        for one in waiting:
            one.join()
        assert client.send("/tasks").status_code == 200

    @pytest.mark.parametrize("path", PATHS)
    def test_reads_are_counted_by_operation_and_result(self, app: Flask, viewer: ApiClient, path: str) -> None:
        metrics, admission = services_of(app).metrics, services_of(app).admission
        viewer.get(path)
        while not admission.refused_low_priority(0.0):
            pass
        viewer.send(path)
        counted = re.findall(r'enrich_reads_total{operation="(\w+)",result="(\w+)"} 1', metrics.exposition({}).decode())
        assert {result for _, result in counted} == {"answered", "shed"}
        (operation,) = {name for name, _ in counted}
        assert operation in READ_OPERATIONS

    @pytest.mark.parametrize("path", PATHS)
    def test_methods_and_formats(self, viewer: ApiClient, path: str) -> None:
        head = viewer.send(path, method="HEAD")
        assert (head.status_code, head.data) == (200, b"")
        for method in ("OPTIONS", "POST", "PUT", "DELETE"):
            assert viewer.send(path, method=method).status_code == 405
        assert viewer.send(path, Accept="text/html").status_code == 406
        assert viewer.send(path).headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("path", PATHS)
    def test_it_gives_way_to_callbacks(self, app: Flask, viewer: ApiClient, path: str) -> None:
        admission = services_of(app).admission
        while not admission.refused_low_priority(0.0):
            pass
        response = viewer.send(path)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        assert (response.json or {})["reason"] == "overload"
        admission.leave_low_priority()
        for _ in range(2):  # each leaves again
            assert viewer.send(path).status_code == 200

    def test_more_than_the_rate_is_429(self, make_app: MakeApp, viewer: ApiClient, database_url: str) -> None:
        slow = ApiClient(make_app(DATABASE_URL=database_url, ENRICH_API_RATE="1"), viewer.token)
        statuses = {slow.send("/followups").status_code for _ in range(10)}
        assert statuses == {200, 429}

    @pytest.mark.parametrize(
        ("path", "module", "function"),
        [
            ("/customers", search, "customers_after"),
            ("/customers/C-1001", search, "customers"),
            ("/tasks", feed, "arrived_ids"),
            (f"/tasks/{TASK_SID}", timeline, "full_entries"),
            ("/followups", listed_followups, "followups_before"),
        ],
    )
    def test_without_the_database_it_is_503(
        self, viewer: ApiClient, monkeypatch: pytest.MonkeyPatch, path: str, module: Any, function: str
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise errors.DatabaseUnavailable("no connection")

        monkeypatch.setattr(module, function, fail)
        response = viewer.send(path)
        assert (response.status_code, (response.json or {})["reason"]) == (503, "database_unavailable")
        assert response.headers["Retry-After"]


def test_each_read_of_personal_data_is_recorded(
    viewer: ApiClient, editor: ApiClient, database: Database, app: Flask
) -> None:
    """Of a customer who was merged, the one who was shown; not what held nothing, and nothing that was masked."""
    database.write(update(CustomerRow).where(CustomerRow.id == "C-1002").values(merged_into="C-1001"))
    for path in PATHS:
        viewer.get(path)
        editor.get(path)
    editor.get("/customers/C-1002")
    editor.get("/tasks", since="2030-01-01")
    assert editor.send("/customers/C-9999").status_code == 404
    wait_until(lambda: len(database.read(select(ReadRow.id))) == 5, within_s=5)
    rows = database.read(select(ReadRow.__table__).order_by(ReadRow.id))
    people = database.read(text("SELECT count(*) FROM customers"))[0][0]
    assert [(row.operation, row.subject, row.number) for row in rows] == [
        ("list_customers", None, people),
        ("get_customer", "C-1001", 1),
        ("list_tasks", None, 1),
        ("get_task", TASK_SID, 2),
        ("get_customer", "C-1001", 1),
    ]
    assert {row.token_id for row in rows} == {ApiTokens(database).list_all()[1].id}
    services_of(app).database.close()
    assert len(database.read(select(ReadRow.id))) == 5


def test_old_records_of_reads_are_pruned(editor: ApiClient, database: Database) -> None:
    editor.get("/customers")
    wait_until(lambda: bool(database.read(select(ReadRow.id))), within_s=5)
    now = datetime.now(UTC)
    assert Reads(database).prune(now - timedelta(days=1)) == 0
    assert Reads(database).prune(now + timedelta(seconds=1)) == 1


def test_the_use_of_the_token_is_noted_and_nothing_personal_is_logged(
    viewer: ApiClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for path in PATHS:
        viewer.get(path)
    wait_until(lambda: ApiTokens(database).list_all()[0].last_used_at is not None, within_s=5)
    assert not [one for one in PERSONAL if one in caplog.text]
    assert not database.read(select(LookupRow.id))
    assert not database.read(select(ReadRow.id))
    assert len(database.read(select(EntryRow.id))) == 2
