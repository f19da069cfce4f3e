"""Every route of both applications against hostile requests: none fails, and none opens for a role that may not.

Routes are taken from the URL maps, and fields from forms and views, so that a new one is tried without being named.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256

import hypothesis
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, text
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from app import create_app
from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.accounts.tokens import ApiTokens
from enrich.api import views as api
from enrich.database.engine import Database
from enrich.taskrouter import endpoints, signature
from enrich.taskrouter.callbacks import split_form
from enrich.webhooks import views as webhooks
from tests.support.app import AUTH_TOKEN, PASSWORD, PUBLIC_URL, SECRET_KEY, make_settings, services_of
from tests.support.databases import copy_template, empty_postgresql, seed_customers
from tests.support.hostile_requests import FIELDS, FORM, TASK_SID, Hostile, HostileRequest, quoted, right_path
from tests.support.journal import insert_entry

pytestmark = pytest.mark.database

METRICS_TOKEN = "a-token-for-metrics"
# What a route needs unless it is listed: whoever sends a form is an editor, whoever looks a viewer.
OPEN = {
    *("accounts.login", "accounts.sign_in", "accounts.logout", "card.show"),
    *("static", "health.healthz", "health.readyz", "health.tell_metrics"),
}
FOR_VIEWERS = {"sessions.end", "sessions.end_others"}
FOR_EDITORS = {"settling.form", "customers.new", "customers.edit", "customers.merge", "customers.delete"}
BLUEPRINTS_FOR_ADMINS = {"sources", "staff", "tokens"}

# Ada Lovelace's, who is in the journal, too. A viewer sees her masked. No request contains any of them.
PERSONAL = (b"Lovelace", b"4155550100", b"415 555 0100", b"ada@example.com", b"Prefers mornings", b"Broken gear")
SECRETS = (AUTH_TOKEN.encode(), SECRET_KEY.encode(), METRICS_TOKEN.encode(), PASSWORD.encode(), b"$argon2")

# Of each route, on either database.
REQUESTS = hypothesis.settings().max_examples // 5


class Tracebacks(logging.Handler):
    """The log lines that have a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.lines.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


@dataclass
class World:
    """The application, a browser for each role and one for nobody, and a look at the database from outside."""

    app: Flask
    browsers: dict[Role | None, FlaskClient]
    tracebacks: Tracebacks
    outside: Connection

    def send(self, request: HostileRequest, role: Role | None = None) -> TestResponse:
        """Send the request and check what holds for every response of either application."""
        self.tracebacks.lines.clear()
        response = self.browsers[role].open(
            "/",
            buffered=True,
            method=request.method,
            data=request.body,
            content_type=request.content_type,
            headers=dict(request.headers),
            environ_overrides={
                "PATH_INFO": request.path.decode("latin-1"),
                "QUERY_STRING": request.query.decode("latin-1"),
                "REMOTE_ADDR": "203.0.113.9",
            },
        )
        assert not self.tracebacks.lines
        assert response.status_code < 500
        content = _content(response)
        assert b"Traceback (most recent call last)" not in content
        assert not [secret for secret in SECRETS if secret in content]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        return response

    def version(self) -> int:
        """Return a number that each commit to SQLite changes; PostgreSQL's own upkeep changes whatever it has."""
        if self.outside.dialect.name != "sqlite":
            return 0
        version = int(self.outside.execute(text("PRAGMA data_version")).scalar_one())
        self.outside.rollback()
        return version

    def sign_in(self) -> None:
        """Sign in everybody whose session has ended, or whose account an earlier request has changed."""
        database = services_of(self.app).database
        for role, browser in self.browsers.items():
            if role is None:
                continue
            user = users.find(database, _email(role))
            if user is None or user.role is not role or not user.active or browser.get("/").status_code != 200:
                users.set_role(database, _email(role), role)
                users.set_active(database, _email(role), active=True)
                users.set_password(database, _email(role), PASSWORD)
                browser.post("/login", data={"email": _email(role), "password": PASSWORD})
                assert browser.get("/").status_code == 200


def _email(role: Role) -> str:
    return f"{role}@example.com"


