"""The yardsticks: the least code that does the same input and output, under the same server.

    full()   verifies the signature, inserts a row, looks a customer up, GET and POST with urllib3, inserts another row
    warm()   a Flask view that does what none may leave out: verifies the signature, looks a customer up by number,
             inserts a row, logs a line, counts
    flask()  a bare Flask view: verifies the signature and inserts a row

Every insert is committed before the next thing happens. No clock, no retries, no journal to read afterwards, no second
try of anything: what the service does beyond that is what the ratio shows. Read from the environment: PUBLIC_URL,
TWILIO_AUTH_TOKEN, TASKROUTER_BASE_URL, DATABASE_URL; the tables are made by `make_tables`.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import os
import queue
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

import psycopg
import urllib3
from flask import Flask, Response, abort, request
from prometheus_client import CollectorRegistry, Counter, Histogram

ANSWER = b'{"instruction":"accept"}'
BLOCK = '{"crm":{"match":"matched","by":"phone","customer_id":"C-1001","name":"Ada Lovelace"}}'
PHONE = "+14155550100"

_TABLES = (
    "CREATE TABLE deliveries (id INTEGER PRIMARY KEY{generated}, reservation_sid TEXT, body TEXT, customer_id TEXT)",
    "CREATE TABLE answers (id INTEGER PRIMARY KEY{generated}, reservation_sid TEXT, answer TEXT)",
    "CREATE TABLE identifiers (kind TEXT, value TEXT, customer_id TEXT, name TEXT, UNIQUE (kind, value, customer_id))",
)


class Store(Protocol):
    """One statement, committed when it returns."""

    def insert(self, statement: str, values: tuple[str, ...]) -> None: ...
    def select(self, statement: str, values: tuple[str, ...]) -> list[Any]: ...


class Sqlite:
    """One connection for the process: no call of sqlite3 lets another greenlet run, so none can come between."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")

    def insert(self, statement: str, values: tuple[str, ...]) -> None:
        self._connection.execute(statement, values)

    def select(self, statement: str, values: tuple[str, ...]) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()


# A statement takes about a millisecond; more connections would only wait in the server instead of here.
_CONNECTIONS = 8


class Postgresql:
    """A few connections that are taken and given back; psycopg lets other greenlets run while it waits."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(_CONNECTIONS):
            self._idle.put(None)

    def insert(self, statement: str, values: tuple[str, ...]) -> None:
        self._execute(statement, values)

    def select(self, statement: str, values: tuple[str, ...]) -> list[Any]:
        rows: list[Any] = self._execute(statement, values).fetchall()
        return rows

    def _execute(self, statement: str, values: tuple[str, ...]) -> Any:
        connection = self._idle.get() or psycopg.connect(self._url, autocommit=True)
        try:
            return connection.execute(statement.replace("?", "%s"), values)
        finally:
            self._idle.put(connection)


def store(url: str) -> Store:
    return Sqlite(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else Postgresql(url)


def make_tables(url: str, customers: int) -> None:
    """The yardstick's tables, and as many identifiers as the service has customers beside it."""
    tables = store(url)
    generated = "" if url.startswith("sqlite") else " GENERATED ALWAYS AS IDENTITY"
    for statement in _TABLES:
        tables.insert(statement.format(generated=generated), ())
    insert = "INSERT INTO identifiers VALUES (?, ?, ?, ?)"
    tables.insert(insert, ("phone", PHONE, "C-1001", "Ada Lovelace"))
    for number in range(customers):
        tables.insert(insert, ("phone", f"+1415666{number:04d}", f"C-{number}", f"Customer {number}"))


class Signed:
    """Verifies signatures as Twilio's documentation tells it, on the form as text."""

    def __init__(self) -> None:
        self._url = os.environ["PUBLIC_URL"]
        self._token = os.environ["TWILIO_AUTH_TOKEN"].encode()

    def form(self, path: str, body: bytes, signature: str) -> dict[str, str] | None:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        text = self._url + path + "".join(name + form[name] for name in sorted(form))
        digest = base64.b64encode(hmac.digest(self._token, text.encode(), "sha1")).decode()
        return form if hmac.compare_digest(digest, signature) else None


