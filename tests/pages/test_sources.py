"""The page of sources: each one's condition, runs, the question of the brake, and the quarantine."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.customers import seeding
from enrich.customers.fixture_rows import read_customer
from enrich.customers.stream_states import StreamStates
from enrich.database.engine import Database
from enrich.domain.stream_status import Condition
from enrich.domain.streams import Pass, StreamState
from enrich.pages import source_labels
from enrich.services import Services
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.fixtures import MakeApp
from tests.support.stored_streams import HELD, quarantine_rows, store_stream, write_sources_file

pytestmark = pytest.mark.database


@pytest.fixture
def app(make_app: MakeApp, database_url: str, tmp_path: Path) -> Flask:
    app = make_app(DATABASE_URL=database_url, ENRICH_SOURCES=write_sources_file(tmp_path))
    users.add(services_of(app).database, email=EMAIL, role=Role.ADMIN, password=PASSWORD)
    return app


@pytest.fixture
def services(app: Flask) -> Services:
    return services_of(app)


@pytest.fixture
def database(services: Services) -> Database:
    return services.database


def in_sync(**values: Any) -> dict[str, Any]:
    """Return the values of a stream whose window has just come to its end."""
    at = datetime.now(UTC) - timedelta(seconds=20)
    times = dict.fromkeys(("window_at", "keys_at", "full_at", "began_at"), at)
    counts = {"read": 1204, "created": 3, "unchanged": 1201, "quarantined": 0}
    return {**times, "ended_at": at + timedelta(seconds=4), "counts": counts, **values}


def shown(browser: FlaskClient, path: str = "/sources") -> str:
    """Return the text of a page, without its markup."""
    page = browser.get(path)
    assert page.status_code == 200
    inline = re.sub(r"</?(?:bdi|time|code|a)\b[^>]*>|<svg.*?</svg>", "", page.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", inline))


def state_of(database: Database, source: str = "erp") -> StreamState:
    state = StreamStates(database).of(source, datetime.now(UTC))
    assert state is not None
    return state


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_it_is_for_admins_alone(browser: FlaskClient, services: Services, role: Role) -> None:
    store_stream(services, "erp", **in_sync(held=HELD))
    users.set_role(services.database, EMAIL, role)
    for path in ("/sources", "/sources/list", "/sources/erp/quarantine"):
        assert browser.get(path).status_code == 403
    assert browser.post("/sources/erp/run", data={"pass": "full"}).status_code == 403
    assert browser.post("/sources/erp/answer", data={"removed": 1204, "answer": "go"}).status_code == 403
    assert browser.post("/sources/erp/quarantine/retry").status_code == 403
    assert 'href="/sources"' not in browser.get("/").text
    state = state_of(services.database)
    assert (state.requested, state.wants_retry, state.accepted) == (None, False, None)


def test_a_declared_source_that_nobody_has_read(browser: FlaskClient) -> None:
    page = shown(browser)
    assert "erp a database Not read yet No worker has seen it in the sources file yet." in page
    assert "shop a system that sends its customers Sends its customers" in page
    assert "No worker runs, so no source is read." in page


def test_a_source_in_sync_with_its_last_run(browser: FlaskClient, services: Services) -> None:
    services.heartbeats.beat(datetime.now(UTC))
    store_stream(services, "erp", **in_sync())
    page = shown(browser)
    assert "In sync Its customers here are like those there." in page
    assert "full pass, 4.0 s" in page
    assert "1,204 read: 3 created, 1,201 unchanged" in page
    assert "Up to date as of 20 s ago" in page
    assert re.search(r"Next pass [\d:]+, what changed", page)
    assert "No worker runs" not in page


def test_a_running_source_shows_its_rate(browser: FlaskClient, services: Services) -> None:
    now = datetime.now(UTC)
    running: dict[str, Any] = {
        "lease_owner": "process 1 on elsewhere",
        "lease_until": now + timedelta(minutes=1),
        "began_at": now - timedelta(seconds=100),
        "ended_at": None,
        "position": {"pass": "full"},
        "counts": {"read": 50_000, "created": 50_000},
    }
    store_stream(services, "erp", **running)
    page = shown(browser)
    assert "Running A worker reads it now." in page
    assert re.search(r"Since [\d:]+, full pass Result 50,000 read: 50,000 created; (500|49\d) a second", page)
    assert "never read whole" in page


def test_a_stopped_source_says_why_and_what_to_do(browser: FlaskClient, services: Services) -> None:
    failed = {"problem": "source_refused", "detail": "permission denied for table customers", "failures": 3}
    store_stream(services, "erp", **in_sync(**failed, failed_since=datetime.now(UTC) - timedelta(minutes=3)))
    page = shown(browser)
    assert "Stopped It is not read until somebody mends it." in page
    assert "refused our credentials" in page
    assert ", 3 times." in page
    assert "permission denied for table customers" in page
    assert "Correct the password or the rights there" in page
    assert "Next pass" not in page


def test_a_failing_source_says_when_it_is_tried_again(browser: FlaskClient, services: Services) -> None:
    due_at = datetime.now(UTC) + timedelta(minutes=4)
    failed = {"problem": "source_unavailable", "detail": "no connection", "failures": 1, "due_at": due_at}
    store_stream(services, "erp", **in_sync(**failed, window_at=datetime.now(UTC) - timedelta(hours=2)))
    page = shown(browser)
    assert "Failing It could not be read, and is tried again." in page
    assert f"Next pass {due_at:%H:%M:%S}" in page


def test_a_source_that_is_late(browser: FlaskClient, services: Services) -> None:
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    store_stream(services, "erp", **in_sync(full_at=two_hours_ago, window_at=two_hours_ago))
    page = shown(browser)
    assert "2 h ago, later than usual" in page
    assert "A pass is due and does not begin." in page


def test_sources_that_are_stored_and_not_declared_come_last(browser: FlaskClient, services: Services) -> None:
    store_stream(services, "old-crm", **in_sync())
    row = read_customer({"id": "C-1", "name": "Ada Lovelace"}, "US")
    seeding.seed(services.database, [row], now=datetime.now(UTC))
    page = browser.get("/sources").text
    names = re.findall(r'<h2 id="source-([\w-]+)"', page)
    assert names == ["erp", "shop", "old-crm", "file"]
    assert "The sources file does not name it any more." in page
    assert 'action="/sources/old-crm/run"' not in page
    text = shown(browser)
    assert "What flask crm seed has loaded." in text
    assert "1 read: 1 created" in text
    assert "1 live" in text


def test_a_load_of_a_file_that_was_interrupted(browser: FlaskClient, services: Services) -> None:
    store_stream(services, "file", "file", began_at=datetime.now(UTC), ended_at=None)
    assert "Interrupted The last load did not come to its end." in shown(browser)


def test_the_fragment_is_sent_when_something_has_changed(browser: FlaskClient, services: Services) -> None:
    store_stream(services, "erp", **in_sync())
    polled = re.findall(r'hx-get="([^"]+)"', browser.get("/sources").text)[0]
    headers = {"HX-Request": "true"}
    assert browser.get(polled, headers=headers).status_code == 204
    store_stream(services, "erp", **in_sync(held=HELD))
    changed = browser.get(polled, headers=headers)
    assert changed.status_code == 200
    assert changed.text.startswith('<div id="sources"')
    assert "Let them go" in changed.text


# --- what an admin does


@pytest.mark.parametrize(("wanted", "told"), [("window", "reads what changed"), ("full", "begins a full pass")])
def test_a_pass_is_asked_for(
    browser: FlaskClient, services: Services, caplog: pytest.LogCaptureFixture, wanted: str, told: str
) -> None:
    caplog.set_level(logging.INFO)
    store_stream(services, "erp", **in_sync())
    response = browser.post("/sources/erp/run", data={"pass": wanted}, follow_redirects=True)
    assert told in response.text
    assert "A pass is due. A worker begins it within seconds." in response.text
    assert state_of(services.database).requested is Pass(wanted)
    record = next(record for record in caplog.records if record.getMessage() == "sync requested")
    assert vars(record).items() >= {"source": "erp", "pass": wanted, "by_user_id": 1}.items()


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/sources/erp/run", {"pass": "keys"}, 400),
        ("/sources/erp/run", {}, 400),
        ("/sources/shop/run", {"pass": "full"}, 404),
        ("/sources/file/run", {"pass": "full"}, 404),
        ("/sources/nowhere/run", {"pass": "full"}, 404),
        ("/sources/nowhere/answer", {"removed": "1204", "answer": "go"}, 404),
        ("/sources/erp/answer", {"removed": "1204"}, 400),
        ("/sources/shop/quarantine/retry", {}, 404),
    ],
)
def test_what_cannot_be_asked_for(
    browser: FlaskClient, services: Services, path: str, form: dict[str, str], status: int
) -> None:
    store_stream(services, "erp", **in_sync(held=HELD))
    assert browser.post(path, data=form).status_code == status
    assert state_of(services.database).requested is None


def test_a_source_that_no_worker_has_seen_cannot_be_run_yet(browser: FlaskClient) -> None:
    response = browser.post("/sources/erp/run", data={"pass": "full"}, follow_redirects=True)
    assert "Is one running?" in response.text


def test_the_question_of_the_brake_in_words(browser: FlaskClient, services: Services) -> None:
    store_stream(services, "erp", **in_sync(held=HELD))
    page = shown(browser)
    assert "Waiting for an answer" in page
    assert f"{HELD['detail']}. Let them go, or leave them?" in page
    assert 'name="removed" value="1204"' in browser.get("/sources").text


@pytest.mark.parametrize(
    ("answer", "told", "accepted", "requested", "event"),
    [
        ("go", "A worker removes them", 1204, Pass.KEYS, "removal accepted"),
        ("leave", "They stay.", None, None, "removal refused"),
    ],
)
def test_the_question_is_answered(
    browser: FlaskClient,
    services: Services,
    caplog: pytest.LogCaptureFixture,
    answer: str,
    told: str,
    accepted: int | None,
    requested: Pass | None,
    event: str,
) -> None:
    caplog.set_level(logging.INFO)
    store_stream(services, "erp", **in_sync(held=HELD))
    page = browser.post("/sources/erp/answer", data={"removed": "1204", "answer": answer}, follow_redirects=True).text
    assert told in page
    assert "Let them go" not in page
    state = state_of(services.database)
    assert (state.question, state.accepted, state.requested) == (None, accepted, requested)
    record = next(record for record in caplog.records if record.getMessage() == event)
    assert vars(record).items() >= {"source": "erp", "count": 1204, "by_user_id": 1}.items()


def test_a_source_that_sends_is_answered_too(browser: FlaskClient, services: Services) -> None:
    due_at = datetime.now(UTC) + timedelta(hours=20)
    store_stream(services, "shop", "push", held={**HELD, "pass": "window"}, problem="brake_applied", due_at=due_at)
    assert "Waiting for an answer" in shown(browser)
    form = {"removed": "1204", "answer": "go"}
    page = browser.post("/sources/shop/answer", data=form, follow_redirects=True).text
    assert "They go when the source sends this again" in page
    assert state_of(services.database, "shop").accepted == 1204


@pytest.mark.parametrize("removed", ["1203", "", "-1204", "1e9", "٣", "9" * 40])
def test_an_answer_to_another_question_decides_nothing(
    browser: FlaskClient, services: Services, removed: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    store_stream(services, "erp", **in_sync(held=HELD))
    form = {"removed": removed, "answer": "go"}
    page = browser.post("/sources/erp/answer", data=form, follow_redirects=True).text
    assert "it asks for others by now" in page
    assert state_of(services.database).question is not None
    assert "removal accepted" not in caplog.text


# --- the quarantine


def test_the_quarantine_is_shown_in_pages(browser: FlaskClient, services: Services) -> None:
    store_stream(services, "erp", **in_sync())
    rows = [{"key": f"{number:04}", "name": "", "notes": ["Babbage & Co"]} for number in range(70)]
    incomplete = {"key": "9999", "name": "Ada Lovelace", "phones": ["ask at the desk"]}
    quarantine_rows(services.database, "erp", [*rows, incomplete])
    assert "70 not loaded, 1 loaded in part" in shown(browser)
    page = browser.get("/sources/erp/quarantine")
    assert len(re.findall(r'<th scope="row">', page.text)) == 50
    assert "Not loaded: 70. Loaded without the values that are wrong: 1." in shown(browser, "/sources/erp/quarantine")
    following = re.findall(r'href="([^"]+)">Next page', page.text)[0].replace("&amp;", "&")
    second = browser.get(following).text
    assert len(re.findall(r'<th scope="row">', second)) == 21
    assert "Next page" not in second
    text = shown(browser, following)
    assert "9999 phones phones[0]:" in text
    assert "loaded in part" in text
    assert "ask at the desk" in text
    assert "Babbage &amp; Co" in text
    assert "There are no more." in shown(browser, "/sources/erp/quarantine?object=zzz&after=1")


def test_an_empty_quarantine(browser: FlaskClient, services: Services) -> None:
    store_stream(services, "erp", **in_sync())
    page = shown(browser, "/sources/erp/quarantine")
    assert "No records are in quarantine." in page
    assert "Read all again" not in page


def test_the_quarantine_is_read_again(browser: FlaskClient, services: Services) -> None:
    store_stream(services, "erp", **in_sync())
    quarantine_rows(services.database, "erp", [{"key": "1", "name": ""}])
    quarantine_rows(services.database, "shop", [{"key": "1", "name": ""}])
    assert "Read all again" in browser.get("/sources/erp/quarantine").text
    assert "Read all again" not in browser.get("/sources/shop/quarantine").text
    page = browser.post("/sources/erp/quarantine/retry", follow_redirects=True).text
    assert "A worker reads these records again within seconds." in page
    assert state_of(services.database).wants_retry
    assert "Due" in shown(browser)


@pytest.mark.parametrize("path", ["/sources/nowhere/quarantine", "/sources/erp/quarantine?after=%00"])
def test_a_quarantine_that_is_not_there(browser: FlaskClient, path: str) -> None:
    assert browser.get(path).status_code == 404


# --- words


@pytest.mark.parametrize("condition", Condition)
def test_every_condition_has_its_words(condition: Condition) -> None:
    verdict = source_labels.CONDITIONS[condition]
    assert verdict.word
    assert verdict.sentence.endswith(".")


@pytest.mark.parametrize("pass_", Pass)
def test_every_pass_has_its_words(pass_: Pass) -> None:
    assert source_labels.pass_name(pass_)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({}, ""),
        ({"read": 0}, ""),
        ({"read": 1204, "unchanged": 1204}, "1,204 read: 1,204 unchanged"),
        ({"read": 3, "quarantined": 1, "incomplete": 2}, "3 read: 1 not loaded, 2 loaded in part"),
        ({"created": 2}, "2 created"),
        ({"read": "many", "of a newer version": 7}, ""),
    ],
)
def test_the_numbers_of_a_run_in_words(numbers: dict[str, object], told: str) -> None:
    assert source_labels.counts(numbers) == told


def test_the_navigation_leads_there_once_there_is_a_source(make_app: MakeApp) -> None:
    app = make_app()
    app.config["WTF_CSRF_ENABLED"] = False
    database = services_of(app).database
    users.add(database, email=EMAIL, role=Role.ADMIN, password=PASSWORD)
    browser = app.test_client()
    browser.post("/login", data={"email": EMAIL, "password": PASSWORD})
    assert 'href="/sources"' not in browser.get("/staff").text
    assert "There are none yet." in browser.get("/sources").text
    store_stream(services_of(app), "file", "file")
    assert 'href="/sources"' in browser.get("/staff").text