def _content(response: TestResponse) -> bytes:
    """Return head and body."""
    return bytes(f"{response.headers}".encode() + response.data)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An application with customers, a journal and staff. Nothing answers where it looks for TaskRouter."""
    folder = tmp_path_factory.mktemp("world")
    if request.param == "sqlite":
        url = copy_template(request.getfixturevalue("sqlite_template"), folder / "enrich.db")
    else:
        url = str(request.getfixturevalue("postgresql"))
    environment = {"DATABASE_URL": url, "METRICS_TOKEN": METRICS_TOKEN, "TASKROUTER_BASE_URL": "http://127.0.0.1:9"}
    app = create_app(make_settings(folder, **environment, ENRICH_BREAKER_FAILURES="1"))
    app.config["WTF_CSRF_ENABLED"] = False  # tests of its own; it would refuse everything before a view is reached
    database = services_of(app).database
    if request.param == "postgresql":
        empty_postgresql(database)
    seed_customers(database)
    phone = {"kind": "phone", "value": "+12125550123", "trust": "verified", "attribute": "from", "found": 1}
    insert_entry(
        database, task_sid=TASK_SID, finding={"keys": [phone], "withheld": [], "candidates": []}, raw_form="a=b"
    )
    insert_entry(database, task_sid=None, reservation_sid="")
    # The first two accounts are there to be changed by the admin.
    for name, role in [("someone", Role.VIEWER), ("someone.else", Role.EDITOR)]:
        users.add(database, email=f"{name}@example.com", role=role, password=PASSWORD)
    for role in Role:
        users.add(database, email=_email(role), role=role, password=PASSWORD)
    tracebacks = Tracebacks()
    logging.getLogger().addHandler(tracebacks)
    outside = Database(url)
    with outside.engine.connect() as connection:
        browsers: dict[Role | None, FlaskClient] = {None: app.test_client(use_cookies=False)}
        browsers |= {role: app.test_client() for role in Role}
        yield World(app, browsers, tracebacks, connection)
    logging.getLogger().removeHandler(tracebacks)
    outside.close()
    services_of(app).database.close()


def _routes(app: Flask) -> list[tuple[str, str]]:
    """Return every method and rule of the application."""
    routes = ((method, rule) for rule in app.url_map.iter_rules() for method in sorted(rule.methods or ()))
    return [(method, rule.rule) for method, rule in routes if method not in ("HEAD", "OPTIONS")]


def _endpoint(app: Flask, request: HostileRequest) -> str:
    """Return the endpoint that answers the request; "" if none does."""
    path = "/" + request.path.decode(errors="replace").lstrip("/")
    try:
        return str(app.url_map.bind("localhost").match(path, request.method)[0])
    except HTTPException:
        return ""


def _is_allowed(role: Role | None, endpoint: str, method: str) -> bool:
    if endpoint in OPEN:
        return True
    needed = Role.VIEWER if method in ("GET", "HEAD") or endpoint in FOR_VIEWERS else Role.EDITOR
    if endpoint in FOR_EDITORS:
        needed = Role.EDITOR
    if endpoint.partition(".")[0] in BLUEPRINTS_FOR_ADMINS:
        needed = Role.ADMIN
    return bool(endpoint) and role is not None and role.includes(needed)


def _check_page_headers(response: TestResponse, endpoint: str) -> None:
    if response.mimetype == "text/html":
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["Referrer-Policy"] in ("same-origin", "no-referrer")
        assert b"<script>alert" not in response.data
    if endpoint != "static":
        assert response.headers["Cache-Control"] == "no-store"
    location = response.headers.get("Location", "/")
    assert location.startswith("/")
    assert not location.startswith("//")
    for cookie in response.headers.getlist("Set-Cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=" in cookie
        assert "stolen" not in cookie


def test_no_page_fails_or_opens_for_a_role_that_may_not(world: World) -> None:
    roles = [None, *Role]
    for route in _routes(world.app):
        world.sign_in()
        for number in range(REQUESTS):
            hostile = Hostile.of(route, number)
            _page_is_asked(world, hostile.request(*route), hostile.random.choice(roles))


def _page_is_asked(world: World, request: HostileRequest, role: Role | None) -> None:
    before = world.version()
    response = world.send(request, role)
    endpoint = _endpoint(world.app, request)
    _check_page_headers(response, endpoint)
    if role in (None, Role.VIEWER):
        assert not [each for each in PERSONAL if each in _content(response)]
    if _is_allowed(role, endpoint, request.method):
        return
    if request.method == "OPTIONS" and response.status_code == 200:  # Flask's: which methods there are
        assert not response.data
        return
    assert response.status_code >= 300
    assert response.status_code >= 400 or response.headers["Location"].startswith("/login")
    if role is None:
        assert world.version() == before


def test_no_form_is_taken_without_its_token(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of another site could send it in the name of whoever is signed in."""
    world.sign_in()
    monkeypatch.setitem(world.app.config, "WTF_CSRF_ENABLED", True)
    before = world.version()
    for method, rule in _routes(world.app):
        for role in (None, *Role):
            request = HostileRequest("POST", right_path(rule), b"", quoted([*FIELDS.items()]), FORM)
            assert method == "GET" or world.send(request, role).status_code == 400
    assert world.version() == before


