"""The three endpoints, from the form to the answer."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask, session
from sqlalchemy import select
from werkzeug.test import EnvironBuilder, TestResponse

from enrich.domain.lengths import MAX_FORM_BYTES
from enrich.journal.tables import EntryRow
from enrich.webhooks import views
from tests.support.app import post_signed, services_of

SIDS = {"WorkspaceSid": "WS" + "1" * 32, "TaskSid": "WT" + "1" * 32, "ReservationSid": "WR" + "1" * 32}
EVENT = {**SIDS, "Sid": "EV" + "1" * 32, "EventType": "reservation.created"}
PATHS = ("/taskrouter/assignment", "/taskrouter/assignment/fallback", "/taskrouter/events")
LARGE = {"Padding": "x" * (MAX_FORM_BYTES - 2_000)}

Ask = Callable[..., TestResponse]


class InternalError(Exception):
    """An error that no endpoint foresees."""


def fail() -> Any:
    raise InternalError


@pytest.fixture(params=[{}, LARGE], ids=["small", "large"])
def ask(app: Flask, request: pytest.FixtureRequest) -> Ask:
    """Posts a form, of the usual size or as large as one may be."""

    def ask(
        path: str, form: dict[str, str], *, signed: bool = True, sent_to: str = "", hooks: Flask = app
    ) -> TestResponse:
        fields = form | request.param
        return post_signed(hooks, path, fields, signature="" if signed else "wrong", sent_to=sent_to)

    return ask


@pytest.fixture
def failing(app: Flask) -> Flask:
    """The webhooks with an internal error in every callback whose sender is verified."""
    services = services_of(app)
    return views.application(replace(services, adapters=replace(services.adapters, now=fail)))


def entries(app: Flask) -> list[tuple[str, str]]:
    rows = app.extensions["enrich"].database.read(select(EntryRow.kind, EntryRow.delivery_key).order_by(EntryRow.id))
    return [tuple(row) for row in rows]


def test_an_event_is_kept_and_answered_with_nothing(app: Flask, ask: Ask) -> None:
    answer = ask("/taskrouter/events", EVENT)
    assert (answer.status_code, answer.data) == (204, b"")
    assert entries(app) == [("event", EVENT["Sid"])]


def test_the_fallback_is_answered_with_json(app: Flask, ask: Ask) -> None:
    answer = ask("/taskrouter/assignment/fallback", SIDS)
    assert (answer.status_code, answer.mimetype, answer.text) == (200, "application/json", '{"instruction":"accept"}')
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server-Timing"].startswith("total;dur=")
    assert entries(app) == [("fallback", SIDS["ReservationSid"])]


@pytest.mark.parametrize("path", PATHS)
def test_nobody_gets_in_without_a_signature(app: Flask, ask: Ask, path: str) -> None:
    answer = ask(path, EVENT, signed=False)
    assert (answer.status_code, answer.text) == (403, "the signature is missing or wrong\n")
    assert entries(app) == []


def test_a_mistake_of_ours_keeps_no_caller_waiting(ask: Ask, failing: Flask) -> None:
    assert ask("/taskrouter/assignment", SIDS, hooks=failing).text == '{"instruction":"accept"}'


def test_an_event_that_a_mistake_of_ours_loses_is_asked_for_again(ask: Ask, failing: Flask) -> None:
    assert ask("/taskrouter/events", EVENT, hooks=failing).status_code == 503


def test_a_mistake_in_the_guard_is_a_refusal(app: Flask, ask: Ask) -> None:
    without_settings: Any = None
    hooks = views.application(replace(services_of(app), settings=without_settings))
    assert ask("/taskrouter/assignment", SIDS, hooks=hooks).status_code == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "HEAD"])
def test_other_methods_are_refused(app: Flask, method: str) -> None:
    answer = app.test_client().open("/taskrouter/events", method=method)
    assert (answer.status_code, answer.text) == (405, "" if method == "HEAD" else "Method Not Allowed\n")
    assert answer.headers["Allow"] == "POST"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["//taskrouter/events", "///taskrouter/events"])
def test_slashes_before_the_path_change_nothing(app: Flask, ask: Ask, path: str) -> None:
    """nginx sends two where it takes a prefix off; what is signed is PUBLIC_URL and the path behind it."""
    assert ask("/taskrouter/events", EVENT, sent_to=path).status_code == 204
    assert entries(app) == [("event", EVENT["Sid"])]


@pytest.mark.parametrize("path", ["/taskrouter/assignment/other", "/taskrouter//events", "/taskrouter/"])
def test_other_addresses_below_theirs_are_nowhere(app: Flask, path: str) -> None:
    answer = app.test_client().post(path)
    assert (answer.status_code, answer.text, answer.mimetype) == (404, "Not Found\n", "text/plain")


def test_a_body_that_is_too_large_is_not_read(app: Flask) -> None:
    signature = {"X-Twilio-Signature": "A" * 27 + "="}
    answer = app.test_client().post("/taskrouter/events", data="x" * (MAX_FORM_BYTES + 1), headers=signature)
    assert (answer.status_code, answer.text) == (413, "Request Entity Too Large\n")


@pytest.mark.parametrize(
    "signature",
    [None, "", "wrong", "A" * 28, "é" * 27 + "=", "A" * 4000],
    ids=["missing", "empty", "a word", "no padding", "not ASCII", "long"],
)
@pytest.mark.parametrize("path", [*PATHS, "/taskrouter/event-streams"])
def test_no_work_is_done_for_a_signature_that_cannot_be_one(app: Flask, path: str, signature: str | None) -> None:
    """The body would raise at the first look."""

    class Body(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise AssertionError("the body was read")

    environ = EnvironBuilder(path, method="POST").get_environ()
    environ |= {"wsgi.input": Body(), "CONTENT_LENGTH": "1000000"}
    if signature is not None:
        environ["HTTP_X_TWILIO_SIGNATURE"] = signature
    answer = app.test_client().open(environ)
    assert (answer.status_code, answer.text) == (403, "the signature is missing or wrong\n")


@pytest.mark.parametrize("path", PATHS)
def test_no_session_is_opened_for_them(app: Flask, path: str) -> None:
    """A cookie of staff, if one came, would be neither read nor sent back."""
    hooks = views.application(app.extensions["enrich"])
    with hooks.test_request_context(path):
        assert hooks.session_interface.is_null_session(session)
    with app.test_request_context("/login"):
        assert not app.session_interface.is_null_session(session)


def test_every_endpoint_is_guarded(app: Flask) -> None:
    """An endpoint that is added later and does not verify who sent the request would answer here."""
    hooks = views.application(app.extensions["enrich"])
    paths = {rule.rule for rule in hooks.url_map.iter_rules()}
    assert paths == {*PATHS, "/taskrouter/event-streams"}
    assert {hooks.test_client().post(path, data=SIDS).status_code for path in paths} == {403}
