"""The card of one task: whom it opens for, what it shows on which match, and when it is over."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from enrich.customers import card_token
from enrich.database.engine import Database
from tests.support.app import SECRET_KEY, services_of
from tests.support.databases import seed_customers
from tests.support.fixtures import MakeApp
from tests.support.journal import Make

SID, OTHER = "WT" + "0" * 32, "WT" + "1" * 32
KEY = card_token.key_of(SECRET_KEY)
TOKEN = card_token.token_of(KEY, SID)
ADA = {"customer_id": "C-1001", "customer_name": "Ada Lovelace"}
TWO = {"candidates": [{"customer_id": "C-1003", "name": "Maria Bell"}, {"customer_id": "C-1004", "name": "Peter Bell"}]}
NOBODY = {"customer_id": None, "customer_name": ""}


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app(ENRICH_FRAME_ANCESTORS="https://flex.twilio.com, https://*.example.test")
    seed_customers(services_of(app).database, datetime.now(UTC))
    return app


@pytest.fixture
def agent(app: Flask) -> FlaskClient:
    """A frame on the agent's desktop: no cookie, no account."""
    return app.test_client(use_cookies=False)


def shown(page: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", page[page.index("<body") :]).split())


def open_card(agent: FlaskClient, token: str = TOKEN, sid: str = SID, **more: object) -> tuple[int, str]:
    answer = agent.get(f"/card/{sid}?token={token}", **more)
    return answer.status_code, shown(answer.text) if "<body" in answer.text else answer.text


def test_a_match_that_was_proved_shows_the_customer(agent: FlaskClient, make_entry: Make) -> None:
    make_entry(**ADA)
    status, told = open_card(agent)
    assert status == 200
    for word in ("Ada Lovelace", "Analytical Engines", "gold", "Prefers mornings"):
        assert word in told


def test_on_a_claim_nothing_is_disclosed(agent: FlaskClient, make_entry: Make) -> None:
    make_entry(match="claimed", trust="claimed", **NOBODY)
    status, told = open_card(agent)
    assert (status, "Verify first" in told) == (200, True)
    page = agent.get(f"/card/{SID}?token={TOKEN}").text
    for secret in ("Ada", "Lovelace", "C-1001", "Analytical", "mornings", "4155550100"):
        assert secret not in page


@pytest.mark.parametrize(
    ("differences", "told", "not_told"),
    [
        ({"match": "ambiguous", "finding": TWO, **NOBODY}, "2 customers match Ask who is speaking", "Analytical"),
        (
            {"match": "none", "reason": "withheld", **NOBODY},
            "Unknown customer The caller&#39;s number is withheld",
            "Lovelace",
        ),
        ({"match": None, "outcome": "could_not_look", **NOBODY}, "Not known yet", "Lovelace"),
        ({"match": None, "outcome": None, "concluded_at": None, **NOBODY}, "Not known yet", "Lovelace"),
        ({"customer_id": "C-9999", "customer_name": "Gone Person"}, "No longer a customer", "Gone Person"),
    ],
    ids=["ambiguous", "nobody", "could not look", "in progress", "removed"],
)
def test_what_else_there_is_to_say(
    agent: FlaskClient, make_entry: Make, differences: dict[str, object], told: str, not_told: str
) -> None:
    make_entry(**differences)
    status, page = open_card(agent)
    assert status == 200
    assert told in page
    assert not_told not in page


def test_the_last_look_up_counts_whatever_became_of_its_writing(agent: FlaskClient, make_entry: Make) -> None:
    """After staff said that it is not them, the card must not go on showing them because the write failed."""
    make_entry(**ADA)
    make_entry(kind="staff", match="none", outcome="could_not_write", reason="no_such_key", **NOBODY)
    make_entry(match=None, outcome="could_not_look", **NOBODY)
    assert "Unknown customer" in open_card(agent)[1]


@pytest.mark.parametrize(
    "token",
    ["", "x", TOKEN[:-1], TOKEN + "A", TOKEN.swapcase(), card_token.token_of(KEY, OTHER), "%F0%9F%A6%9C", "%00"],
)
def test_a_wrong_token_opens_nothing_and_tells_nothing(agent: FlaskClient, make_entry: Make, token: str) -> None:
    unknown = open_card(agent, token)
    make_entry(**ADA)
    assert open_card(agent, token) == unknown
    assert unknown[0] == 403


def test_a_token_opens_one_task_only(agent: FlaskClient, make_entry: Make) -> None:
    make_entry(task_sid=OTHER, **ADA)
    assert open_card(agent, TOKEN, OTHER)[0] == 403
    assert open_card(agent, card_token.token_of(KEY, OTHER), OTHER)[0] == 200
    assert agent.get(f"/tasks/{OTHER}?token={card_token.token_of(KEY, OTHER)}").status_code == 302


def test_a_token_of_another_secret_key_is_wrong(agent: FlaskClient, make_entry: Make) -> None:
    make_entry(**ADA)
    assert open_card(agent, card_token.token_of(card_token.key_of("another"), SID))[0] == 403


@pytest.mark.parametrize(("minutes_ago", "status"), [(0, 200), (29, 200), (31, 410), (60 * 24 * 50, 410)], ids=str)
@pytest.mark.parametrize("event_type", ["task.completed", "task.canceled"])
def test_it_closes_a_while_after_the_task_is_over(
    agent: FlaskClient, make_entry: Make, event_type: str, minutes_ago: int, status: int
) -> None:
    over_at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    make_entry(**ADA, received_at=over_at - timedelta(minutes=3))
    make_entry(kind="event", event_type=event_type, received_at=over_at, outcome=None, match=None)
    answered, told = open_card(agent)
    assert answered == status
    assert ("Lovelace" in told) is (status == 200)


@pytest.mark.parametrize(("hours_ago", "status"), [(23, 200), (25, 410)])
def test_it_closes_after_a_day_where_no_event_tells(
    agent: FlaskClient, make_entry: Make, hours_ago: int, status: int
) -> None:
    make_entry(**ADA, received_at=datetime.now(UTC) - timedelta(hours=hours_ago))
    assert open_card(agent)[0] == status


def test_an_open_card_learns_what_changed_and_empties_itself(agent: FlaskClient, make_entry: Make) -> None:
    make_entry(**ADA)
    htmx = {"HX-Request": "true"}
    poll = re.findall(r'hx-get="([^"]+)"', agent.get(f"/card/{SID}?token={TOKEN}").text)[0].replace("&amp;", "&")
    assert agent.get(poll, headers=htmx).status_code == 204
    make_entry(match="none", reason="no_such_key", **NOBODY)
    changed = agent.get(poll, headers=htmx)
    assert changed.text.lstrip().startswith('<main id="card"')
    assert "Unknown customer" in changed.text
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    make_entry(kind="event", event_type="task.completed", received_at=long_ago, outcome=None, match=None)
    over = agent.get(poll, headers=htmx)
    assert (over.status_code, "This task has ended" in over.text, "hx-get" in over.text) == (200, True, False)


def test_only_the_sites_of_the_settings_may_frame_it_and_nobody_keeps_it(agent: FlaskClient, make_entry: Make) -> None:
    make_entry(**ADA)
    for path in (f"/card/{SID}?token={TOKEN}", f"/card/{SID}?token=x", f"/card/{OTHER}?token={TOKEN}"):
        headers = agent.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.endswith("frame-ancestors https://flex.twilio.com https://*.example.test")
        assert "unsafe" not in policy
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Robots-Tag"] == "noindex, nofollow"
        assert "Set-Cookie" not in headers
    for path in ("/login", "/", "/nowhere"):
        headers = agent.get(path, headers={"Accept": "text/html"}).headers
        if "Content-Security-Policy" in headers:
            assert headers["Content-Security-Policy"].endswith("frame-ancestors 'none'")


def test_it_leads_nowhere_else(agent: FlaskClient, make_entry: Make) -> None:
    make_entry(**ADA)
    page = agent.get(f"/card/{SID}?token={TOKEN}").text
    assert "<a " not in page
    assert "<form" not in page


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", "javascript:alert(1)", "\u202egnp.exe", "\U0001f99c" * 100]
)
def test_hostile_data_is_shown_harmlessly(
    agent: FlaskClient, database: Database, make_entry: Make, hostile: str
) -> None:
    finding = {"candidates": [{"customer_id": hostile, "name": hostile}] * 2}
    make_entry(match="ambiguous", finding=finding, **NOBODY)
    page = agent.get(f"/card/{SID}?token={TOKEN}").text
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_without_the_setting_there_are_no_cards(app: Flask, agent: FlaskClient, make_entry: Make) -> None:
    make_entry(**ADA)
    services = app.extensions["enrich"]
    rules = replace(services.rules, card_key=b"")
    app.extensions["enrich"] = replace(services, rules=rules)
    for token in (TOKEN, card_token.token_of(b"", SID), ""):
        assert open_card(agent, token)[0] == 403