def full() -> Callable[..., Iterable[bytes]]:
    """The floor of a full callback, as a WSGI function."""
    signed, tables = Signed(), store(os.environ["DATABASE_URL"])
    upstream = urllib3.connectionpool.connection_from_url(os.environ["TASKROUTER_BASE_URL"], maxsize=64, retries=False)
    headers = urllib3.util.make_headers(basic_auth=f"AC:{os.environ['TWILIO_AUTH_TOKEN']}", keep_alive=True)
    write_headers = {**headers, "If-Match": '"3"', "Content-Type": "application/x-www-form-urlencoded"}

    def application(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "GET":
            start_response("200 OK", [("Content-Length", "0")])
            return [b""]
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        form = signed.form(environ["PATH_INFO"], body, environ.get("HTTP_X_TWILIO_SIGNATURE", ""))
        if form is None:
            start_response("403 Forbidden", [("Content-Length", "0")])
            return [b""]
        reservation_sid = form["ReservationSid"]
        tables.insert(
            "INSERT INTO deliveries (reservation_sid, body) VALUES (?, ?)", (reservation_sid, body.decode("ascii"))
        )
        tables.select("SELECT customer_id, name FROM identifiers WHERE kind = ? AND value = ?", ("phone", PHONE))
        task = f"/v1/Workspaces/{form['WorkspaceSid']}/Tasks/{form['TaskSid']}"
        upstream.urlopen("GET", task, headers=headers)
        upstream.urlopen("POST", task, body=urlencode({"Attributes": BLOCK}), headers=write_headers)
        tables.insert("INSERT INTO answers (reservation_sid, answer) VALUES (?, ?)", (reservation_sid, ANSWER.decode()))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(ANSWER)))])
        return [ANSWER]

    return application


def warm() -> Flask:
    """The floor of a warm callback: a Flask view that does what none may leave out."""
    signed, tables = Signed(), store(os.environ["DATABASE_URL"])
    log = logging.getLogger("floor")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    registry = CollectorRegistry()
    callbacks = Counter("callbacks_total", "Callbacks answered.", ["endpoint", "outcome"], registry=registry)
    seconds = Histogram("callback_seconds", "Time from callback to answer.", ["endpoint"], registry=registry)
    app = Flask(__name__)

    @app.get("/")
    def alive() -> str:
        return ""

    @app.post("/taskrouter/assignment")
    def assignment() -> Response:
        began_at = time.perf_counter()
        body = request.get_data()
        form = signed.form(request.path, body, request.headers.get("X-Twilio-Signature", ""))
        if form is None:
            abort(403)
        number = json.loads(form["TaskAttributes"])["from"]
        found = tables.select(
            "SELECT customer_id, name FROM identifiers WHERE kind = ? AND value = ?", ("phone", number)
        )
        customer_id, outcome = (found[0][0], "matched") if found else ("", "no_match")
        tables.insert(
            "INSERT INTO deliveries (reservation_sid, body, customer_id) VALUES (?, ?, ?)",
            (form["ReservationSid"], body.decode("ascii"), customer_id),
        )
        took_s = time.perf_counter() - began_at
        line = {
            "event": "callback answered",
            "level": "info",
            "task_sid": form["TaskSid"],
            "reservation_sid": form["ReservationSid"],
            "outcome": outcome,
            "elapsed_ms": round(took_s * 1000),
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        log.info(json.dumps(line))
        callbacks.labels("assignment", outcome).inc()
        seconds.labels("assignment").observe(took_s)
        return Response(ANSWER, mimetype="application/json")

    return app


def flask() -> Flask:
    """The floor of an event: a bare Flask view."""
    signed, tables = Signed(), store(os.environ["DATABASE_URL"])
    app = Flask(__name__)

    @app.get("/")
    def alive() -> str:
        return ""

    @app.post("/taskrouter/<path:_which>")
    def keep(_which: str) -> Response:
        body = request.get_data()
        form = signed.form(request.path, body, request.headers.get("X-Twilio-Signature", ""))
        if form is None:
            abort(403)
        tables.insert(
            "INSERT INTO deliveries (reservation_sid, body) VALUES (?, ?)",
            (form["ReservationSid"], body.decode("ascii")),
        )
        return Response(ANSWER, mimetype="application/json")

    return app
