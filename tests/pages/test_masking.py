"""Masking for viewers: the masks themselves, and that no page forgets them."""

from __future__ import annotations

import json
import re
import time
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
        ("ada@clinic.oncology", "a•••@c•••.•••"),
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


def test_attributes_keep_their_structure_and_what_cannot_be_personal() -> None:
    stored = (
        '{"from":"+14155550171","call_sid":"CA00000000000000000000000000000017","text":"Ada is ill","zip":94016,'
        '"channelType":"whatsapp","from_country":"US","email":"ada@example.com","account":1234567,"vip":true,'
        '"customer_id":"C-1001","crm":{"match":"matched","by":"phone","name":"Ada \\"Lace\\" King",'
        '"notes":["Prefers mornings"],"cases":[{"subject":"A bill","opened_on":"2026-11-02"}],"open_cases":1,'
        '"tier":"gold","language":"es-MX"}}'
    )
    assert json.loads(masking.raw_json(stored, "crm", {"C-1001"})) == {
        "from": "+1 415 ••• ••71",
        "call_sid": "CA00000000000000000000000000000017",
        "text": "•••",
        "zip": 94016,
        "channelType": "whatsapp",
        "from_country": "US",
        "email": "a•••@e•••.com",
        "account": "•••",
        "vip": True,
        "customer_id": "C-1001",
        "crm": {
            "match": "matched",
            "by": "phone",
            "name": 'A••• "••• K•••',
            "notes": ["•••"],
            "cases": [{"subject": "•••", "opened_on": "2026-11-02"}],
            "open_cases": 1,
            "tier": "•••",
            "language": "es-MX",
        },
    }


def test_what_only_our_block_may_say_is_masked_elsewhere() -> None:
    attributes = {"match": "matched", "born": "1980-05-17", "name": "Ada King", "deep": {"crm": {"name": "Ada King"}}}
    shown = masking.raw_json(json.dumps(attributes), "crm")
    assert json.loads(shown) == {"match": "•••", "born": "•••", "name": "•••", "deep": {"crm": {"name": "•••"}}}


@pytest.mark.parametrize(
    ("member", "shown"),
    [
        ("selected_product", "selected_product"),
        ("channelType", "channelType"),
        ("line2", "line2"),
        (SID, SID),
        ("Ada Lovelace", "•••"),
        ("Zoë", "•••"),
        ("ada@example.com", "•••"),
        ("+14155550171", "•••"),
        ("tel14155550171", "•••"),
        ("a" * 41, "•••"),
        ("", "•••"),
    ],
)
def test_names_of_members_stay_if_they_look_like_those_of_code(member: str, shown: str) -> None:
    assert masking.raw_json(json.dumps({member: {member: 1}}), "crm") == json.dumps(
        {shown: {shown: 1}}, ensure_ascii=False
    )
    assert unquote(masking.raw_form(urlencode({member: "1"}), "crm")) == f"{shown}=1"


def test_the_same_member_twice_is_shown_twice() -> None:
    assert masking.raw_json('{"a":1,"a":"Ada","b":1.50}', "crm") == '{"a": 1, "a": "•••", "b": 1.50}'


@pytest.mark.parametrize(
    "stored",
    ["Ada Lovelace", '"Ada"', '{"name": "Ada', '{"a": Ada}', '["Ada\\"", Ada', "[" * 5000, '{"a":' * 5000],
)
def test_of_what_is_no_json_nothing_is_shown(stored: str) -> None:
    assert masking.raw_json(stored, "crm") == "•••"
    assert "Ada" not in masking.raw_form(f"TaskAttributes={quote(stored)}&Other=Ada&x", "crm")


def test_escaped_letters_are_masked_as_what_they_are() -> None:
    assert masking.raw_json('{"x": "\\u0041da", "\\u0041da L": 1}', "crm") == '{"x": "•••", "•••": 1}'


def test_a_string_that_never_ends_costs_no_more_than_its_length() -> None:
    """2.5 s for 30 kB, when each of its quotation marks was looked at as a beginning."""
    began_at = time.process_time()
    assert masking.raw_json('{"a":' + '\\"' * 300_000, "crm") == "•••"
    assert time.process_time() - began_at < 1.0


SECRET = "chestpain"
# Free text with the secret in it; beside it what could make a mask take it for something harmless.
NEAR = st.sampled_from(["", " ", "a@b.", "ada@example.com ", "+14155550171", '{"a": "', "CA" + "0" * 32, "Ada "])
FREE_TEXTS = st.tuples(NEAR | st.text(), NEAR | st.text()).map(lambda near: near[0] + SECRET + near[1])
MEMBERS = st.sampled_from(["reason", "status", "type", "tier", "language", "name", "customer_id", "crm", "by", "to"])
ANY_JSON = st.recursive(
    FREE_TEXTS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(MEMBERS, inner, min_size=1, max_size=3)
        | st.dictionaries(FREE_TEXTS.map(lambda text: f"{text} L"), st.none(), min_size=1, max_size=2)
    ),
    max_leaves=8,
)
PARAMETERS = st.sampled_from(
    ["Reason", "TaskCanceledReason", "WorkerName", "TaskQueueName", "EventType", "Level", "TaskAttributes", "New"]
)


@given(ANY_JSON)
def test_no_free_text_of_any_attributes_gets_through(attributes: object) -> None:
    for ensure_ascii in (True, False):
        stored = json.dumps({"crm": attributes, "other": attributes}, ensure_ascii=ensure_ascii)
        assert SECRET not in masking.raw_json(stored, "crm")
        form = masking.raw_form(urlencode({"TaskAttributes": stored}, errors="replace"), "crm")
        assert SECRET not in unquote(form)


@given(st.dictionaries(PARAMETERS, FREE_TEXTS, min_size=1))
def test_no_free_text_of_any_form_gets_through(form: dict[str, str]) -> None:
    assert SECRET not in unquote(masking.raw_form(urlencode(form, errors="replace"), "crm"))


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