def test_no_webhook_does_anything_for_a_sender_without_a_signature(world: World) -> None:
    for route in _routes(webhooks.application(services_of(world.app))):
        for number in range(REQUESTS):
            before = world.version()
            response = world.send(Hostile.of(route, number).request(*route))
            assert 400 <= response.status_code < 500
            assert world.version() == before
            assert not response.headers.getlist("Set-Cookie")
            assert not [each for each in PERSONAL if each in _content(response)]


def test_the_api_does_nothing_without_a_token(world: World) -> None:
    for route in _routes(api.application(services_of(world.app))):
        for number in range(REQUESTS):
            before = world.version()
            _api_refuses(world, Hostile.of(route, number).request(*route))
            assert world.version() == before


def test_the_api_fails_with_no_token(world: World) -> None:
    """With the scope `read` nothing personal is shown.

    That the token was used is recorded in the background, at any moment; so nothing here compares versions.
    """
    database = services_of(world.app).database
    secrets = []
    for scope in ("intake:crm", "read"):
        added = ApiTokens(database).add(name=f"every route, {scope}", scopes=[scope], now=datetime.now(UTC))
        assert added
        secrets.append(added[1])
    for route in _routes(api.application(services_of(world.app))):
        for number in range(REQUESTS):
            request = Hostile.of(route, number).request(*route)
            _api_refuses(world, _with_token(request, secrets[0]))
            response = world.send(_with_token(request, secrets[1]))
            assert response.status_code in (200, 401, 403, 404, 405, 406, 413, 422, 429)
            _check_api_response(response)


def _api_refuses(world: World, request: HostileRequest) -> None:
    """The request is refused, or for the description of the API."""
    response = world.send(request)
    assert response.status_code in (200, 401, 403, 404, 405, 406, 413)
    assert response.status_code != 200 or request.path.endswith(b"openapi.json")
    _check_api_response(response)


def _check_api_response(response: TestResponse) -> None:
    assert not response.headers.getlist("Set-Cookie")
    assert not [each for each in PERSONAL if each in _content(response)]
    assert response.headers["Cache-Control"] == "no-store"


def _with_token(request: HostileRequest, secret: str) -> HostileRequest:
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {secret}"})


def _signed(path: str, body: bytes, query: str = "") -> HostileRequest:
    url = f"{PUBLIC_URL}{path}?{query}" if query else PUBLIC_URL + path
    header = signature.sign(url, () if query else split_form(body), AUTH_TOKEN)
    return HostileRequest("POST", path.encode(), query.encode(), body, FORM, {"X-Twilio-Signature": header})


def _delivery(hostile: Hostile) -> bytes:
    """Return a callback or an event as a form, of which some fields are hostile."""
    form = {
        b"WorkspaceSid": b"WS" + b"0" * 32,
        b"TaskSid": TASK_SID.encode(),
        b"ReservationSid": b"WR" + b"1" * 32,
        b"Sid": b"EV" + hostile.random.randbytes(16).hex().encode(),
        b"EventType": hostile.random.choice(sorted(endpoints.NEEDED_EVENTS)).encode(),
        b"TaskAttributes": hostile.value(),
        b"WorkerAttributes": hostile.value(),
    }
    return quoted([*(form | dict(hostile.fields())).items()])


@pytest.mark.parametrize(
    ("path", "status"), [(endpoints.ASSIGNMENT, 200), (endpoints.FALLBACK, 200), (endpoints.EVENTS, 204)]
)
def test_a_signed_form_is_always_answered(world: World, path: str, status: int) -> None:
    """A form that lacks the SIDs by which a repeat is known is refused, and nothing else is."""
    answered = 0
    for number in range(REQUESTS):
        response = world.send(_signed(path, _delivery(Hostile.of(path, number))))
        assert response.status_code in (status, 400)
        assert response.status_code != 200 or "instruction" in (response.json or {})
        answered += response.status_code == status
    assert answered


def test_a_signed_stream_is_always_answered(world: World) -> None:
    for number in range(REQUESTS):
        hostile = Hostile.of(number)
        data = {name.decode("latin-1"): value.decode("latin-1") for name, value in hostile.fields()}
        event = {"type": hostile.value().decode("latin-1"), "id": "EZ" + "0" * 32, "data": {"payload": data}}
        body = hostile.value() if hostile.random.random() < 0.5 else json.dumps([event]).encode()
        query = f"bodySHA256={sha256(body).hexdigest()}"
        assert world.send(_signed(endpoints.EVENT_STREAMS, body, query)).status_code == 204
