"""A real app over a temporary SQLite file, a journal to fill, and a browser that is signed in."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.serving import make_server

from app import create_app
from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.journal.tables import EntryRow, FollowupRow
from enrich.settings import read_settings

EMAIL = "dana@example.com"
PASSWORD = "correct horse battery"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(
        read_settings(
            {
                "SECRET_KEY": "only for tests",
                "PUBLIC_URL": "http://127.0.0.1",
                "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
                "TWILIO_AUTH_TOKEN": "only for tests",
                "ENRICH_INSTANCE_PATH": str(tmp_path),
                "ENRICH_FRAME_ANCESTORS": "http://127.0.0.1",
            }
        )
    )
    database = app.extensions["enrich"].database
    Base.metadata.create_all(database.engine)
    users.add(database, email=EMAIL, role=Role.EDITOR, password=PASSWORD, name="Dana Whitfield")
    yield app
    database.close()


@pytest.fixture
def database(app: Flask) -> Database:
    return app.extensions["enrich"].database


@pytest.fixture
def plans_of(database: Database) -> Callable[..., list[list[str]]]:
    """Asks these questions, and gives the steps in which SQLite answers each of their SELECTs."""

    def plans_of(*questions: Callable[[], object]) -> list[list[str]]:
        asked: list[tuple[str, tuple[object, ...]]] = []

        def note(_c: object, _cursor: object, sql: str, given: tuple[object, ...], *_: object) -> None:
            asked.append((sql, given))

        event.listen(database.engine, "before_cursor_execute", note)
        for ask in questions:
            ask()
        event.remove(database.engine, "before_cursor_execute", note)
        with closing(sqlite3.connect(str(database.url.database))) as connection:
            return [
                [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given)]
                for sql, given in asked
                if sql.startswith("SELECT")
            ]

    return plans_of


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """A browser that is not signed in, and is spared the CSRF tokens, which have tests of their own."""
    app.config["WTF_CSRF_ENABLED"] = False
    return app.test_client()


@pytest.fixture
def browser(stranger: FlaskClient) -> FlaskClient:
    """A browser in which Dana is signed in."""
    stranger.post("/login", data={"email": EMAIL, "password": PASSWORD})
    return stranger


@pytest.fixture
def make_entry(database: Database) -> Callable[..., int]:
    """Inserts one journal entry and gives its id: a matched assignment, but for what is said otherwise."""

    def make(**differences: Any) -> int:
        now = datetime.now(UTC)
        values = {
            "kind": "assignment",
            "claim": "0" * 16,
            "received_at": now,
            "workspace_sid": "WS" + "0" * 32,
            "task_sid": "WT" + "0" * 32,
            "reservation_sid": "WR" + "0" * 32,
            "worker_sid": "WK" + "0" * 32,
            "worker_name": "Grace Hopper",
            "concluded_at": now,
            "outcome": "enriched",
            "match": "matched",
            "by": "phone",
            "trust": "verified",
            "customer_id": "C-1001",
            "customer_name": "Ada Lovelace",
            "finding": {
                "keys": [
                    {"kind": "phone", "value": "+14155550100", "trust": "verified", "attribute": "from", "found": 1}
                ],
                "withheld": [],
                "candidates": [{"customer_id": "C-1001", "name": "Ada Lovelace"}],
            },
            "attributes_before": '{"from":"+14155550100"}',
            "attributes_after": '{"from":"+14155550100","crm":{"match":"matched","name":"Ada Lovelace"}}',
            "answer": '{"instruction":"accept"}',
            "steps": [
                {"name": "look_up", "elapsed_ms": 4.2, "failed": ""},
                {"name": "write", "elapsed_ms": 31.0, "failed": ""},
            ],
            "elapsed_ms": 41.0,
        }
        with database.transaction() as session:
            row = EntryRow(**(values | differences))
            session.add(row)
            session.flush()
            return row.id

    return make


@pytest.fixture
def make_followup(database: Database) -> Callable[..., int]:
    """Inserts one follow-up for an entry and gives its id: owed, but for what is said otherwise."""

    def make(entry_id: int, **differences: Any) -> int:
        now = datetime.now(UTC)
        values = {"kind": "enrich", "entry_id": entry_id, "created_at": now, "due_at": now}
        with database.transaction() as session:
            row = FollowupRow(**(values | differences))
            session.add(row)
            session.flush()
            return row.id

    return make


@pytest.fixture
def origin(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()
