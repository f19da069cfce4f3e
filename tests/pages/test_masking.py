"""Masking for viewers: the masks themselves, and that no page forgets them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote, unquote, urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from enrich.accounts import masking, users
from enrich.accounts.tables import Role
from enrich.customers.fixtures import builtin_path, read_fixtures
from enrich.customers.seeding import seed
from enrich.database.engine import Database
from tests.support.app import PASSWORD
from tests.support.journal import Make

SID = "WT" + "0" * 32
PAGES = ("pages", "customers", "overview", "accounts", "settling", "staff", "sessions")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("+14155550171", "+1 415 ••• ••71"),
        ("+1 (415) 555-0171", "+1 415 ••• ••71"),
        ("+442079460018", "+44 20 7••• ••18"),
        ("+3545551234", "+354 5•• ••34"),
        ("(212) 555-0143", "(•••) ••• ••43"),
        ("whatsapp:+14155550171", "whatsapp:+1 415 ••• ••71"),
        ("call +14155550171, or ada@example.com", "call +1 415 ••• ••71, or a•••@e•••.com"),
        ("sip:ada.lovelace@sip.example.com", "sip:a•••@s•••.com"),
        ("2026-11-02", "2026-11-02"),
        ("C-1001", "C-1001"),
        (SID, SID),
        ("41 of 3,500 ms", "41 of 3,500 ms"),
    ],
)
def test_numbers_and_addresses_are_masked_wherever_they_stand(written: str, shown: str) -> None:
    assert masking.text(written) == shown


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("phone", "+14155550171", "+1 415 ••• ••71"),
        ("phone", "12345", "•••45"),
        ("email", "ada@example.com", "a•••@e•••.com"),
        ("email", "nonsense", "•••@•••"),
        ("account_number", "A-1789", "•••89"),
        ("account_number", "A-17", "•••"),
        ("client", "ada", "•••"),
        ("customer_id", "C-1001", "C-1001"),
    ],
)
def test_a_look_up_key_shows_little_of_itself(kind: str, value: str, shown: str) -> None:
    assert masking.key(kind, value) == shown


def test_a_name_shows_its_first_letters() -> None:
    assert masking.name("Ada King Lovelace") == "A••• K••• L•••"
    assert masking.name("") == ""


def test_attributes_keep_their_names_and_what_is_no_personal_data() -> None:
    stored = (
        '{"from":"+14155550171","call_sid":"CA00000000000000000000000000000017","text":"Ada is ill","zip":94016,'
        '"crm":{"match":"matched","by":"phone","name":"Ada \\"Lace\\" King","notes":["Prefers mornings"],'
        '"open_cases":1}}'
    )
    assert json.loads(masking.raw_json(stored)) == {
        "from": "+1 415 ••• ••71",
        "call_sid": "CA00000000000000000000000000000017",
        "text": "•••",
        "zip": 94016,
        "crm": {"match": "matched", "by": "phone", "name": 'A••• "••• K•••', "notes": ["•••"], "open_cases": 1},
    }


@pytest.mark.parametrize(
    "stored", ["Ada Lovelace", '{"name": "Ada', '{"a": Ada}', '["Ada\\"", Ada', '{"x": "\\u0041da"}']
)
def test_of_what_is_no_json_nothing_is_shown(stored: str) -> None:
    assert "Ada" not in masking.raw_json(stored)
    assert "Ada" not in masking.raw_form(f"TaskAttributes={quote(stored)}&Other=Ada&x")


TEXTS = st.text("abcdefgh \\\"'{}[]:,", min_size=4)
ANY_JSON = st.recursive(
    TEXTS,
    lambda inner: st.lists(inner, min_size=1) | st.dictionaries(st.just("k"), inner, min_size=1),
)


@given(ANY_JSON)
def test_no_text_of_any_json_gets_through(told: object) -> None:
    shown = masking.raw_json(json.dumps({"k": told}))
    assert set(re.sub(r'"k":', "", shown)) <= set(' {}[],"•'), shown


# --- every page


@pytest.fixture
def viewer(app: Flask, stranger: FlaskClient, database: Database) -> FlaskClient:
    users.add(database, email="vera@example.org", role=Role.VIEWER, password=PASSWORD, name="Vera")
    stranger.post("/login", data={"email": "vera@example.org", "password": PASSWORD})
    return stranger


@pytest.fixture
def personal(database: Database, make_entry: Make) -> frozenset[str]:
    """Customers, and a journal that is full of them; everything of theirs that must not be shown."""
    file = read_fixtures(builtin_path(), region="US")
    seed(database, file, now=datetime.now(UTC))
    found: set[str] = set()
    for each in json.loads(builtin_path().read_text())["customers"]:
        phones, emails, notes = each.get("phones", []), each.get("emails", []), each.get("notes", [])
        found |= {*phones, *emails, *notes, each["name"]}
        found |= {re.sub("[^0-9]", "", phone.partition(" ext")[0]) for phone in phones}
        phone, email = (phones or ["+14155550199"])[0], (emails or ["nobody@example.net"])[0]
        attributes = {"from": phone, "email": email, "text": " ".join(notes)}
        block = {"match": "matched", "customer_id": each["id"], "name": each["name"], "notes": notes}
        keys = [
            {"kind": kind, "value": value, "trust": "verified", "attribute": "from", "found": 1}
            for kind, value in (("phone", "+" + re.sub("[^0-9]", "", phone)), ("email", email))
        ]
        candidate = {"customer_id": each["id"], "name": each["name"]}
        told = {
            "worker_name": "Robin",  # a colleague, and no customer's namesake
            "finding": {"keys": keys, "withheld": [], "candidates": [candidate, candidate]},
            "attributes_before": json.dumps(attributes),
            "attributes_after": json.dumps(attributes | {"crm": block}),
            "answer": json.dumps({"instruction": "dequeue", "to": phone, "from": email}),
            "decision": {"by": "rule", "name": "Known", "when": f'customer.name == "{each["name"]}"'},
            "raw_form": urlencode({"TaskSid": SID, "TaskAttributes": json.dumps(attributes), "Note": " ".join(notes)}),
        }
        number = each["id"].removeprefix("C-")
        make_entry(task_sid=f"WT{number}", customer_id=each["id"], customer_name=each["name"], **told)
        make_entry(task_sid=f"WT{number}", match="ambiguous", customer_id=None, customer_name="", **told)
        unknown = told | {"finding": {"keys": keys, "withheld": [], "candidates": []}}
        make_entry(task_sid=None, match="none", customer_id=None, customer_name="", **unknown)
        make_entry(task_sid=f"WT9{number}", match="claimed", customer_id=None, customer_name="", **told)
    make_entry(task_sid=SID, worker_name="Robin")
    return frozenset(found)


def test_no_page_shows_a_viewer_personal_data(app: Flask, viewer: FlaskClient, personal: frozenset[str]) -> None:
    """Every address there is, those that others add included, with ids that exist."""
    ids = {"task_sid": ("WT1001", "WT91003", SID), "entry_id": ("1", "3"), "customer_id": ("C-1001", "C-1003")}
    visited = 0
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or set()) or rule.endpoint.partition(".")[0] not in PAGES:
            continue
        for number in range(3):
            filled = {name: ids[name][number % len(ids[name])] for name in rule.arguments if name in ids}
            assert filled.keys() == rule.arguments, f"{rule}: say here which ids it takes"
            path = app.url_map.bind("").build(rule.endpoint, filled)
            for query in ("", "?entry=1", "?q=Ada", "?q=%2B14155550100", "?before=20"):
                shown = unescape(viewer.get(path + query, follow_redirects=True).text)
                # What the reader has typed stands there again; that is not the page's to tell.
                typed = unquote(query)
                leaked = {each for each in personal if each in shown or each in re.sub("<[^>]*>", "", shown)}
                leaked = {each for each in leaked if each not in typed}
                assert not leaked, (path + query, leaked)
                visited += 1
    assert visited > 20


def test_an_editor_is_shown_what_a_viewer_is_not(browser: FlaskClient, personal: frozenset[str]) -> None:
    """The test above would pass on empty pages, too."""
    shown = unescape(browser.get("/").text) + unescape(browser.get("/tasks/WT1001").text)
    assert "+14155550100" in shown
    assert "ada@example.com" in shown
    assert "Ada Lovelace" in shown
    assert "Prefers mornings" in shown


def test_a_viewer_still_sees_what_happened(viewer: FlaskClient, make_entry: Make) -> None:
    make_entry()
    page = unescape(viewer.get(f"/tasks/{SID}").text)
    assert "A••• L•••" in page
    assert "+1 415 ••• ••00" in page
    assert '"match": ' in page
    assert "C-1001" in page


DECIDED = {"by": "rule", "name": "Gold", "when": 'customer.name == "Ada Lovelace"'}


def test_an_editor_sees_which_rule_decided_and_why(browser: FlaskClient, make_entry: Make) -> None:
    make_entry(answer='{"instruction":"accept"}', decision=DECIDED)
    page = unescape(browser.get(f"/tasks/{SID}").text)
    assert 'Rule “Gold” decided, since customer.name == "Ada Lovelace".' in page


def test_a_viewer_sees_which_rule_decided_and_not_whom_it_speaks_of(viewer: FlaskClient, make_entry: Make) -> None:
    make_entry(answer='{"instruction":"accept"}', decision=DECIDED)
    assert "Rule “Gold” decided, since •••." in unescape(viewer.get(f"/tasks/{SID}").text)
