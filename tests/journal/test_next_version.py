"""Rows that the next version leaves in the database before a roll-back: unknown values, JSON of other shapes.

This version then shows what it can read, says what it cannot, and does all other work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Column, insert, literal_column, select, update
from sqlalchemy.orm import InstrumentedAttribute

from enrich.accounts import users
from enrich.accounts.tables import Role, UserRow
from enrich.customers import card_token
from enrich.customers.projection import CUSTOMER as STREAM
from enrich.customers.projection import FILE
from enrich.customers.source_tables import DecisionRow, PrecedenceRow, SourceRecordRow, SourceRow, StreamRow
from enrich.customers.tables import AuditCustomerRow, AuditRow, CustomerRow, IdentifierRow
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.journal import rollups
from enrich.journal.tables import EntryRow, FollowupRow, RollupMarkRow, RollupRow, TaskStateRow
from enrich.policy.timeouts import Alarm
from tests.support.app import EMAIL, PASSWORD, SECRET_KEY, run_command, services_of
from tests.support.databases import seed_customers
from tests.support.fixtures import MakeApp
from tests.support.journal import Make

TOKEN = {"Authorization": "Bearer not-a-real-metrics-token"}
UNREADABLE = "This entry cannot be read by this version."
LATER = "n_plus_1"
VALID = "WT" + "a" * 32
CUSTOMER = "C-1001"

# JSON of shapes that this version never writes, by column.
SHAPES: dict[str, list[Any]] = {
    "finding": [[], "text", 7, {"keys": {"phone": "1"}}, {"keys": ["1"]}, {"candidates": [1]}, {"withheld": [{}]}],
    "steps": ["text", {"look_up": 4}, [1], [{"name": "look_up"}], [{"elapsed_ms": "4"}], [{"elapsed_ms": 1e300}]],
    "decision": ["text", [1], {"passed": "Gold"}, {"passed": ["Gold"]}],
    "data": ["text", [1], 7],
    "settled": ["text", [1], {"tier": {"by": "CRM"}}],
    "fields": ["text", [1], {"consents": []}, {"phones": [["phone"]]}, {"name": 7}],
    "value": ["text", [1], {"name": 7}],
    "base": [{"name": 7}],
    "position": ["text", [1], {"digest": 1, "rows": "many"}],
    "removals": ["text", {"records": 1}, [["yesterday"]]],
    "counts": ["text", [1], {"created": "many"}],
    "held": ["text", [1], {"removed": "many", "records": 1, "of_records": 2, "detail": "", "pass": "full"}],
    "shared_kinds": ["text", [1], {"email": True}],
    "placeholders": ["text", [1], {"email": "x"}],
    "sources": ["text", [1], {"erp": 1}],
    "times": ["text", [1], {"fast": 1}, {"3": "many"}],
    "state": [
        "text",
        [1],
        {},
        {"customers": [], "keys": [], "tasks": {}},
        {"customers": {CUSTOMER: {"name": "Ada"}}, "keys": [], "tasks": {}},
        {"customers": {}, "keys": [{"kind": "phone"}], "tasks": {}},
        {"customers": {}, "keys": [], "tasks": {VALID: "C-1001"}},
        {"customers": {}, "keys": [], "tasks": {}, "consents": {}},
    ],
}
# The four customers whose `settled` is unreadable stay as they are: what staff changed of them is not known.
SEEDED = "builtin.json: 0 new, 0 changed, 14 unchanged, 4 partly as edited by staff\n"
NO_STATE: dict[str, Any] = {"customers": {}, "keys": [], "tasks": {}}


@dataclass
class Left:
    """The tasks and the rows of the audit trail that the next version left, by what is odd in them.

    unreadable: the tasks whose entry has JSON of an unknown shape.
    """

    tasks: dict[str, str] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    audits: dict[str, int] = field(default_factory=dict)


@pytest.fixture
def app(make_app: MakeApp, database_url: str) -> Iterator[Flask]:
    app = make_app(
        DATABASE_URL=database_url,
        METRICS_TOKEN="not-a-real-metrics-token",
        ENRICH_FRAME_ANCESTORS="https://flex.example.test",
        TASKROUTER_BASE_URL="http://127.0.0.1:1",
    )
    database = services_of(app).database
    seed_customers(database, datetime.now(UTC))
    users.add(database, email=EMAIL, role=Role.ADMIN, password=PASSWORD, name="Dana Whitfield")
    yield app
    services_of(app).adapters.taskrouter.close()


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


def store_text(database: Database, column: InstrumentedAttribute[Any], row_id: object, of: Any = None) -> None:
    """Store what Python does not read as JSON: none at all or, where the database refuses that, too long a number.

    of: the column by which the row is known, if that is not `id`.
    """
    stored = "'{not JSON'" if database.is_sqlite else f"'{'1' * 5000}'"
    row = column.class_
    is_row = (row.id if of is None else of) == row_id
    database.write(update(row).where(is_row).values({column.key: literal_column(stored)}))


@pytest.fixture
def left(database: Database, make_entry: Make, make_followup: Make) -> Left:
    """A database as it stands after the next version ran and was taken back."""
    left, numbers, now = Left(), count(1), datetime.now(UTC)

    def entry(name: str, **differences: Any) -> int:
        left.tasks[name] = task_sid = f"WT{next(numbers):032x}"
        return make_entry(task_sid=task_sid, reservation_sid=None, **differences)

    for column in ("kind", "outcome", "match", "reason", "by"):
        entry(f"unknown {column}", **{column: LATER})
    entry("unknown trust", trust="vouched")
    entry("unknown event type", kind="event", event_type="task.teleported", outcome=None, match=None)
    entry("unknown trust of a key", finding={"keys": [{"kind": LATER, "value": "x", "trust": LATER, "found": 1}]})
    entry("unknown step", steps=[{"name": LATER, "elapsed_ms": 4.0, "failed": LATER}])
    entry("unknown source of the decision", decision={"by": LATER, "name": "x", "since": 4})
    entry("a new member", finding={"keys": [], "candidates": [], "voiceprint": {"score": 0.8}})
    for column in ("finding", "steps", "decision"):
        for number, shape in enumerate(SHAPES[column]):
            entry(f"{column} {number}", **{column: shape})
        store_text(database, getattr(EntryRow, column), entry(f"{column} unparsable"))
    left.unreadable = {name for name in left.tasks if name.split()[0] in ("finding", "steps", "decision")}

    make_followup(entry("unknown follow-up"), kind=LATER, due_at=now - timedelta(hours=1))
    for number, shape in enumerate(SHAPES["data"]):
        make_followup(entry(f"data {number}"), kind="complete", data=shape)
    store_text(database, FollowupRow.data, make_followup(entry("data unparsable"), kind="hand_over"))
    # No block was written to it, so nothing is restored, and nobody is asked.
    make_followup(
        make_entry(task_sid=VALID, outcome="gone", reservation_sid=None), kind="restore", key=f"restore:{VALID}"
    )

    with database.transaction() as session:
        for name, task_sid in left.tasks.items():
            alarm = LATER if name == "unknown kind" else Alarm.LIMIT
            session.add(TaskStateRow(task_sid=task_sid, alarm=alarm, alarm_since=now, updated_at=now))
        session.add(UserRow(email="kim@example.com", password_hash="x", role="auditor", created_at=now))
        row = RollupRow(span_s=rollups.MINUTE_S, began_at=rollups.begin(now, 60) - timedelta(minutes=9), number=3)
        row.kind, row.outcome, row.match, row.reason, row.times = "assignment", LATER, LATER, LATER, {"3": 3}
        session.add(row)
        session.execute(update(IdentifierRow).where(IdentifierRow.customer_id == CUSTOMER).values(source="import"))
    _add_rollups(database, now)
    _add_audits(database, left, now)
    _unsettle(database)
    _add_sources(database, now)
    return left


def _add_rollups(database: Database, now: datetime) -> None:
    began_at = rollups.begin(now, 60) - timedelta(hours=3)
    database.write(insert(RollupMarkRow).values(span_s=60, until=rollups.begin(now, 60) - timedelta(minutes=5)))
    for number, shape in enumerate(SHAPES["times"]):
        values = {"span_s": 60, "began_at": began_at, "kind": "assignment", "outcome": "enriched", "match": "matched"}
        database.write(insert(RollupRow).values(**values, reason="", number=number, times=shape))
    values = {"span_s": 60, "began_at": began_at, "kind": LATER, "outcome": "failed", "match": ""}
    added = database.write(insert(RollupRow).values(**values, reason=LATER, number=1, times={}).returning(RollupRow.id))
    store_text(database, RollupRow.times, added[0].id)


def _add_audits(database: Database, left: Left, now: datetime) -> None:
    def add(name: str, action: str, before: Any, after: Any) -> int:
        values = {"at": now, "by": "Dana", "action": action, "task_sid": VALID, "customer_id": CUSTOMER}
        adding = insert(AuditRow).values(**values, before=before, after=after).returning(AuditRow.id)
        left.audits[name] = int(database.write(adding)[0].id)
        database.write(insert(AuditCustomerRow).values(audit_id=left.audits[name], customer_id=CUSTOMER))
        return left.audits[name]

    add("unknown action", "{teleported}", NO_STATE, NO_STATE)
    for number, shape in enumerate(SHAPES["state"]):
        add(f"before {number}", "linked", shape, NO_STATE)
        add(f"after {number}", "linked", NO_STATE, shape)
    add("other subjects", "linked", NO_STATE, {"customers": {CUSTOMER: None}, "keys": [], "tasks": {}})
    store_text(database, AuditRow.before, add("before unparsable", "linked", NO_STATE, NO_STATE))
    store_text(database, AuditRow.after, add("after unparsable", "linked", NO_STATE, NO_STATE))


def _unsettle(database: Database) -> None:
    for row, shape in zip(
        database.read(select(CustomerRow.id).order_by(CustomerRow.id)), SHAPES["settled"], strict=False
    ):
        database.write(update(CustomerRow).where(CustomerRow.id == row.id).values(settled=shape))
    store_text(database, CustomerRow.settled, "C-1004")


def _add_sources(database: Database, now: datetime) -> None:
    """Records, decisions and streams in odd forms, of customers of whom nothing else is odd."""
    homes = (f"C-{number}" for number in range(1005, 1013))
    for home, shape in zip(homes, SHAPES["fields"], strict=False):
        database.write(update(SourceRecordRow).where(SourceRecordRow.home_id == home).values(fields=shape))
    store_text(database, SourceRecordRow.fields, next(homes), of=SourceRecordRow.home_id)
    home = next(homes)
    decision = {"at": now, "by": "Kim", "subject": home, "field": "tier", "audit_id": None}
    for column in ("value", "base"):
        for shape in SHAPES[column]:
            database.write(insert(DecisionRow).values(kind="edit", **decision, **{column: shape}))
        added = database.write(insert(DecisionRow).values(kind="edit", **decision).returning(DecisionRow.id))
        store_text(database, getattr(DecisionRow, column), added[0].id)
    database.write(insert(DecisionRow).values(kind=LATER[:8], **decision))
    of_streams = ("position", "removals", "counts", "held", "shared_kinds", "placeholders")
    for number, shapes in enumerate(zip(*(SHAPES[name] for name in of_streams), strict=True)):
        source, stored = FILE if not number else f"odd{number}", dict(zip(of_streams, shapes, strict=True))
        of_source = {name: stored.pop(name) for name in ("shared_kinds", "placeholders")}
        if number:
            database.write(insert(SourceRow).values(name=source, kind="sql", seq=0, account="", mapping_fingerprint=""))
            database.write(insert(StreamRow).values(source=source, stream=STREAM, token=0, run=0))
        database.write(update(StreamRow).where(StreamRow.source == source).values(**stored))
        database.write(update(SourceRow).where(SourceRow.name == source).values(**of_source))
    for name, order in zip(("", "name", "tier"), SHAPES["sources"], strict=True):
        database.write(insert(PrecedenceRow).values(field=name, sources=order, is_applied=True))


def test_every_json_column_is_among_them() -> None:
    """A new one has to be read with care, too."""
    columns = {column.name for table in Base.metadata.tables.values() for column in table.c if _is_json(column)}
    assert columns == (SHAPES.keys() - {"state"}) | {"before", "after"}


def _is_json(column: Column[Any]) -> bool:
    return column.type.__visit_name__ == "JSON"


def page(client: FlaskClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.text


def test_every_task_can_be_looked_at(browser: FlaskClient, left: Left) -> None:
    for name, task_sid in left.tasks.items():
        for path in (f"/tasks/{task_sid}", f"/tasks/{task_sid}/detail"):
            detail = page(browser, path).partition('id="detail"')[2]
            assert (UNREADABLE in detail) == (name in left.unreadable), name
        page(browser, f"/tasks/{task_sid}/settle")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
def test_the_feed_shows_all_tasks(browser: FlaskClient, database: Database, left: Left, role: Role) -> None:
    users.set_role(database, EMAIL, role)
    feed = page(browser, "/")
    for name, task_sid in left.tasks.items():
        assert (task_sid in feed) == (name != "unknown event type"), name
    assert feed.count(UNREADABLE) == len(SHAPES["finding"]) + 1, "each of them is one line, and says so"
    assert feed.count("Unknown outcome") == 2, "an outcome and a match"
    for query in ("outcome=trouble", "outcome=matched", "outcome=owed", "time=1h", f"q={CUSTOMER}"):
        page(browser, f"/feed?{query}")


def test_an_entry_without_a_task_is_shown(browser: FlaskClient, database: Database, left: Left) -> None:
    database.write(update(EntryRow).values(task_sid=None))
    for row in database.read(select(EntryRow.id)):
        page(browser, f"/entries/{row.id}")


def test_the_followup_of_an_unknown_kind_is_pending_under_its_name(browser: FlaskClient, left: Left) -> None:
    detail = page(browser, f"/tasks/{left.tasks['unknown follow-up']}/detail")
    assert "N plus 1" in detail
    assert "this version does not know it" in detail


def test_the_trail_lists_every_row_and_undoes_none_that_it_does_not_know(
    browser: FlaskClient, database: Database, left: Left
) -> None:
    database.write(update(AuditRow).where(AuditRow.id < left.audits["before 2"]).values(task_sid=VALID))
    for path in (f"/tasks/{VALID}/detail", f"/customers/{CUSTOMER}"):
        shown = page(browser, path)
        assert shown.count(f"linked: {UNREADABLE}</bdi>") >= 10
        assert "Undo</button>" not in shown
    for name, audit_id in left.audits.items():
        refused = browser.post(f"/changes/{audit_id}/undo")
        assert (refused.status_code, f"{UNREADABLE} Nothing was undone." in refused.text) == (409, True), name


@pytest.mark.parametrize("range_", ["hour", "day", "week"])
def test_the_overview_counts_what_it_can(browser: FlaskClient, left: Left, range_: str) -> None:
    shown = page(browser, f"/overview?of={range_}")
    assert "other <strong>" in shown
    assert ("form that this version cannot read" in shown) == (range_ != "hour")
    assert "n plus 1" in shown, "the alarm, under its plain name"


def test_customers_are_shown_and_edited(browser: FlaskClient, database: Database, left: Left) -> None:
    page(browser, "/customers")
    assert "Ada Lovelace" in page(browser, "/customers?q=ada")
    shown = page(browser, f"/customers/{CUSTOMER}")
    assert "<td><bdi>import</bdi></td>" in shown
    for row in database.read(select(CustomerRow.id).where(CustomerRow.id <= "C-1004")):
        assert UNREADABLE in page(browser, f"/customers/{row.id}")
        page(browser, f"/customers/{row.id}/merge?other=C-1005")
        version = re.search(r'name="version" value="(\d+)"', page(browser, f"/customers/{row.id}/edit"))
        assert version
        answer = browser.post(f"/customers/{row.id}/edit", data={"name": "Kim Rossi", "version": version[1]})
        assert answer.status_code == 303
        assert UNREADABLE not in page(browser, f"/customers/{row.id}").partition("Audit trail")[0], "it is written anew"


def test_an_unknown_role_has_the_least_rights_and_its_name(app: Flask, browser: FlaskClient, left: Left) -> None:
    shown = page(browser, "/staff")
    assert "auditor, not known to this version" in shown
    kim = users.find(services_of(app).database, "kim@example.com")
    assert kim
    assert kim.role is Role.VIEWER
    assert browser.post(f"/staff/{kim.id}/role", data={"role": ""}).status_code == 400, "nothing is chosen for her"
    assert "auditor" in run_command(app, "users", "list")[1]


def test_cards_are_shown(app: Flask, left: Left) -> None:
    key = card_token.key_of(SECRET_KEY)
    for name, task_sid in left.tasks.items():
        answer = app.test_client().get(f"/card/{task_sid}?token={card_token.token_of(key, task_sid)}")
        assert answer.status_code == (404 if name == "unknown event type" else 200), name


def test_commands_work(make_app: MakeApp, database_url: str, left: Left) -> None:
    app = make_app(DATABASE_URL=database_url, TWILIO_ACCOUNT_SID="", TWILIO_AUTH_TOKEN="", PUBLIC_URL="")
    status, listed = run_command(app, "followups", "list")
    assert (status, f"{LATER} (unknown to this version)" in listed) == (0, True)
    assert run_command(app, "crm", "export")[0] == 0
    status, found = run_command(app, "crm", "lookup", "ada@example.com", "--kind", "email")
    assert (status, CUSTOMER in found) == (0, True)
    assert run_command(app, "crm", "seed", "--demo") == (0, SEEDED)
    status, listed = run_command(app, "sources", "status")
    assert (status, "odd1 (sql): never read whole" in listed) == (0, True)
    _, findings = run_command(app, "taskrouter", "doctor")
    assert "1 pending follow-ups are of a kind that this version does not know" in findings
    assert "the database does not respond" not in findings


def test_the_figures_are_those_of_the_whole_queue(app: Flask, left: Left) -> None:
    client = app.test_client()
    assert client.get("/readyz").status_code == 200
    metrics = client.get("/metrics", headers=TOKEN).text
    assert "enrich_followups_owed 6.0" in metrics
    assert "enrich_database_up 1.0" in metrics
    assert 'enrich_alarms{alarm="other"} 1.0' in metrics
    assert LATER not in metrics


def test_a_round_of_the_worker_does_the_valid_work(app: Flask, database: Database, left: Left) -> None:
    services = services_of(app)
    services.heartbeats.beat(datetime.now(UTC))
    services.rollups.sample_open_followups(datetime.now(UTC), services.adapters.followups.open_count)
    services.rollups.count(datetime.now(UTC))
    while services.dispatcher.run_batch():
        pass
    columns = (FollowupRow.kind, FollowupRow.done_at, FollowupRow.given_up_at, FollowupRow.last_reason)
    endings = {
        (row.kind, row.done_at is not None, row.given_up_at is not None, row.last_reason)
        for row in database.read(select(*columns))
    }
    assert endings == {
        ("restore", True, False, ""),
        (LATER, False, False, ""),
        ("complete", False, True, "malformed_payload"),
        ("hand_over", False, True, "malformed_payload"),
    }
